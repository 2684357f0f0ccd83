# What every service builds on: the system packages, all node packages of the workspace, the shared library.
FROM node:22-bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates g++ git make python3 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /repo
COPY package.json package-lock.json tsconfig.base.json ./
COPY packages/shared/package.json packages/shared/
COPY packages/app/package.json packages/app/
COPY packages/db/package.json packages/db/
COPY packages/cron/package.json packages/cron/
RUN npm ci
COPY packages/shared/ packages/shared/
RUN npm run build --workspace=@monorepo/shared
