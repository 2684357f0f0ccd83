FROM alpine:3.20 AS s0
RUN make shared
RUN make c.0.0
FROM alpine:3.20
COPY --from=s0 /out/c.0.0 /out/c.0.0
