"""A process known by number and start time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from sim.real.node.process import Process

# The second thread cannot be stopped: it waits (vfork(2)) until its child runs, which opens a pipe without a writer first.
_BUSY = """
import os, sys, threading
start = lambda: os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])
threading.Thread(target=start).start()
input()
"""


def test_stopped_are_all_threads_or_none(tmp_path, wait_for):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, "-c", _BUSY, pipe], stdin=subprocess.PIPE) as child:
        process = Process.of(child.pid)
        try:
            assert not process.is_stopped()
            wait_for(lambda: has_children(child.pid))
            process.send(signal.SIGSTOP)
            wait_for(lambda: process.state() == "T")  # the first thread
            assert not process.is_stopped()
            os.close(os.open(pipe, os.O_WRONLY))
            wait_for(process.is_stopped)
        finally:
            os.close(os.open(pipe, os.O_RDWR))  # lets the grandchild go, whatever failed
            child.kill()
    assert process.is_stopped()  # gone


def has_children(pid: int) -> bool:
    """One of its threads has made a process."""
    return any((thread / "children").read_text() for thread in Path(f"/proc/{pid}/task").iterdir())
