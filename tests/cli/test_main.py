"""The command itself: help, verbs, exit codes, streams."""

import os
import resource
import subprocess
import sys

import pytest

HEAVY = ("numpy", "pandas", "pydantic", "matplotlib", "scipy", "simpy", "pyarrow", "yaml")


def command(*arguments, **more):
    return subprocess.run([sys.executable, "-m", "sim", *map(str, arguments)], capture_output=True, text=True, **more)


def test_help_imports_nothing_heavy_and_is_there_at_once():
    found, used_s = None, []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        line = [sys.executable, "-X", "importtime", "-m", "sim", "--help"]
        found = subprocess.run(line, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert found.returncode == 0
    imported = {row.rpartition("|")[2].strip().partition(".")[0] for row in found.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & set(HEAVY)
    assert min(used_s) < 0.2  # issue 4, item 11; as CPU time, for other tests run beside this one


@pytest.mark.parametrize("verb", ["check", "graph", "run", "compare", "matrix", "trace export"])
def test_every_verb_has_json_and_an_example(buildcast, verb):
    said = buildcast(*verb.split(), "--help")
    assert said.code == 0
    assert "--json" in said.out
    assert f"buildcast {verb}" in said.out.partition("examples:")[2]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["rum"], "did you mean 'run'?"),
        (["run", "x", "--replicatons", "2"], "did you mean '--replications'?"),
        (["run", "x", "--replications", "0"], "between 1 and"),
        (["run", "x", "--seed", "one"], "'one' is not a whole number"),
        (["run"], "SCENARIO"),
        (["trace"], "ACTION"),
        (["check"], "buildcast check SCENARIO"),
        (["compare", "x"], "--vary"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(buildcast, arguments, hint):
    said = buildcast(*arguments)
    assert said.code == 2
    assert len(said.complaints) == 1
    assert hint in said.err
    assert not said.out


def test_a_reader_that_has_enough_is_no_error(scenarios):
    line = f"{sys.executable} -m sim graph {scenarios / 'monorepo-bake'} --json | head -1; echo ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert found.stdout.split() == ["{", "0"]
    assert not found.stderr


def test_a_full_stdout_is_one_line_and_exit_code_3(scenarios):
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [sys.executable, "-m", "sim", "check", str(scenarios / "dedup-pair")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert found.returncode == 3
    assert found.stderr.splitlines() == [
        "stdout: No space left on device; choose a place that is writable and has space"
    ]


def test_closed_streams_are_no_error(scenarios):
    line = f"{sys.executable} -m sim check {scenarios / 'dedup-pair'} >&- 2>&-"
    assert subprocess.run(["bash", "-c", line]).returncode == 0


def test_colour_only_where_a_terminal_reads(scenarios):
    plain = command("run", scenarios / "dedup-pair")
    forced = command("run", scenarios / "dedup-pair", env={**os.environ, "FORCE_COLOR": "1"})
    off = command("run", scenarios / "dedup-pair", env={**os.environ, "FORCE_COLOR": "1", "NO_COLOR": "1"})
    assert "\x1b" in forced.stdout
    assert plain.stdout == off.stdout
    assert "\x1b" not in plain.stdout


def test_a_bug_of_ours_is_one_line_too(buildcast, monkeypatch, scenarios):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("sim.cli.look.load", broken)
    said = buildcast("check", scenarios / "dedup-pair")
    assert said.code == 70
    assert len(said.complaints) == 1
    assert "internal error: ZeroDivisionError" in said.err


@pytest.mark.parametrize(("kind", "code"), [(MemoryError, 3), (RecursionError, 2)])
def test_what_does_not_fit_is_one_line(buildcast, monkeypatch, scenarios, kind, code):
    def broken(*_: object) -> None:
        raise kind

    monkeypatch.setattr("sim.cli.look.load", broken)
    said = buildcast("check", scenarios / "dedup-pair")
    assert said.code == code
    assert len(said.complaints) == 1
