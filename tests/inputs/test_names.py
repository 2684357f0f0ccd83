"""What names of vertexes say: kind, target, platforms; and what is taken out of them."""

import pytest

from sim.hide import hidden
from sim.inputs.names import declared_target, kind_of, platforms_of, target_of, with_target


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("[internal] load build definition from Dockerfile", "source"),
        ("[internal] load .dockerignore", "source"),
        ("[internal] load build context", "context"),
        ("[context src] load from client", "context"),
        ("[internal] load metadata for docker.io/library/alpine:3.20", "source"),
        ("[linux/amd64 internal] load metadata for docker.io/library/alpine:3.20", "source"),
        ("[build 1/5] FROM docker.io/library/golang@sha256:0", "source"),
        ("[context alpine:3.20] OCI load from client", "source"),
        ("docker-image://docker.io/docker/dockerfile:1@sha256:0", "source"),
        ("https://example.com/a.tar.gz", "source"),
        ("importing cache manifest from example.com/a", "source"),
        ("[app build 3/5] RUN make", "exec"),
        ("[stage-1 2/3] ONBUILD RUN make", "exec"),
        ("[2/3] RUN exporting nothing", "exec"),
        ("[2/3] COPY --from=build /out /out", "copy"),
        ("[2/3] WORKDIR /src", "copy"),
        ("[2/3] ADD https://example.com/x /x", "copy"),
        ("[internal] preparing inline document", "copy"),
        ("[2/3] LINK COPY a b", "merge"),
        ("exporting to image", "export"),
        ("exporting cache to registry", "export"),
        ("[app] exporting to oci image format", "export"),
        ("merging manifest list example.com/a", "export"),
        ("[auth] library/alpine:pull token for registry-1.docker.io", "overhead"),
        ("[internal] booting buildkit", "overhead"),
        ("[internal] load local bake definitions", "overhead"),
        ("[app] resolving provenance for metadata file", "overhead"),
    ],
)
def test_kinds(name, kind):
    assert kind_of(name, has_inputs=False) == kind


def test_names_of_other_frontends_are_judged_by_their_inputs():
    assert kind_of("install packages", has_inputs=True) == "exec"
    assert kind_of("some source", has_inputs=False) == "source"


def test_a_target_is_declared_by_what_it_loads():
    assert declared_target("[app internal] load build definition from Dockerfile") == "app"
    assert declared_target("[internal] load build definition from Dockerfile") is None
    assert declared_target("[linux/amd64 internal] load metadata for docker.io/library/alpine") is None


def test_a_vertex_belongs_to_the_target_in_its_brackets():
    assert target_of("[app build 1/2] RUN x", {"app", "db"}) == "app"
    assert target_of("[app] exporting to image", {"app", "db"}) == "app"
    assert target_of("[build 1/2] RUN x", {"app", "db"}) is None
    assert target_of("exporting to image", {"app"}) is None


def test_a_target_is_put_where_buildx_puts_it():
    assert with_target("[build 1/2] RUN x", "app") == "[app build 1/2] RUN x"
    assert with_target("exporting to image", "app") == "[app] exporting to image"


def test_platforms_are_those_built_for():
    names = ["[linux/amd64 1/2] RUN x", "[linux/amd64->arm64 build 1/2] RUN y", "[internal] load build context"]
    assert platforms_of(names) == ("linux/amd64", "linux/arm64")
    assert platforms_of(["[build 1/2] RUN x"]) is None
    assert platforms_of(["[app linux/arm/v7 build 1/2] RUN x"]) == ("linux/arm/v7",)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("[1/2] RUN curl -u me:hunter2-secret", "[1/2] RUN curl -u me:${TOKEN}"),
        ("[1/2] RUN get v1.2.3.tgz", "[1/2] RUN get v${VERSION}.tgz"),
        ("[1/2] RUN make -j 1", "[1/2] RUN make -j ${N}"),
        ("[1/2] RUN sleep 10", "[1/2] RUN sleep 10"),
    ],
)
def test_values_of_args_are_replaced(name, shown):
    assert hidden(name, {"TOKEN": "hunter2-secret", "VERSION": "1.2.3", "N": "1", "EMPTY": ""}) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("[1/2] RUN git clone https://me:pw@host/x", "[1/2] RUN git clone https://***@host/x"),
        ("[1/2] RUN NPM_TOKEN=abc npm ci", "[1/2] RUN NPM_TOKEN=*** npm ci"),
        ("[1/2] RUN login --password=abc", "[1/2] RUN login --password=***"),
        ("[1/2] RUN curl -H 'Authorization: Bearer abcdefgh1'", "[1/2] RUN curl -H 'Authorization: Bearer ***'"),
        ("[1/2] RUN echo ghp_" + "a" * 36, "[1/2] RUN echo ***"),
    ],
)
def test_what_looks_like_a_credential_is_hidden(name, shown):
    assert hidden(name, {}) == shown


@pytest.mark.parametrize(
    "name",
    [
        "[1/2] RUN --mount=type=secret,id=npm_token,target=/t npm ci",
        "[1/2] RUN NPM_TOKEN=$TOKEN npm ci",
        "[1/2] RUN go build ./cmd/token",
        "[1/2] COPY secrets/ /x",
        "[1/2] FROM docker.io/library/alpine:3.20@sha256:" + "0" * 64,
    ],
)
def test_what_is_none_is_kept(name):
    assert hidden(name, {}) == name
