FROM alpine:3.20
RUN sleep 1; echo b > /b
RUN sleep 4; echo c > /c
