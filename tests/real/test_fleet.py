"""Fleets of real daemons: alone on the machine, found again, cleaned; and the verbs over them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest

from sim.cli import main
from sim.errors import EnvironmentMissing, InputError
from sim.real.daemon import DaemonSpec, RemoteDaemon
from sim.real.fleet import Fleet, Runner, clean, leftovers, local_runners, runners_of, standing
from sim.scenario.farm import Autoscaling, Farm, Override
from sim.scenario.farm import Runner as Machine

SCENARIO = Path(__file__).parents[2] / "scenarios" / "dedup-pair"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def nothing_left(machine, fleet_folder):
    """After the test there is nothing, whatever happened in it."""
    yield
    found = leftovers(fleet_folder)
    clean(fleet_folder)
    assert found == []


def a_farm(**fields: object) -> Farm:
    return Farm(Machine(cpus=1), {"app": "web", "db": "data"}, **fields)  # type: ignore[arg-type]


def test_a_runner_for_every_project_and_native_platform():
    platforms = {"linux/amd64": 1.0, "linux/386": 1.0, "linux/arm64": 8.0}
    small = Override("data", "linux/386", Machine(cpus=0.25, memory_bytes=1e9))
    farm = a_farm(platforms=platforms, overrides=(small,), max_parallelism=3)
    assert [one.spec.name for one in runners_of(farm)] == ["web-amd64", "web-386", "data-amd64", "data-386"]
    spec = DaemonSpec("data-386", 0.25, 1e9, ("linux/386",), 3, farm.cache)
    assert runners_of(farm)[-1] == Runner("data", "linux/386", spec)


@pytest.mark.parametrize(
    ("farm", "nodes", "complaint"),
    [
        (a_farm(platforms={"linux/s390x": 1.0}), {}, r"linux/s390x does not run on this machine.*--node linux/s390x="),
        (a_farm(), {"linux/arm64": "tcp://a:1"}, "no native platform 'linux/arm64'"),
        (
            a_farm(autoscaling=Autoscaling()),
            {"linux/amd64": "tcp://a:1"},
            "tcp://a:1: a remote daemon cannot be cloned",
        ),
    ],
)
def test_what_cannot_be(farm, nodes, complaint):
    with pytest.raises(InputError, match=complaint):
        local_runners(farm, nodes)


def test_more_cores_than_there_are(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(InputError, match=r"want 2 cpus, and this machine has 1; .*farm.runner.cpus=0.5"):
        local_runners(a_farm(), {})


def test_a_fleet_with_a_clone_leaves_nothing(nothing_left, fleet_folder, build):
    with Fleet(fleet_folder) as fleet:
        origin = fleet.start(DaemonSpec("a/b"))
        assert build(origin, ["sleep", "0.01"]).wait() == 0
        clone = fleet.start(DaemonSpec("a b"), clone_of=origin)
        assert (origin.folder.name, clone.folder.name) == ("a-b", "a-b-2")
        assert len(clone.disk()) == len(origin.disk())
        with pytest.raises(InputError, match="two daemons have the name"):
            fleet.start(DaemonSpec("a/b"))
        with pytest.raises(InputError, match="cannot be cloned"):
            fleet.start(DaemonSpec("c"), clone_of=RemoteDaemon("far", "tcp://a:1"))
        fleet.stop(clone, keep_root=True)
        learned = fleet.start(DaemonSpec("next"), base=clone.root)
        assert len(learned.disk()) == len(origin.disk())
        fleet.stop(learned)
        assert not learned.folder.exists()
    assert not fleet_folder.exists()


def test_an_error_takes_a_kept_fleet_down(nothing_left, fleet_folder):
    def fail_after_keep() -> None:
        with Fleet(fleet_folder) as fleet:
            fleet.start(DaemonSpec("a"))
            fleet.keep()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_keep()
    assert standing(fleet_folder) is None


def test_two_at_once_are_refused(nothing_left, fleet_folder, tmp_path):
    with Fleet(fleet_folder):
        for folder in (fleet_folder, tmp_path / "other"):
            with pytest.raises(EnvironmentMissing, match=rf"another run .*process {os.getpid()}"), Fleet(folder):
                pass
        with pytest.raises(EnvironmentMissing, match="another run"):
            clean(fleet_folder)


def test_a_fleet_that_stays_up_is_found_and_refuses_others(nothing_left, fleet_folder, tmp_path):
    with Fleet(fleet_folder) as fleet:
        daemon = fleet.start(DaemonSpec("a", cpus=0.5, platforms=("linux/amd64",), cores=(0,)))
        pid = daemon.pid
        fleet.add(RemoteDaemon("far", daemon.address), "linux/amd64")
        fleet.keep()
    found = standing(fleet_folder)
    assert found is not None
    assert found.is_kept
    again = found.daemons[0]
    assert (again.spec, again.pid) == (DaemonSpec("a", 0.5, inf, ("linux/amd64",), cores=(0,)), pid)
    assert again.answers()
    assert [one.address for one in found.remotes] == [again.address]
    with pytest.raises(EnvironmentMissing, match="a fleet is up; take it down"), Fleet(fleet_folder):
        pass
    with (
        pytest.raises(EnvironmentMissing, match=rf"another fleet.*fleet down --folder {fleet_folder}"),
        Fleet(tmp_path / "other"),
    ):
        pass
    assert any(line.startswith(f"process {pid} (buildkitd") for line in clean(fleet_folder))
    assert not fleet_folder.exists()


KILLED = """
import os, signal, subprocess, sys, time
from pathlib import Path
from sim import tools
from sim.real.daemon import DaemonSpec
from sim.real.fleet import Fleet
folder, context = map(Path, sys.argv[1:])

