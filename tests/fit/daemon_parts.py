"""Where in a cached build's life its daemon and its client work: `sim.fit.constants_fit.COUNTED` and `CLIENT_PARTS`.

`python tests/fit/daemon_parts.py [BUILDS]`, as root, with nothing beside it. The counter of the daemon's control group and the
client's own clock are read every 0.3 ms while it builds what is cached; BuildKit's own times of the vertices say what for.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

import numpy as np

from sim import tools
from sim.fit.suite.bench import Bench, load
from sim.real.daemon import Daemon, DaemonSpec
from sim.real.fleet import Fleet

_EVERY_S, _PAUSE_S = 0.0003, 0.5
_LOADS = ("load build definition", "load .dockerignore")
_POINTS = ("start", "definition", "loaded", ".dockerignore", "loaded", "last step", "end")


class Counter(threading.Thread):
    """Core-seconds of a daemon and of its client, read often until `is_over`."""

    def __init__(self, daemon: Daemon, pid: int) -> None:
        super().__init__()
        self._daemon, self._seen, self.is_over = daemon, [], False
        self._clock = (~pid << 3) | 2  # clock_getcpuclockid(3), which Python has for threads only

    def run(self) -> None:
        while not self.is_over:
            with contextlib.suppress(OSError):  # the client has ended
                self._seen.append((time.time(), self._daemon.usage().cpu_s, time.clock_gettime(self._clock)))
            time.sleep(_EVERY_S)

    def at(self, times_s: list[float]) -> list[np.ndarray]:
        seen_s, daemon_s, client_s = np.array(self._seen).T
        return [np.interp(times_s, seen_s, daemon_s - daemon_s[0]), np.interp(times_s, seen_s, client_s)]


def client(bench: Bench, dockerfile: str) -> list[str]:
    """A client that asks for progress, as a replay's and a CI job's do."""
    place = bench.folder / "build"
    (place / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    command = [str(tools.ensure("buildctl", print)), *bench.node.flags, "build", "--frontend", "dockerfile.v0"]
    command += ["--progress", "rawjson", "--opt", f"platform={bench.platform}"]
    command += ["--local", f"dockerfile={place}", "--local", f"context={place}"]
    command += ["--oci-layout", f"suite={bench.folder / 'images'}"]
    return [*command, "--opt", f"context:base=oci-layout://suite@{bench.digest}"]


def points(command: list[str], daemon: Daemon) -> np.ndarray:
    """When the client started, its two loads started and ended, the last step ended, and the client; what both had used then."""
    begun_s = time.time()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        counter = Counter(daemon, process.pid)
        counter.start()
        lines = process.communicate()[1].splitlines()
    ended_s = time.time()
    counter.is_over = True
    counter.join()
    assert process.returncode == 0, lines[-1:]
    times: dict[str, list[float]] = {}
    told = [json.loads(line) for line in lines if line.startswith("{")]
    for vertex in (one for status in told for one in status.get("vertexes") or ()):
        part = next((word for word in _LOADS if word in vertex["name"]), "step")
        stamps = (vertex.get(name) for name in ("started", "completed"))
        times.setdefault(part, []).extend(datetime.fromisoformat(one).timestamp() for one in stamps if one)
    loads_s = [at(times[word]) for word in _LOADS for at in (min, max)]
    at_s = [begun_s, *loads_s, max(times["step"]), ended_s]
    return np.stack([np.array(at_s) - begun_s, *counter.at(at_s)])


def main(builds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bc-") as name, Fleet(Path(name) / "fleet") as fleet:
        folder = Path(name) / "bench"
        folder.mkdir()
        daemon = fleet.start(DaemonSpec("parts"))
        bench = Bench(daemon, folder, print)
        text = f"FROM base\n{load(cpu_s=0.01)}{load(cpu_s=0.01)}"
        bench.run("first", text)
        command = client(bench, text)
        rows = []
        for _ in range(builds):
            time.sleep(_PAUSE_S)
            rows.append(points(command, daemon))
    print(f"{'':14} {'at':>9}   {'daemon':>14} {'client':>14}")
    for point, at_ms, daemon_ms, client_ms in zip(_POINTS, *1e3 * np.median(rows, axis=0), strict=True):
        print(f"{point:14} {at_ms:6.1f} ms {daemon_ms:6.1f} core-ms {client_ms:6.1f} core-ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
