"""What goes wrong around real daemons: one clear line, exit 3, nothing left, no hang."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.cli import main
from sim.errors import EnvironmentMissing
from sim.real.daemon import Daemon, DaemonSpec
from sim.real.fleet import Fleet, clean, leftovers

REPOSITORY = Path(__file__).parents[2]
UP = (
    "fleet",
    "up",
    str(REPOSITORY / "scenarios" / "dedup-pair"),
    "--set",
    "farm.runner.cpus=0.5",
    "--quiet",
    "--folder",
)


@pytest.fixture(autouse=True)
def nothing_left(machine, fleet_folder):
    yield
    found = leftovers(fleet_folder)
    clean(fleet_folder)
    assert found == []


def complaint(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line of a command that ends with 3."""
    capsys.readouterr()
    assert main([str(one) for one in words]) == 3
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1, err
    return err


def test_runc_is_missing(capsys, monkeypatch, fleet_folder):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt-get install runc" in complaint(capsys, *UP, fleet_folder)


def test_the_place_of_the_socket_is_a_file(fleet_folder):
    (fleet_folder / "a").mkdir(parents=True)
    (fleet_folder / "a" / "bk.sock").write_text("mine")
    with pytest.raises(EnvironmentMissing, match=r"a/bk\.sock: the place of the socket is taken by another file"):
        Daemon(DaemonSpec("a"), fleet_folder / "a").start()
    assert (fleet_folder / "a" / "bk.sock").read_text() == "mine"


def test_the_socket_is_taken(fleet_folder):
    (fleet_folder / "a").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(fleet_folder / "a" / "bk.sock"))
        other.listen()
        with pytest.raises(EnvironmentMissing, match="another daemon listens on the socket"):
            Daemon(DaemonSpec("a"), fleet_folder / "a").start()
    with Fleet(fleet_folder) as fleet:  # the file is there still, and nobody listens
        assert fleet.start(DaemonSpec("a")).answers()


def test_the_path_of_the_socket_is_too_long(capsys, tmp_path):
    err = complaint(capsys, *UP, tmp_path / ("long" * 30))
    assert "and the kernel takes 107" in err
    assert "choose a shorter --folder" in err


def test_not_root(fleet_folder):
    """As another user; what needs reading is read before."""
    code = f"""
import os, sys
import sim.cli.fleet
from sim.cli import main
from sim.runs import prepare
from sim.scenario import load
words = {[*UP, str(fleet_folder)]!r}
prepare(load(words[2]))
os.seteuid(65534)
sys.exit(main(words))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "need root" in done.stderr
    assert "--node" in done.stderr


def test_a_node_that_does_not_answer(capsys, fleet_folder):
    err = complaint(capsys, *UP, fleet_folder, "--node", "linux/amd64=tcp://127.0.0.1:1")
    assert err.startswith("tcp://127.0.0.1:1: the daemon does not answer: ")


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a small disk in memory."""
    place = tmp_path / "d"
    place.mkdir()

    def mount(size: str) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
        return place

    yield mount
    clean(place)
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("size", ["4k", "32k", "8m"])
def test_a_full_disk_at_the_start(small_disk, capsys, size):
    place = small_disk(size)
    err = complaint(capsys, *UP, place)
    assert "the disk is full" in err or "No space left" in err
    assert leftovers(place) == []


@pytest.mark.parametrize("size", ["16k", "32k", "48k"])
def test_a_disk_that_fills_while_it_starts(small_disk, monkeypatch, size):
    """As if another program had taken the space after the look at it."""
    monkeypatch.setattr("sim.real.daemon._LEAST_FREE_BYTES", 0)
    place = small_disk(size)
    with pytest.raises(EnvironmentMissing, match=r"full|No space left") as caught, Fleet(place) as fleet:
        fleet.start(DaemonSpec("a"))
    assert "\n" not in str(caught.value)
    assert leftovers(place) == []


def test_a_disk_that_fills_in_a_build(small_disk, build):
    with Fleet(small_disk("24m")) as fleet:
        daemon = fleet.start(DaemonSpec("a"))
        failing = build(daemon, ["write", "/big", "60000000"])
        assert failing.wait() == 1
        assert any("no space left on device" in line for line in failing.said)


def test_a_daemon_that_is_killed_is_told_and_cleaned(fleet_folder, build, runs, wait_for):
    with Fleet(fleet_folder) as fleet:
        daemon = fleet.start(DaemonSpec("a"))
        running = build(daemon, ["sleep", "30"])
        wait_for(lambda: runs(daemon, "sleep", "30"))
        os.kill(daemon.pid, signal.SIGKILL)
        assert running.wait() == 1
        with pytest.raises(EnvironmentMissing, match="does not answer"):
            daemon.disk()
        with pytest.raises(EnvironmentMissing, match="does not answer"):
            fleet.start(DaemonSpec("b"), clone_of=daemon).disk() and daemon.ask("du")


def test_a_daemon_that_hangs_does_not_hang_us(fleet_folder):
    begun_s = time.monotonic()
    with Fleet(fleet_folder) as fleet:
        daemon = fleet.start(DaemonSpec("a"))
        os.kill(daemon.pid, signal.SIGSTOP)
        with pytest.raises(EnvironmentMissing, match=r"does not answer within 0\.3 s"):
            daemon.ask("du", timeout_s=0.3)
    assert time.monotonic() - begun_s < 10


def test_a_config_that_buildkitd_refuses(fleet_folder):
    with pytest.raises(EnvironmentMissing, match=r"does not start: .*nonsense") as caught, Fleet(fleet_folder) as fleet:
        fleet.start(DaemonSpec("a", platforms=("nonsense/!",)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "number"), [("", 1), ("/*-amd64", 1), ("/*-amd64/bk.sock", 1), ("/*-amd64", 2)], ids=str
)
def test_interrupt_during_the_start(fleet_folder, pattern, number):
    """As soon as the fleet's folder is there, the first daemon's, its socket, the second daemon's. They get little CPU, and
    so much time to boot that we are never too late."""
    sets = ("--set", "projects=per_target", "--set", "farm.runner.cpus=0.1")
    command = [sys.executable, "-m", "sim", *UP, str(fleet_folder), *sets]
    child = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    until_s = time.monotonic() + 30
    while len(list(fleet_folder.parent.glob(f"{fleet_folder.name}{pattern}"))) < number:
        assert time.monotonic() < until_s
        assert child.poll() is None
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert err == "interrupted\n"
    assert child.returncode in (130, -signal.SIGINT)  # the second may come when Python itself is at its end
