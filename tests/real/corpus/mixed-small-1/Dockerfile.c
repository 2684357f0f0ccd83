FROM alpine:3.20 AS s0
COPY c/f0 /f0
RUN make c.0.0
RUN make c.0.1
FROM alpine:3.20 AS s1
COPY c/f1 /f1
RUN make c.1.0
FROM alpine:3.20 AS s2
RUN make c.2.0
RUN make c.2.1
FROM alpine:3.20
COPY --from=s0 /out/c.0.1 /out/c.0.1
COPY --from=s1 /out/c.1.0 /out/c.1.0
COPY --from=s2 /out/c.2.1 /out/c.2.1
