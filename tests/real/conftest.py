"""Real daemons for the tests: whether this machine can run one, a small context to build, and proof that nothing is left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sim import tools
from sim.errors import EnvironmentMissing
from sim.real import cgroups
from sim.real.daemon import Daemon, DaemonSpec, Node, require_root
from sim.real.node.left import leftovers, other_fleets

sys.path.insert(0, str(Path(__file__).parent))  # for builders beside the tests
_WAIT_S = 600.0


def _why_not() -> str:
    """Why this machine cannot run a daemon; empty when it can."""
    try:
        require_root()
        tools.runc()
        tools.ensure("buildkitd", print)
        tools.ensure("buildctl", print)
        group = cgroups.Group(f"test-{os.getpid()}")
        group.create(cpus=1, memory_bytes=64e6)
        group.remove()
    except EnvironmentMissing as error:
        return str(error)
    return ""


@pytest.fixture(scope="session")
def can_run_daemons() -> None:
    """Skips with the reason, and fails in CI: there the real tests are meant to run."""
    if reason := _why_not():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no BuildKit daemon here: {reason}")


@pytest.fixture
def machine(can_run_daemons: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One test at a time has the machine, over all workers of pytest-xdist: a fleet is alone on it.

    Its folder is the test's own: what a killed run left in the user's is no affair of the tests.
    """
    folder = Path(tempfile.mkdtemp(prefix="bc-"))  # short: a socket's path has at most 107 bytes
    monkeypatch.setenv("BUILDCAST_FLEET", str(folder))
    path = Path(tempfile.gettempdir()) / "buildcast-tests.lock"
    with path.open("w") as file:
        until_s = time.monotonic() + _WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until_s:
                    pytest.fail(f"another test has had {path} for {_WAIT_S:.0f} s")
                time.sleep(0.05)
        while others := other_fleets():  # someone at this machine works with daemons
            if time.monotonic() > until_s:
                pytest.fail(f"daemons of another run have been here for {_WAIT_S:.0f} s: {others}")
            time.sleep(0.2)
        yield
        left = leftovers(folder)
        shutil.rmtree(folder, ignore_errors=True)
        assert left == []


@pytest.fixture(scope="session")
def step(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The static program of `step/main.go`."""
    made = tmp_path_factory.mktemp("step") / "step"
    source = Path(__file__).parent / "step" / "main.go"
    settings = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    subprocess.run(["go", "build", "-o", made, source], check=True, env=settings, cwd=source.parent)
    return made


@dataclass
class Build:
    """A running `buildctl build`."""

    child: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    def wait(self, timeout_s: float = 60.0) -> int:
        _, err = self.child.communicate(timeout=timeout_s)
        self.said = err.splitlines()
        return self.child.returncode

    @property
    def cached(self) -> int:
        """How many steps were cache hits."""
        return sum(line.endswith("CACHED") for line in self.said)


Builds = Callable[..., Build]


@pytest.fixture
def build(step: Path, tmp_path: Path) -> Iterator[Builds]:
    """Starts a build whose RUNs are given: `build(daemon, ["sleep", "1"], ["write", "/x", "100"])`; text is taken as it is."""
    started: list[Build] = []

    def start(daemon: Node, *steps: list[str] | str) -> Build:
        folder = tmp_path / "context"
        folder.mkdir(exist_ok=True)
        if not (folder / "step").exists():
            os.link(step, folder / "step")
        lines = ["FROM scratch AS base", "COPY step /step"]
        for one in steps:
            lines.append(
                one if isinstance(one, str) else "RUN [" + ", ".join(f'"{word}"' for word in ["/step", *one]) + "]"
            )
        (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
        command = [
            tools.ensure("buildctl", print),
            *daemon.flags,
            "build",
            "--progress=plain",
            "--frontend=dockerfile.v0",
        ]
        command += ["--local", f"context={folder}", "--local", f"dockerfile={folder}"]
        started.append(Build(subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)))
        return started[-1]

    yield start
    for one in started:
        if one.child.poll() is None:
            one.child.kill()
            one.child.communicate()


@pytest.fixture
def fleet_folder(tmp_path: Path) -> Path:
    """Short: sockets lie below it."""
    return tmp_path / "f"


@pytest.fixture
def a_daemon(machine: None, fleet_folder: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons, kills what still lives, and proves that nothing stays."""
    made: list[Daemon] = []

    def start(name: str = "a", root_of: Daemon | None = None, **fields: object) -> Daemon:
        daemon = Daemon(DaemonSpec(name, **fields), fleet_folder / name)  # type: ignore[arg-type]
        made.append(daemon)
        if root_of is None:
            daemon.start()
        else:
            daemon.start(root_of.root, hold=root_of.held)
        return daemon

    yield start
    for daemon in made:
        daemon.kill(keep_root=False)
    assert leftovers(fleet_folder) == []


def runs(daemon: Daemon, *words: str) -> bool:
    """A step with these words runs on the daemon."""
    wanted = "\0".join(["/step", *words, ""])
    return any(_command(pid) == wanted for pid in daemon.group.pids())


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


@pytest.fixture(name="runs")
def _runs() -> Callable[..., bool]:
    return runs


def wait_for(is_true: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Poll until it holds."""
    until_s = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < until_s, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(name="wait_for")
def _wait_for() -> Callable[..., None]:
    return wait_for
