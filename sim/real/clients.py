"""The clients of a replay: `buildctl build`, `buildx bake`, their words and their processes.

In: what to build on which daemon. Out: `Client`s: when each ran, how it ended, its rawjson in a file. Every client is a
process group of its own, which is ended whatever happens to us.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from sim.errors import EnvironmentMissing
from sim.real.daemon import Node
from sim.workload.output import Output

# What must not reach a client from the user's own shell: other builders, other formats, traces.
_ENV_LEFT_OUT = ("BUILDX_", "BUILDKIT_", "DOCKER_", "OTEL_", "JAEGER_", "SOURCE_DATE_EPOCH", "NO_COLOR", "FORCE_COLOR")
_KILL_AFTER_S = 5.0  # semantics 13.10: a client ends 0.04 s after SIGTERM
# An argument that no Dockerfile declares: it changes neither a key nor an image, as a label would.
_MARK = "BUILDCAST_BUILD"
NO_BUILD = 1_000_000_000  # for builds that are no part of the run
_NOT_HERE = ("gha", "s3", "azblob")


@dataclass(slots=True, eq=False)
class Client:
    """One process. Times are ns since 1970. `is_stopped`: we ended it."""

    number: int
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)
    started_ns: int
    ended_ns: int | None = None
    code: int | None = None
    cpu_s: float = 0.0
    is_stopped: bool = False

    def stop(self) -> None:
        """SIGTERM, as ^C in a CI job is; SIGKILL when that does not help."""
        if self.code is None:
            self.is_stopped = True
            self._send(signal.SIGTERM)
            killer = threading.Timer(_KILL_AFTER_S, self.kill)
            killer.daemon = True
            killer.start()

    def kill(self) -> None:
        """SIGKILL."""
        if self.code is None:
            self.is_stopped = True
            self._send(signal.SIGKILL)

    def last_words(self) -> str:
        """What it said beside its events: why it failed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip() and not line.startswith("{")]
        return said[-1].removeprefix("ERROR: ").removeprefix("error: ") if said else ""

    def mentions(self, text: str) -> bool:
        """Whether it, the daemon or a step said so."""
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if text in line:
                return True
            with contextlib.suppress(ValueError, AttributeError, TypeError):
                printed = (one.get("data") or "" for one in json.loads(line).get("logs") or ())
                if any(text.encode() in base64.b64decode(data) for data in printed):
                    return True
        return False

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


