"""Progress: nothing for two seconds, then a bar on a terminal, else a line for every 10 %."""

import io
import json
import os
import time

import pytest

from sim.cli import terminal
from sim.cli.terminal import Progress, json_text


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(terminal, "QUIET_S", 0.05)
    monkeypatch.setattr(terminal, "_TICK_S", 0.01)
    monkeypatch.setattr(os, "environ", {**os.environ, "TERM": "xterm"})


def test_short_jobs_say_nothing(monkeypatch):
    monkeypatch.setattr(terminal, "QUIET_S", 5.0)
    for stream in (io.StringIO(), Screen()):
        with Progress("working", quiet=False, stream=stream) as progress:
            for done in range(10):
                progress(done + 1, 10)
        assert stream.getvalue() == ""


def test_a_log_gets_a_line_for_every_tenth():
    stream = io.StringIO()
    with Progress("working", quiet=False, stream=stream) as progress:
        time.sleep(0.1)
        for done in range(1000):
            progress(done + 1, 1000)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "working: under way"
    assert lines[-1] == "working: 1000 of 1000 (100 %)"
    assert len(lines) <= 12


def test_a_terminal_gets_a_bar_that_is_wiped():
    stream = Screen()
    with Progress("working", quiet=False, stream=stream) as progress:
        progress(1, 4)
        time.sleep(0.15)
        progress.say("a message")
        time.sleep(0.1)
    shown = stream.getvalue()
    assert "[#######......................." in shown
    assert "\r\x1b[Ka message\n" in shown
    assert shown.endswith("\r\x1b[K")


def test_quiet_is_quiet():
    stream = Screen()
    with Progress("working", quiet=True, stream=stream) as progress:
        time.sleep(0.1)
        progress(1, 2)
        progress.say("a message")
    assert stream.getvalue() == ""


def test_json_has_no_nan():
    found = json.loads(json_text({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": None}}))
    assert found == {"schema_version": 1, "a": None, "b": [None, 1.5], "c": {"d": None}}
