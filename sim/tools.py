"""The pinned Go tools: graph helper, buildx, BuildKit, built once from one go.mod into the user's cache folder.

In: the Go sources beside this file (`tools_go/`). Out: paths of executables, and what they answered. Nothing is built
that is there already; a changed source is another cache entry. What is built comes from the Go module proxy, and go.sum
holds its checksums. runc is no module: it is looked up on PATH.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from sim.errors import EnvironmentMissing, InputError

Tool = Literal["graph", "buildx", "buildkitd", "buildctl", "load", "snapshots"]
Say = Callable[[str], None]

SOURCES = Path(__file__).parent / "tools_go"
_MODULES = ("go.mod", "go.sum")
# What to build, which sources decide the result, and how long it took cold on two cores (libraries.md 1 and 2, design 7).
_PACKAGES: Mapping[Tool, tuple[str, tuple[str, ...], str]] = {
    "graph": (".", ("*.go", *_MODULES), "about a minute"),
    "buildx": ("github.com/docker/buildx/cmd/buildx", _MODULES, "about two minutes"),
    "buildkitd": ("github.com/moby/buildkit/cmd/buildkitd", _MODULES, "one to three minutes"),
    "buildctl": ("github.com/moby/buildkit/cmd/buildctl", _MODULES, "about a minute"),
    "load": ("./load", ("load/*.go", "load/*.s"), "some seconds"),
    "snapshots": ("./snapshots", ("snapshots/*.go", *_MODULES), "some seconds"),
}
# No C library in what runs beside other people's containers.
_STATIC: tuple[Tool, ...] = ("buildkitd", "buildctl", "load", "snapshots")
_VERSIONED = {"buildkit": "github.com/moby/buildkit", "buildx": "github.com/docker/buildx"}


def versions() -> dict[str, str]:
    """The pinned versions of BuildKit and buildx, read from go.mod."""
    lines = [line.split() for line in (SOURCES / "go.mod").read_text(encoding="utf-8").splitlines()]
    pinned = {words[0]: words[1] for words in lines if len(words) >= 2}
    return {name: pinned[module] for name, module in _VERSIONED.items()}


def cache_folder() -> Path:
    """`$BUILDCAST_CACHE`, else `$XDG_CACHE_HOME/buildcast`, else `~/.cache/buildcast`."""
    if chosen := os.environ.get("BUILDCAST_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "buildcast"


def ensure(tool: Tool, say: Say, platform: str = "") -> Path:
    """The executable, built on first use; for another platform (`linux/386`) where one is named.

    Raises EnvironmentMissing without Go, or when the build fails.
    """
    suffix = platform.replace("/", "-") + "-" if platform else ""
    path = cache_folder() / "tools" / f"{tool}-{suffix}{_fingerprint(tool)}"
    if path.exists():
        return path
    if shutil.which("go") is None:
        raise EnvironmentMissing(
            f"Go is needed to build the tool '{tool}', and there is no 'go' on PATH",
            hint="install Go 1.26 or later (https://go.dev/dl)"
            + ("; a scenario with a fresh lock file needs no Go" if tool in ("graph", "buildx") else ""),
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(path.with_suffix(".lock"), say):
            if not path.exists():
                _build(tool, path, say, platform)
    except OSError as error:
        raise EnvironmentMissing(
            f"the cache folder cannot be written: {error.strerror or error}",
            where=str(path.parent),
            hint="set BUILDCAST_CACHE to a writable folder with 300 MB free",
        ) from error
    return path


def runc() -> Path:
    """The program that runs a step's container. Raises EnvironmentMissing with how to get it.

    BuildKit tries the same names in this order (executor/runcexecutor/executor.go of v0.34.2).
    """
    for name in ("buildkit-runc", "runc"):
        if found := shutil.which(name):
            return Path(found)
    raise EnvironmentMissing(
        "runc is needed to run the steps of a build, and it is not on PATH", hint="install it: apt-get install runc"
    )


def run_graph(request: Mapping[str, object], say: Say = lambda _: None) -> dict[str, object]:
    """Ask the graph helper (`tools_go/main.go` has the shape). The user's mistakes are an InputError with file:line."""
    code, out, err = _run([str(ensure("graph", say))], stdin=json.dumps(request))
    if code != 0:
        raise EnvironmentMissing(
            f"the graph helper failed: {err.strip().partition(chr(10))[0]}",
            hint="please report it with the Dockerfile",
        )
    answer: dict[str, object] = json.loads(out)
    problem = answer.get("error")
    if isinstance(problem, dict):
        line = f":{problem['line']}" if problem.get("line") else ""
        raise InputError(str(problem["message"]), where=f"{problem.get('file', '')}{line}")
    return answer


