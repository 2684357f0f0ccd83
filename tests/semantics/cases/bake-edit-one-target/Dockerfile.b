FROM alpine:3.20
RUN sleep 1; echo deps > /deps
COPY b.txt /
RUN sleep 2; echo b > /b
