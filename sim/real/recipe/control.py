"""The server that synthetic steps ask while they run: who fails, how much more a step costs, bytes to download.

In: a decision by (operation, key). Out: an address on the loopback for the recipe, and the executions it was told of. Its
words are those of `tools_go/load/control.go`: `run OP KEY` is answered by `FACTOR EXIT`, `get BYTES` by so many bytes.
"""

from __future__ import annotations

import contextlib
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sim.errors import EnvironmentMissing

_PIECE = memoryview(bytes(1 << 20))
_PATIENCE_S = 30.0  # a step that stopped reading must not hold a thread for ever


@dataclass(frozen=True, slots=True)
class Run:
    """One execution: when it began (`time.time`), the first of its operation's digest, its key, what it was told."""

    began_s: float
    op: str
    key: str
    factor: float
    exit_code: int


Decide = Callable[[str, str], tuple[float, int]]


class Control:
    """A context manager. `decide(op, key)` gives the factor on all amounts and the exit code; it runs in any thread."""

    def __init__(self, decide: Decide = lambda op, key: (1.0, 0)) -> None:
        self._decide = decide
        self._runs: list[Run] = []
        try:
            self._server = _Server(("127.0.0.1", 0), _Handler)
        except OSError as error:
            raise EnvironmentMissing(f"no port on 127.0.0.1 can be had: {error.strerror or error}") from error
        self._server.control = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def address(self) -> str:
        """HOST:PORT, for `write`."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    @property
    def runs(self) -> tuple[Run, ...]:
        """The executions so far, in the order in which they asked."""
        return tuple(self._runs)

    def answer(self, op: str, key: str) -> Run:
        """Decide about an execution and note it."""
        factor, exit_code = self._decide(op, key)
        run = Run(time.time(), op, key, factor, exit_code)
        self._runs.append(run)
        return run

    def __enter__(self) -> Control:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    control: Control


class _Handler(socketserver.StreamRequestHandler):
    timeout = _PATIENCE_S

    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        with contextlib.suppress(OSError, ValueError):  # a step was killed, or something else knocked
            words = self.rfile.readline(256).decode().split()
            if words[:1] == ["run"] and len(words) == 3:
                run = self.server.control.answer(words[1], words[2])
                self.wfile.write(f"{run.factor:.9g} {run.exit_code}\n".encode())
            elif words[:1] == ["get"] and len(words) == 2:
                left = int(words[1])
                while left > 0:
                    left -= self.request.send(_PIECE[: min(left, len(_PIECE))])