def run_buildx(args: Sequence[str], cwd: Path, *, stdin: str = "", say: Say = lambda _: None) -> str:
    """Run buildx in `cwd` and return its stdout. Its own error becomes an InputError with buildx's words."""
    code, out, err = _run([str(ensure("buildx", say)), *args], stdin=stdin, cwd=cwd)
    if code != 0:
        raise InputError(_last_line(err).removeprefix("ERROR: "))
    return out


def _fingerprint(tool: Tool) -> str:
    found = hashlib.sha256()
    for pattern in _PACKAGES[tool][1]:
        for path in sorted(SOURCES.glob(pattern)):
            found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


@contextlib.contextmanager
def _only_one(path: Path, say: Say) -> Iterator[None]:
    """One build at a time: the second process waits and finds the result."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another buildcast that builds the same tool")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(tool: Tool, path: Path, say: Say, platform: str) -> None:
    package, _, duration = _PACKAGES[tool]
    say(f"building the tool '{tool}' once into {path.parent} ({duration})")
    handle, name = tempfile.mkstemp(prefix=f".{tool}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        # GOFLAGS and GOWORK of the user's own projects must not leak in.
        settings = {"GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}
        if tool in _STATIC:
            settings["CGO_ENABLED"] = "0"
        settings |= _target(platform)
        # BuildKit tells its version only when the linker wrote it in.
        flags = f"-s -w -X github.com/moby/buildkit/version.Version={versions()['buildkit']}"
        if tool == "load" and (SOURCES / f"load/entry_{settings.get('GOARCH')}.s").exists():
            flags += " -E main.entry"  # its first instruction reads a clock (load/clock_linux.go)
        code, _, err = _run(
            ["go", "build", f"-ldflags={flags}", "-o", str(temporary), package], cwd=SOURCES, env=settings
        )
        if code != 0:
            raise EnvironmentMissing(
                f"building the tool '{tool}' failed: {_last_line(err)}",
                hint=f"to see all of it: cd {SOURCES} && go build -o /dev/null {package}",
            )
        temporary.chmod(0o755)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _target(platform: str) -> dict[str, str]:
    """Go's own names for a platform: `linux/arm/v7` is GOARCH arm, GOARM 7."""
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    found = {
        "GOOS": system,
        "GOARCH": architecture,
        "GOARM": variant.removeprefix("v") if architecture == "arm" else "",
    }
    return {name: value for name, value in found.items() if value}


@contextlib.contextmanager
def sheltered() -> Iterator[None]:
    """^C and SIGTERM wait until the end of the block, which must be bounded by time-outs of its own.

    Only the main thread may hold signals back, and only it gets them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, frame: held.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for first in held[:1]:
            signal.raise_signal(first)


def _run(
    command: Sequence[str], *, stdin: str = "", cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Run in a process group of its own, which is ended whatever interrupts the wait: ^C leaves no compiler behind."""
    child: subprocess.Popen[bytes] | None = None
    try:
        with sheltered():  # on a busy machine the child runs before we know its number
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        out, err = child.communicate(stdin.encode())
    except BaseException:
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        raise
    return child.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
