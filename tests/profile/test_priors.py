"""Priors: which commands and images they know, how commands of one RUN add up."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.graph import Step
from sim.profile.priors import priors, shell_commands


def a_run(command: str) -> Step:
    return Step("d", "o", command, "exec", "linux/amd64")


def a_pull(source: str) -> Step:
    return Step("d", "o", "FROM", "source", "linux/amd64", source=source)


@pytest.mark.parametrize(
    ("command", "known"),
    [
        ("[app build 3/5] RUN npm ci", "npm install"),
        ("RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev", "npm install"),
        ('RUN ["npm", "ci"]', "npm install"),
        ("RUN sh -c 'npm ci'", "npm install"),
        ("RUN /usr/local/bin/npm ci", "npm install"),
        ("RUN npm --prefix web ci && npm run build", "npm install + npm run build"),
        ("RUN yarn", "yarn install"),
        ("RUN yarn --frozen-lockfile", "yarn install"),
        ("RUN yarn build", "npm run build"),
        ("RUN pnpm install --frozen-lockfile", "pnpm install"),
        ("RUN pip install --no-cache-dir -r requirements.txt", "pip install"),
        ("RUN python3 -m pip install .", "pip install"),
        ("RUN uv sync --frozen", "uv sync"),
        ("RUN cargo build --release", "cargo build"),
        ("RUN cargo test", "cargo test"),
        ("RUN CGO_ENABLED=0 GOOS=linux go build -ldflags='-s -w' -o /out ./cmd/app", "go build"),
        ("RUN go test ./...", "go test"),
        ("RUN go mod download", "go mod download"),
        ("RUN mvn -B package", "maven"),
        ("RUN ./mvnw -B dependency:go-offline", "maven dependencies"),
        ("RUN ./gradlew --no-daemon bootJar", "gradle"),
        ("RUN dotnet restore && dotnet publish -c Release", "dotnet restore + dotnet build"),
        ("RUN bundle install --jobs 4", "bundle install"),
        ("RUN SECRET_KEY_BASE_DUMMY=1 ./bin/rails assets:precompile", "rails assets"),
        ("RUN composer install --no-dev", "composer install"),
        ("RUN make -j$(nproc)", "make"),
        ("RUN cmake -S . -B build && cmake --build build", "cmake configure + cmake build"),
        ("RUN apk add --no-cache git make gcc", "apk add"),
        ("RUN apt-get update && apt-get install -y gcc make && rm -rf /tmp/*", "apt-get update + apt-get install"),
        ("RUN <<EOF (apt-get update...)", "apt-get update"),
        ("RUN curl -fsSL https://x.org/a.tgz | tar xz -C /opt", "curl + unpack"),
        ("RUN if [ -f yarn.lock ]; then yarn --frozen-lockfile; fi", "yarn install"),
        ("RUN set -eux; mkdir -p /app && echo make > /app/note", "trivial"),
        ("RUN adduser -D app && chown -R app /make", "trivial"),
        ("RUN ./compile-everything.sh", "unknown command"),
        ("RUN npmx ci", "unknown command"),
        ("RUN makefile-lint", "unknown command"),
    ],
)  # fmt: skip
def test_commands(command, known):
    cost = priors().command(a_run(command))
    assert (cost.rule, cost.origin) == (known, "prior")


def test_commands_of_a_run_add_up_once_each():
    install, build = priors().command(a_run("RUN npm ci")), priors().command(a_run("RUN npm run build"))
    both = priors().command(a_run("RUN npm ci && npm run build && npm run build"))
    assert both.cpu_s == install.cpu_s + build.cpu_s
    assert both.write_bytes == install.write_bytes + build.write_bytes
    assert both.spread == max(install.spread, build.spread)
    assert install.cpu_s / install.threads + build.cpu_s / build.threads == pytest.approx(both.cpu_s / both.threads)


def test_unlimited_threads_stay_unlimited():
    assert priors().command(a_run("RUN go build ./...")).threads == inf


@pytest.mark.parametrize(
    ("source", "pattern"),
    [
        ("docker-image://docker.io/library/alpine:3.20@sha256:" + "a" * 64, "*/alpine:*"),
        ("docker-image://docker.io/library/node:22-alpine3.20", "*/node:*alpine*"),
        ("docker-image://docker.io/library/node:22", "*/node:*"),
        ("docker-image://docker.io/library/golang", "*/golang:*"),
        ("docker-image://docker.io/library/maven:3-eclipse-temurin-21", "*/maven:*"),
        ("docker-image://docker.io/library/eclipse-temurin:21-jre", "*/eclipse-temurin:*jre*"),
        ("docker-image://gcr.io/distroless/static-debian12:nonroot", "*/distroless/static*"),
        ("docker-image://mcr.microsoft.com/dotnet/sdk:8.0", "*/dotnet/sdk:*"),
        ("docker-image://registry.example:5000/team/app:1", "*"),
        ("docker-image://docker.io/me/notalpine:1", "*alpine*"),
        ("oci-layout://local/base@sha256:" + "a" * 64, "local"),
        ("git://github.com/me/app.git", "git"),
        ("https://example.org/tool.tgz", "http"),
    ],
)
def test_sources(source, pattern):
    assert priors().source(a_pull(source)).rule == pattern


def test_alpine_is_tiny_and_every_pull_unpacks_more_than_it_fetches():
    alpine = priors().source(a_pull("docker-image://docker.io/library/alpine:3.20"))
    assert (alpine.download_bytes, alpine.write_bytes) == (3.6e6, 8e6)
    assert alpine.cpu_s < 0.05
    assert all(image.cost.write_bytes >= image.cost.download_bytes for image in priors().images)


def test_every_guess_is_explained_and_wide():
    for prior in (*priors().commands, priors().default):
        assert prior.note
        assert prior.cost.spread >= 0.4
        assert 0 <= prior.cost.serial <= 1
        assert 0 < prior.cost.warm <= 1
    assert all(image.note for image in priors().images)


@given(st.text(max_size=200))
def test_any_text_has_a_cost(text):
    assert priors().command(a_run(f"RUN {text}")).cpu_s >= 0
    assert all(shell_commands(text))
