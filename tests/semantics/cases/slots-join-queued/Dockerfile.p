FROM alpine:3.20
ARG N
RUN sleep 3; echo $N > /p
