FROM base AS s0
RUN make b.0.0
RUN make b.0.1
FROM base
COPY --from=s0 /out/b.0.1 /out/b.0.1
