FROM alpine:3.20
RUN sleep 2; echo 1 > /x
RUN sleep 2; echo 2 > /y
RUN sleep 1; echo b > /b
RUN sleep 1; echo c > /c
