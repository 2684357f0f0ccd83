FROM alpine:3.20 AS g
RUN sleep 4; echo g > /g
FROM alpine:3.20
COPY --from=g /g /
