FROM alpine:3.20 AS two
RUN sleep 3; echo 1 > /x
FROM alpine:3.20
COPY --from=two /x /
RUN sleep 1; echo b > /b
