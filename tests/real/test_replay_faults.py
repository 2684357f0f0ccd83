"""Replays that go wrong: each ends within seconds, says what happened in one line, keeps what was measured, leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from replays import HEAD, World, costs, outcomes, rows, workload

from sim.errors import EnvironmentMissing
from sim.real import replay
from sim.real.fleet import clean, standing
from sim.real.node.left import alone, leftovers
from sim.trace import read_trace

pytestmark = pytest.mark.usefixtures("machine")

FILES = {"Dockerfile": "FROM alpine:3.20\nRUN first\nRUN second\n"}
APP = "targets: {app: {dockerfile: Dockerfile, context: .}}\n"
LONG = HEAD + APP + workload("build: [app], arrivals: {times: [0s, 1s, 40s]}") + costs(first="0.3s", second="30s")


class Running:
    """`buildcast replay` as a process."""

    def __init__(self, world: World, scenario: str) -> None:
        self.world, self.out = world, world.folder.parent / "out"
        path = world.write(scenario, FILES)
        command = [sys.executable, "-m", "sim", "replay", str(path), "--folder", str(world.fleet), "-o", str(self.out)]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def until_second_runs(self) -> None:
        """The long step runs: its container is there."""
        until_s = time.monotonic() + 60
        while time.monotonic() < until_s:
            assert self.child.poll() is None, self.child.communicate()
            if any("second" in text or "latency=30" in text for text in _commands()):
                return
            time.sleep(0.05)
        pytest.fail("the step never ran")

    def end(self, within_s: float) -> tuple[int, str]:
        began_s = time.monotonic()
        _, err = self.child.communicate(timeout=60)
        assert time.monotonic() - began_s < within_s, err
        assert leftovers(self.world.fleet) == []
        assert not self.world.fleet.exists()
        assert "Traceback" not in err
        assert not any("latency=30" in text for text in _commands())
        return self.child.returncode, err


def _commands() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [text for text in found if "--spec" in text and "/load" in text and "runc" not in text]


def _clients(world: World) -> list[int]:
    """Processes of `buildctl build` on the fleet's daemons."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"buildctl" in words and b"\0build\0" in words and bytes(world.fleet) in words:
            found.append(int(path.parent.name))
    return found


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "s", tmp_path / "f")


def test_interrupt_stops_at_once_and_keeps_what_was_measured(world):
    running = Running(world, LONG)
    running.until_second_runs()
    time.sleep(1.0)
    running.child.send_signal(signal.SIGINT)
    code, err = running.end(within_s=10)

    assert code == 130
    assert "requests were under way" in err
    assert "1 of 3 never came" in err
    assert err.strip().splitlines()[-1] == "interrupted"
    trace = read_trace(running.out)
    assert {row["outcome"] for row in rows(trace, "builds")} == {"cancelled"}
    assert outcomes(trace, "RUN first")[0] == "executed"
    assert json.loads((running.out / "summary.json").read_text())["stopped"]


def test_a_second_interrupt_is_quicker_and_still_leaves_nothing(world):
    running = Running(world, LONG)
    running.until_second_runs()
    running.child.send_signal(signal.SIGINT)
    time.sleep(0.2)
    running.child.send_signal(signal.SIGINT)
    assert running.end(within_s=8)[0] == 130


def test_an_interrupt_before_time_zero_leaves_nothing(world):
    scenario = LONG.replace("  host:", "  cache: {start: warm}\n  host:")
    running = Running(world, scenario)
    running.until_second_runs()  # in the build that warms the cache
    running.child.send_signal(signal.SIGINT)
    assert running.end(within_s=8)[0] == 130


def test_what_a_killed_replay_leaves_is_found_and_cleaned(world, wait_for):
    running = Running(world, LONG)
    running.until_second_runs()
    running.child.kill()
    running.child.communicate(timeout=10)
    assert any(line.startswith("process") for line in leftovers(world.fleet))
    with pytest.raises(EnvironmentMissing, match="fleet down"):
        world.replay(LONG, FILES)
    clean(world.fleet)

    assert leftovers(world.fleet) == []
    assert not world.fleet.exists()
    wait_for(lambda: not _clients(world))


def test_a_daemon_that_hangs_ends_the_replay(world, monkeypatch):
    """It lives, answers nobody and does nothing; its step has long ended. Without `Sampler._check_moves` nobody would notice."""
    monkeypatch.setattr(replay, "_STALL_S", 2.0)

    def freeze() -> None:
        while not any("latency=1" in text for text in _commands()):
            time.sleep(0.02)
        stands = standing(world.fleet)
        assert stands is not None
        os.kill(stands.daemons[0].pid, signal.SIGSTOP)

    freezer = threading.Thread(target=freeze, daemon=True)
    freezer.start()
    jobs = workload("build: [app], arrivals: {times: [0s]}") + costs(first="0.3s", second="1s")
    with pytest.raises(EnvironmentMissing, match="nothing has moved for 5 s"):
        world.replay(HEAD + APP + jobs, FILES)

    freezer.join(timeout=1)
    assert leftovers(world.fleet) == []
    assert not world.fleet.exists()


def test_a_dead_daemon_ends_the_replay(world):
    running = Running(world, LONG)
    running.until_second_runs()
    stands = standing(world.fleet)
    assert stands is not None
    os.kill(stands.daemons[0].pid, signal.SIGKILL)
    code, err = running.end(within_s=15)

    assert code == 3
    assert "the daemon of runner 0" in err.strip().splitlines()[-1]
    assert outcomes(read_trace(running.out), "RUN first")[0] == "executed"


def test_a_client_that_someone_kills_is_a_cancelled_build(world):
    scenario = HEAD + APP + workload("build: [app], arrivals: {times: [0s]}") + costs(first="0.3s", second="30s")
    running = Running(world, scenario)
    running.until_second_runs()
    for pid in _clients(world):
        os.kill(pid, signal.SIGKILL)
    code, _ = running.end(within_s=15)

    assert code == 0
    (build,) = rows(read_trace(running.out), "builds")
    assert (build["outcome"], build["reason"]) == ("cancelled", "its client was killed")


def test_two_replays_at_once_are_refused(world):
    with alone(world.folder), pytest.raises(EnvironmentMissing, match="another run of buildcast"):
        world.replay(LONG, FILES)


def test_a_step_beyond_the_runner_s_memory_fails_in_the_trace(world):
    scenario = HEAD.replace("8GiB", "300MB") + APP + workload("build: [app], arrivals: {times: [0s]}")
    scenario += (
        'costs:\n- {step: "*first*", memory: 600MB, spread: 0}\n- {step: "*second*", latency: 0.1s, spread: 0}\n'
    )
    trace = world.replay(scenario, FILES)

    (build,) = rows(trace, "builds")
    assert build["outcome"] == "failed"
    assert "out of memory" in build["reason"]


def test_a_full_disk_is_told_as_such(world, tmp_path):
    small = tmp_path / "f"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m", "none", str(small)], check=True)
    try:
        scenario = HEAD + APP + workload("build: [app], arrivals: {times: [0s]}")
        scenario += (
            'costs:\n- {step: "*first*", write: 400MB, spread: 0}\n- {step: "*second*", latency: 0.1s, spread: 0}\n'
        )
        with pytest.raises(EnvironmentMissing, match=r"disk"):
            world.replay(scenario, FILES)
        assert leftovers(small) == []
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
