FROM base AS s0
COPY c/f0 /f0
RUN make c.0.0
RUN make c.0.1
FROM base
COPY --from=s0 /out/c.0.1 /out/c.0.1