@dataclass(slots=True)
class Clients:
    """Starts them. `folder` is private to the run; `registry` HOST:PORT, empty: nothing is pushed."""

    folder: Path
    buildctl: Path
    buildx: Path | None
    registry: str = ""
    started: list[Client] = field(default_factory=list)
    unheard: set[str] = field(default_factory=set)

    def start(
        self, command: Sequence[str], cwd: Path, settings: Mapping[str, str], on_end: Callable[[Client], None]
    ) -> Client:
        """Start a client; `on_end` is called in another thread. EnvironmentMissing: the process cannot be started."""
        number = len(self.started)
        log = self.folder / f"client-{number}.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_ENV_LEFT_OUT)}
        try:
            with log.open("wb") as file:
                started_ns = time.time_ns()
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env={**kept, **settings},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=file,
                    start_new_session=True,
                )
        except OSError as error:
            raise EnvironmentMissing(
                f"a client cannot be started: {error.strerror or error}", where=str(error.filename or command[0])
            ) from error
        client = Client(number, log, process, started_ns)
        self.started.append(client)
        threading.Thread(target=_wait, args=(client, on_end), daemon=True).start()
        return client

    def stop_all(self, timeout_s: float = 3.0) -> None:
        """End all that still run, and wait for it."""
        running = [client for client in self.started if client.code is None]
        for client in running:
            client.stop()
        until_s = time.monotonic() + timeout_s
        while any(client.code is None for client in running) and time.monotonic() < until_s:
            time.sleep(0.01)
        for client in running:
            client.kill()

    def builder(self, owner: str, node: Node) -> tuple[list[str], dict[str, str]]:
        """Words and environment with which buildx builds on one daemon, as the client `owner` (semantics 13.2).

        Each process has a folder of its own, for two that share one hold each other up by a second; what says who it is, is
        the same for one owner. What `buildx create --driver remote` would write is written here: it would be one more process
        in the measurement.
        """
        config = self.folder / f"buildx-{len(self.started)}"
        name = "on-" + "".join(letter if letter.isalnum() else "-" for letter in node.name)
        ca, cert, key = node.tls.files()
        options = {"cacert": ca, "cert": cert, "key": key}
        described = {
            "Name": name,
            "Driver": "remote",
            "Nodes": [
                {
                    "Name": f"{name}-0",
                    "Endpoint": node.address,
                    "Platforms": [],
                    "DriverOpts": {option: str(path) for option, path in options.items() if path is not None},
                    "Flags": None,
                    "Files": None,
                }
            ],
            "Dynamic": False,
        }
        (config / "instances").mkdir(parents=True, exist_ok=True)
        (config / ".buildNodeID").write_text(blake2b(owner.encode(), digest_size=8).hexdigest(), encoding="ascii")
        (config / "instances" / name).write_text(json.dumps(described), encoding="utf-8")
        return ["--builder", name], {"BUILDX_CONFIG": str(config), "BUILDX_BAKE_ENTITLEMENTS_FS": "0"}

    def outputs(self, outputs: Sequence[Output], name: str) -> dict[str, list[str]]:
        """`output`, `cache-to` and `cache-from` of a build in BuildKit's words. What cannot be done here is left out."""
        found: dict[str, list[str]] = {"output": [], "cache-to": [], "cache-from": []}
        for one in outputs:
            if text := self._output(one, name):
                found["output"].append(text)
            if text := self._cache_to(one, name):
                found["cache-to"].append(text)
            if one.cache_from == "registry" and self.registry:
                found["cache-from"].append(f"type=registry,ref={self._reference(name)}-cache,registry.insecure=true")
        return found

    def _output(self, one: Output, name: str) -> str:
        if one.type == "cacheonly":
            return ""
        if one.type in ("oci", "docker", "tar"):
            how = f",compression={one.compression}" if one.type != "tar" else ""
            return f"type={one.type},dest={os.devnull}{how}"
        if one.type == "local":
            return f"type=local,dest={self.folder / f'output-{name}'}"
        if one.push and not self.registry:
            self.unheard.add("images are made but not pushed, for no registry is given (--registry HOST:PORT)")
        pushed = f",name={self._reference(name)},push=true,registry.insecure=true" if one.push and self.registry else ""
        return f"type=image,compression={one.compression}{pushed}"

    def _cache_to(self, one: Output, name: str) -> str:
        if one.cache_to in _NOT_HERE:
            self.unheard.add(f"caches are not exported to {one.cache_to}")
        if one.cache_to == "inline":
            return "type=inline"
        if one.cache_to == "local":
            return f"type=local,dest={self.folder / f'cache-{name}'},mode={one.cache_mode}"
        if one.cache_to == "registry" and not self.registry:
            self.unheard.add("caches are not exported, for no registry is given (--registry HOST:PORT)")
        if one.cache_to == "registry" and self.registry:
            return f"type=registry,ref={self._reference(name)}-cache,mode={one.cache_mode},registry.insecure=true"
        return ""

    def _reference(self, name: str) -> str:
        return f"{self.registry}/{name.lower()}:replay"


def buildctl_words(words: Sequence[str], number: int, outputs: Mapping[str, Sequence[str]]) -> list[str]:
    """`buildctl build` with a source's words.

    buildctl says nothing of itself, so all its contexts on a daemon are copies of one (semantics 5); that of a fresh checkout is
    sent whole all the same, for its files are new.
    """
    found = ["build", "--progress=rawjson", *words, "--opt", f"build-arg:{_MARK}={number}"]
    flags = {"output": "--output", "cache-to": "--export-cache", "cache-from": "--import-cache"}
    for kind, texts in outputs.items():
        found += [word for text in texts for word in (flags[kind], text)]
    return found


def number_of(attributes: Mapping[str, object]) -> int | None:
    """The build that a record of the history is of, by the argument that its client set."""
    value = str(attributes.get(f"build-arg:{_MARK}", ""))
    return int(value) if value.isdigit() else None


def bake_mark(target: str, number: int) -> str:
    """The words that mark a target of a bake."""
    return f"{target}.args.{_MARK}={number}"


def exported_digest(layout: Path) -> str | None:
    """The digest of the image in an OCI layout that a client writes; None: it is not there yet."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return str(json.loads((layout / "index.json").read_text(encoding="utf-8"))["manifests"][0]["digest"])
    return None


def _wait(client: Client, on_end: Callable[[Client], None]) -> None:
    _, status, usage = os.wait4(client.process.pid, 0)
    client.ended_ns = time.time_ns()
    client.cpu_s = usage.ru_utime + usage.ru_stime
    client.code = client.process.returncode = os.waitstatus_to_exitcode(status)
    on_end(client)
