FROM base AS s0
RUN make c.0.0
FROM base AS s1
RUN make c.1.0
RUN make c.1.1
FROM base
COPY --from=s0 /out/c.0.0 /out/c.0.0
COPY --from=s1 /out/c.1.1 /out/c.1.1
