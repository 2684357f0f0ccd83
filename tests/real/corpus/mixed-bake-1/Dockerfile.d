FROM base AS s0
RUN make d.0.0
RUN make d.0.1
FROM base AS s1
RUN make d.1.0
FROM base
COPY --from=s0 /out/d.0.1 /out/d.0.1
COPY --from=s1 /out/d.1.0 /out/d.1.0
