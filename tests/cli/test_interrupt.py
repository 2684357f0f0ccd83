"""^C and the like: exit code 130, no traceback, no child left, whoever gets the signal and whenever."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).parents[2] / "scenarios"
# Long enough to be cut off, on any machine; the signal comes after a second or two.
STUDY = ["compare", str(SCENARIOS / "mixed"), "--vary", "farm.size=default,large", "--replications", "500"]
ALONE = ["run", str(SCENARIOS / "mixed"), "--set", "requests=100000"]


def members(group):
    """Processes of the group that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(after_name[2]) == group and after_name[0] != "Z":
                found.append(int(entry.name))
    return found


def interrupted(line, number, *, whom, children, more_s):
    """Start, wait for so many processes and a moment more, send the signal; exit code, stderr, seconds that it took."""
    command = [sys.executable, "-m", "sim", *line, "--workers", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        until = time.monotonic() + 30
        while len(members(process.pid)) < children and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(more_s)
        assert process.poll() is None
        begun_s = time.monotonic()
        (os.killpg if whom == "group" else os.kill)(process.pid, number)
        _, err = process.communicate(timeout=20)
        took_s = time.monotonic() - begun_s
        while members(process.pid) and time.monotonic() < begun_s + took_s + 3:
            time.sleep(0.05)
        return process.returncode, err, members(process.pid)
    finally:
        for left in members(process.pid):
            os.kill(left, signal.SIGKILL)


# 3 processes: the command, the resource tracker, the first worker; that is while workers are being started.
@pytest.mark.parametrize("more_s", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("whom", ["group", "parent"])
def test_an_interrupted_study_leaves_no_child(whom, more_s):
    code, err, left = interrupted(STUDY, signal.SIGINT, whom=whom, children=3, more_s=more_s)
    assert code == 130
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert not left


def test_an_interrupted_run_leaves_nothing(tmp_path):
    code, err, left = interrupted(
        [*ALONE, "-o", str(tmp_path / "out")], signal.SIGINT, whom="group", children=1, more_s=1.0
    )
    assert (code, left) == (130, [])
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_terminated_study_leaves_no_child():
    code, err, left = interrupted(STUDY, signal.SIGTERM, whom="parent", children=4, more_s=0.5)
    assert (code, left) == (143, [])
    assert "Traceback" not in err


def test_workers_end_when_the_command_is_killed():
    code, _, left = interrupted(STUDY, signal.SIGKILL, whom="parent", children=4, more_s=0.5)
    assert (code, left) == (-signal.SIGKILL, [])
