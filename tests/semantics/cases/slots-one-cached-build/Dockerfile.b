FROM alpine:3.20
RUN sleep 2; echo b > /b
RUN sleep 2; echo c > /c
RUN sleep 2; echo d > /d
