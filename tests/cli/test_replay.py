"""`buildcast replay`: what is refused before any daemon is started. Replays themselves: tests/real."""

from __future__ import annotations

import pytest

from sim.cli import main

SCENARIO = "scenarios/dedup-pair"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scale", "0"], "--scale must be above 0"),
        (["--base", "alpine:3.20=x"], "--base is for --as-is"),
        (["--node", "linux/arm64"], "is not linux/arm64=tcp://HOST:PORT"),
        (["--set", "farm.runner.cpus=512"], "CPUs of runners do not fit"),
        (["--set", "farm.host={cpus: 512}"], "the scenario's host has 512 CPUs"),
        (
            ["--set", "farm.autoscaling={builds_per_instance: 1}", "--node", "linux/amd64=tcp://127.0.0.1:1"],
            "cannot be cloned",
        ),
        (["--node", "linux/amd64=tcp://127.0.0.1:1", "--tls-ca", "no-such-file"], "no such file"),
        (["--tls-ca", "ca.pem"], "--tls-ca is for daemons on other machines: name one with --node"),
    ],
)
def test_bad_usage_is_one_line(words, said, capsys):
    assert main(["replay", SCENARIO, "-q", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1
