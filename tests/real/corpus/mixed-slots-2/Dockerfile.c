FROM alpine:3.20 AS s0
RUN make c.0.0
FROM alpine:3.20 AS s1
RUN make c.1.0
RUN make c.1.1
FROM alpine:3.20
COPY --from=s0 /out/c.0.0 /out/c.0.0
COPY --from=s1 /out/c.1.1 /out/c.1.1
