FROM base AS s0
COPY b/f0 /f0
RUN make b.0.0
FROM base
COPY --from=s0 /out/b.0.0 /out/b.0.0
