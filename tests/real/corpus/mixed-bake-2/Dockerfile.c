FROM base AS s0
COPY c/f0 /f0
RUN make c.0.0
FROM base AS s1
COPY c/f1 /f1
RUN make c.1.0
FROM base
COPY --from=s0 /out/c.0.0 /out/c.0.0
COPY --from=s1 /out/c.1.0 /out/c.1.0