def name(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:  # it has ended since it was listed
        return ""

with Fleet(folder) as fleet:
    daemon = fleet.start(DaemonSpec("a"))
    command = [tools.ensure("buildctl", print), *daemon.flags, "build", "--frontend=dockerfile.v0"]
    subprocess.Popen([*command, "--local", f"context={context}", "--local", f"dockerfile={context}"], stderr=subprocess.DEVNULL)
    while not any(name(pid) == "step\\n" for pid in daemon.group.pids()):
        time.sleep(0.02)
    os.kill(daemon.pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_leftovers_of_a_killed_run(nothing_left, fleet_folder, step, tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    os.link(step, context / "step")
    (context / "Dockerfile").write_text('FROM scratch\nCOPY step /step\nRUN ["/step", "sleep", "30"]\n')
    child = subprocess.run(
        [sys.executable, "-c", KILLED, fleet_folder, context], cwd=REPOSITORY, timeout=60, check=False
    )
    assert child.returncode == -signal.SIGKILL
    kinds = {line.split()[0] for line in leftovers(fleet_folder)}
    assert kinds == {"process", "container", "mount", "control", "socket", "cache"}
    with pytest.raises(EnvironmentMissing, match="a killed run has left"), Fleet(fleet_folder):
        pass
    assert {line.split()[0] for line in clean(fleet_folder)} == kinds
    assert leftovers(fleet_folder) == []


def test_a_strangers_folder_is_left_alone(nothing_left, tmp_path):
    (tmp_path / "mine" / "root").mkdir(parents=True)
    (tmp_path / "mine" / "buildkitd.toml").write_text('root = "/var/lib/buildkit"\n')
    assert clean(tmp_path) == []
    assert (tmp_path / "mine" / "root").is_dir()


class Said:
    """What a command printed, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        capsys.readouterr()
        self.code = main([str(one) for one in arguments])
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.out)


def test_up_status_down(nothing_left, fleet_folder, capsys, wait_for):
    place = ("--folder", fleet_folder)
    smaller = ("--set", "farm.runner.cpus=0.5", "--set", "projects=per_target")
    said = Said(capsys, "fleet", "up", SCENARIO, *smaller, *place, "--json")
    assert said.code == 0, said.err
    told = Said(capsys, "fleet", "status", *place, "--json")
    assert told.code == 0
    assert told.json["state"] == "up"
    daemons = told.json["daemons"]
    assert len(daemons) == 2
    assert {one["cpus"] for one in daemons} == {0.5}
    assert "up" in Said(capsys, "fleet", "status", *place).out.splitlines()[2]
    again = Said(capsys, "fleet", "up", SCENARIO, *smaller, *place)
    assert (again.code, len(again.err.splitlines())) == (3, 1)
    os.kill(daemons[0]["pid"], signal.SIGKILL)
    # Out of its quota, it dies in the next period only: until then it is one that does not answer.
    wait_for(lambda: "dead" in Said(capsys, "fleet", "status", *place).out)
    dead = Said(capsys, "fleet", "status", *place)
    assert (dead.code, len(dead.err.splitlines())) == (3, 1)
    gone = Said(capsys, "fleet", "down", *place)
    assert gone.code == 0
    assert "process" in gone.err
    assert Said(capsys, "fleet", "status", *place).out == "the fleet is down\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["fleet", "up", SCENARIO, "--node", "arm64"], "--node: 'arm64' is no node; write PLATFORM=tcp://HOST:PORT"),
        (["fleet", "up", SCENARIO, "--nod", "x"], "did you mean '--node'?"),
        (
            ["fleet", "up", SCENARIO, "--tls-ca", "ca.pem"],
            "--tls-ca is for daemons on other machines: name one with --node",
        ),
        (["fleet", "down", "--foldr", "x"], "did you mean '--folder'?"),
        (["fleet", "up", SCENARIO, "--set", "farm.runner.cpus=1000"], "the runners want 1000 cpus"),
    ],
)
def test_bad_usage(capsys, words, complaint):
    said = Said(capsys, *words)
    assert said.code == 2
    assert complaint in said.err
    assert len(said.err.splitlines()) == 1
