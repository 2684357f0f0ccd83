FROM base
RUN sleep 1; echo app > /app
