"""Building and running the pinned Go tools."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim import tools
from sim.errors import EnvironmentMissing, InputError

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")


def test_versions_are_the_pinned_ones():
    assert tools.versions() == {"buildkit": "v0.34.2", "buildx": "v0.38.2"}


def test_cache_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.delenv("BUILDCAST_CACHE", raising=False)
    assert tools.cache_folder() == Path("/somewhere/buildcast")
    monkeypatch.setenv("BUILDCAST_CACHE", "/elsewhere")
    assert tools.cache_folder() == Path("/elsewhere")


def test_without_go_the_exit_is_3_and_says_what_helps(monkeypatch, tmp_path):
    monkeypatch.setenv("BUILDCAST_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentMissing, match=r"Go is needed.*install Go"):
        tools.ensure("graph", lambda _: None)


def test_without_runc_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentMissing, match=r"runc is needed.*apt-get install runc"):
        tools.runc()
    (tmp_path / "runc").touch(mode=0o755)
    assert tools.runc() == tmp_path / "runc"


def test_failing_build_leaves_nothing_and_is_one_line(monkeypatch, tmp_path):
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\necho 'dial tcp: no such host' >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("BUILDCAST_CACHE", str(tmp_path / "cache"))
    with pytest.raises(EnvironmentMissing, match=r"failed: dial tcp: no such host; to see all of it") as caught:
        tools.ensure("graph", lambda _: None)
    assert "\n" not in str(caught.value)
    assert [path.suffix for path in (tmp_path / "cache" / "tools").iterdir()] == [".lock"]


def test_unwritable_cache(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BUILDCAST_CACHE", str(tmp_path / "file"))
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(EnvironmentMissing, match="set BUILDCAST_CACHE"):
        tools.ensure("graph", lambda _: None)


def test_interrupt_leaves_no_child(tmp_path):
    """The build runs in a group of its own, so ^C to Python alone must end it."""
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/pid\nwait\n")
    go.chmod(0o755)
    code = "from sim import tools\ntools.ensure('graph', lambda _: None)"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "BUILDCAST_CACHE": str(tmp_path / "cache")}
    root = Path(tools.__file__).parent.parent
    child = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=root, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < until
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    child.wait(timeout=20)
    grandchild = int((tmp_path / "pid").read_text())
    while Path(f"/proc/{grandchild}").exists() and "Z" not in Path(f"/proc/{grandchild}/stat").read_text().split()[2]:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert [path.suffix for path in (tmp_path / "cache" / "tools").iterdir()] == [".lock"]


@needs_go
def test_second_use_builds_nothing(monkeypatch):
    first = tools.ensure("graph", lambda _: None)
    monkeypatch.setenv("PATH", "/nowhere")
    assert tools.ensure("graph", pytest.fail) == first


@needs_go
def test_buildx_speaks_for_itself(tmp_path):
    (tmp_path / "b.hcl").write_text('target "a" {\n  args = { X = nothing }\n}\n')
    with pytest.raises(InputError, match="Unknown variable"):
        tools.run_buildx(["bake", "-f", "b.hcl", "--print", "a"], tmp_path)


@needs_go
@pytest.mark.parametrize("tool", ["buildkitd", "buildctl"])
def test_buildkit_tells_the_pinned_version(tool):
    told = subprocess.run([tools.ensure(tool, print), "--version"], capture_output=True, text=True, check=True).stdout
    assert f" {tools.versions()['buildkit']} " in told
