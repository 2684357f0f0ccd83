"""`buildcast import` as a person types it."""

import io
import json
import sys
from pathlib import Path

import pytest

from sim.cli import main
from sim.trace import read_trace

RECORDED = Path(__file__).parents[1] / "inputs" / "recorded"


def test_logs_become_a_trace_and_a_summary(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["import", str(RECORDED / "pair-a.jsonl"), str(RECORDED / "pair-b.jsonl"), "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert "2 requests, 2 builds" in said.out
    assert "7 shared" in said.out
    assert f"wrote {out / 'trace'}" in said.err
    trace = read_trace(out)
    assert trace.meta.source == "measured"
    assert len(trace.builds) == 2


def test_json_is_one_object(capsys):
    assert main(["import", str(RECORDED / "bake.jsonl"), "--json", "-q"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["schema_version"], found["builds"]) == (1, 3)
    assert "buildx moves the times" in found["notes"][0]
    assert said.err == ""


def test_stdin_is_a_dash(monkeypatch, capsys):
    stdin = io.TextIOWrapper(io.BytesIO((RECORDED / "cached.jsonl").read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["import", "-"]) == 0
    assert capsys.readouterr().out.startswith("stdin: 1 request, 1 build")


def test_a_value_of_the_environment_is_hidden(monkeypatch, tmp_path):
    monkeypatch.setenv("TOKEN", "hunter2-secret")
    log = str(RECORDED / "failed-a.jsonl")
    assert main(["import", log, "--hide", "TOKEN", "-q", "-o", str(tmp_path), "--format", "jsonl"]) == 0
    text = (tmp_path / "trace" / "steps.jsonl").read_text()
    assert "hunter2" not in text
    assert "got ${TOKEN}" in text


def test_all_bad_logs_are_told_at_once(tmp_path, capsys):
    bad = tmp_path / "bad"
    bad.write_text("nothing\n")
    assert main(["import", str(bad), str(tmp_path / "none")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [str(bad), str(tmp_path / "none")]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "nothing to import"),
        (["x", "--since", "2h"], "--since asks a daemon"),
        (["-", "-"], "stdin"),
        (["x", "--since", "soon", "--daemon", "y"], "--since"),
        (["x", "--tls-key", "key.pem"], "name one with --daemon"),
        ([str(RECORDED / "cached.jsonl"), "--hide", "NO_SUCH"], "NO_SUCH"),
    ],
)
def test_bad_usage_is_one_line(arguments, what, capsys):
    assert main(["import", *arguments]) == 2
    said = capsys.readouterr().err
    assert what in said
    assert said.count("\n") == 1
