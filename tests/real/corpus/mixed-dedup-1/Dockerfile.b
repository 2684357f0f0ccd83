FROM alpine:3.20 AS s0
RUN make shared
RUN make b.0.0
RUN make b.0.1
FROM alpine:3.20 AS s1
RUN make b.1.0
RUN make b.1.1
FROM alpine:3.20 AS s2
RUN make b.2.0
RUN make b.2.1
FROM alpine:3.20
COPY --from=s0 /out/b.0.1 /out/b.0.1
COPY --from=s1 /out/b.1.1 /out/b.1.1
COPY --from=s2 /out/b.2.1 /out/b.2.1
