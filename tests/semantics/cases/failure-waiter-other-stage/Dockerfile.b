FROM alpine:3.20 AS f
RUN sleep 3; false
FROM alpine:3.20 AS g
RUN sleep 6; echo g > /g
FROM alpine:3.20
COPY --from=f /x /
COPY --from=g /g /
