FROM alpine:3.20
RUN sleep 1; echo 0 > /q
RUN sleep 2; echo q > /q
