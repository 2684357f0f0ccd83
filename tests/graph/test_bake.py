"""Bake files in buildx's own words, and the project ids that buildx drops."""

from __future__ import annotations

import pytest

from sim.errors import InputError

IMAGE = {"Dockerfile": "FROM alpine\nARG S\nRUN echo $S"}


def test_project_ids_through_inherits_matrix_and_variables(make):
    hcl = """
variable "ORG" { default = "acme" }
group "default" { targets = ["svc", "lone"] }
target "_common" {
  project_id = "${ORG}-common"   # shared
  args = null
}
target "child" { inherits = ["_common"] }
target "lone" { project-id = "alone" }
target "svc" {
  name = "svc-${s}"
  inherits = ["_common"]
  matrix = { s = ["a", "b"] }
  args = {
    S = s   # what it serves
  }
  project_id = join("-", [ORG, s])
}
target "none" {}
"""
    graphs = make({"bake.hcl": hcl, **IMAGE}, bake="bake.hcl")
    assert graphs.project_ids == {"child": "acme-common", "lone": "alone", "svc-a": "acme-a", "svc-b": "acme-b"}
    assert graphs.closure(["default"]) == ("lone", "svc-a", "svc-b")
    assert graphs.groups["svc"] == ("svc-a", "svc-b")
    assert any(step.name.endswith("RUN echo $S") or "RUN echo a" in step.name for step in graphs.graph("svc-a").steps)


def test_variable_from_the_environment(make, monkeypatch):
    monkeypatch.setenv("ORG", "other")
    hcl = 'variable "ORG" { default = "acme" }\ntarget "app" { project_id = ORG }\n'
    assert make({"bake.hcl": hcl, **IMAGE}, bake="bake.hcl").project_ids == {"app": "other"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            "nowhere",
            'bake.hcl:5: the project id cannot be resolved: Unknown variable; There is no variable named "nowhere"',
        ),
        ("EMPTY", "bake.hcl:5: the project id of target 'bad' cannot be resolved: it is empty"),
        ("null", "bake.hcl:5: the project id cannot be resolved"),
        ('["a", "b"]', "bake.hcl:5: the project id cannot be resolved"),
    ],
)
def test_unresolved_id_in_hcl(make, value, said):
    hcl = (
        f'variable "EMPTY" {{}}\ntarget "good" {{ project_id = "g" }}\n\ntarget "bad" {{\n  project_id = {value}\n}}\n'
    )
    with pytest.raises(InputError) as caught:
        make({"bake.hcl": hcl, **IMAGE}, bake="bake.hcl")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_json_bake_file(make):
    text = """{
  "group": {"default": {"targets": ["a"]}},
  "target": {
    "a": {"project_id": "pa", "args": {"S": "1"}},
    "b": {"inherits": ["a"], "project-id": "pb", "args": "${merge({S = 2}, {})}"},
    "c": {"inherits": ["a"]}
  }
}"""
    graphs = make({"bake.json": text, **IMAGE}, bake="bake.json")
    assert graphs.project_ids == {"a": "pa", "b": "pb", "c": "pa"}
    with pytest.raises(InputError, match=r"bake.json:4: the project id"):
        make({"bake.json": text.replace('"pa"', '"${nowhere}"'), **IMAGE}, bake="bake.json")


def test_compose_file(make, monkeypatch):
    monkeypatch.delenv("PID", raising=False)
    text = """services:
  web:
    build:
      context: .
      x-depot:
        project-id: ${PID:-from-default}
      args: ["S=1"]
  db:
    build: .
    x-depot: {project-id: db-id}
  plain:
    build: {context: .}
  image-only:
    image: postgres
"""
    graphs = make({"compose.yaml": text, **IMAGE}, bake="compose.yaml")
    assert graphs.project_ids == {"web": "from-default", "db": "db-id"}
    assert graphs.targets == ("db", "plain", "web")
    with pytest.raises(
        InputError, match=r"compose.yaml:6: the project id of target 'web' cannot be resolved: it is empty"
    ):
        make({"compose.yaml": text.replace(":-from-default", ""), **IMAGE}, bake="compose.yaml")


def test_secrets_need_not_exist_and_inline_dockerfiles_work(make):
    hcl = 'target "app" {\n  secret = ["id=t,src=./t"]\n  dockerfile-inline = <<EOT\nFROM alpine\nRUN inline\nEOT\n}\n'
    graphs = make({"bake.hcl": hcl}, bake="bake.hcl")
    assert [step.name for step in graphs.graph("app").steps] == [
        "[1/2] FROM docker.io/library/alpine:latest",
        "[2/2] RUN inline",
    ]


def test_paths_are_relative_to_the_bake_file(make):
    files = {
        "ci/bake.hcl": 'target "app" { context = "../app" }',
        "app/Dockerfile": "FROM alpine\nCOPY f /",
        "app/f": "",
    }
    graphs = make(files, bake="ci/bake.hcl")
    assert graphs.graph("app").contexts["local://context"].folder == "app"


@pytest.mark.parametrize(
    ("hcl", "said"),
    [
        ('target "a" {\n  args = {', "bake.hcl:"),
        ('target "a" {\n  args = { A = nothing }\n}', "bake.hcl:2: Unknown variable"),
        ('target "a" {\n contexts={x="target:b"}\n}\ntarget "b" {\n contexts={x="target:a"}\n}', "infinite loop"),
        ("", "couldn't find a bake definition"),
        ('variable "X" {}', "no targets"),
    ],
)
def test_mistake_in_a_bake_file(make, hcl, said):
    with pytest.raises(InputError) as caught:
        make({"bake.hcl": hcl, **IMAGE}, bake="bake.hcl")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_named_contexts_of_every_kind_need_no_network(make):
    hcl = """target "app" {
  contexts = {
    image = "docker-image://busybox:1"
    layout = "oci-layout://./somewhere:tag"
    repo = "https://github.com/moby/buildkit.git#v0.34.2"
    page = "https://example.com/file.txt"
    folder = "./more"
  }
}
"""
    names = ("image", "layout", "repo", "page", "folder")
    copies = "\n".join(f"COPY --from={name} x /{name}" for name in names)
    graphs = make({"bake.hcl": hcl, "dockerfile": f"FROM scratch\n{copies}\n", "more/x": "1"}, bake="bake.hcl")
    sources = [step for step in graphs.graph("app").steps if step.kind in ("source", "context")]
    kinds = [step.source.partition("://")[0] for step in sources]
    assert kinds == ["docker-image", "oci-layout", "git", "https", "local"]
    assert graphs.graph("app").contexts["local://folder"].files == {"x": 1}
