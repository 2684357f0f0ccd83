FROM alpine:3.20 AS s0
COPY b/f0 /f0
RUN make b.0.0
RUN make b.0.1
FROM alpine:3.20 AS s1
COPY b/f1 /f1
RUN make b.1.0
RUN make b.1.1
FROM alpine:3.20
COPY --from=s0 /out/b.0.1 /out/b.0.1
COPY --from=s1 /out/b.1.1 /out/b.1.1
