"""Control groups: limits that bind, usage, killing, removal; version 1 where this machine has it, version 2 on its files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.errors import EnvironmentMissing
from sim.real.cgroups import PARENT, Group, Hierarchies, groups, hierarchies

HYBRID = """\
31 23 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
32 31 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:6 - cgroup2 cgroup2 rw,nsdelegate
33 31 0:28 / /sys/fs/cgroup/systemd rw,nosuid shared:7 - cgroup cgroup rw,xattr,name=systemd
36 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:10 - cgroup cgroup rw,cpu,cpuacct
37 31 0:32 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid shared:11 - cgroup cgroup rw,net_cls,net_prio
38 31 0:33 / /sys/fs/cgroup/memory rw,nosuid shared:12 - cgroup cgroup rw,memory
"""
UNIFIED = "29 22 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
BURN = "while True: pass"


@pytest.fixture
def group(machine):
    made = Group(f"test-{os.getpid()}")
    yield made
    made.kill()
    made.remove()


def inside(group: Group, code: str, part: str = "daemon") -> subprocess.Popen[str]:
    """A Python process that enters the group first."""
    places = [str(one).replace("/daemon/", f"/{part}/") for one in group.entrances()]
    entering = f"import os\nfor one in {places}: open(one, 'w').write(str(os.getpid()))\nprint('in', flush=True)\n"
    child = subprocess.Popen([sys.executable, "-c", entering + code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "in\n"
    return child


def test_hybrid_mounts_are_version_1():
    found = hierarchies(HYBRID)
    assert not found.is_v2
    assert found.v1["cpu"] == found.v1["cpuacct"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert found.v1["net_cls"] == Path("/sys/fs/cgroup/net_cls,net_prio")
    assert [one.name for one in found.mounts()] == ["cpu,cpuacct", "net_cls,net_prio", "memory", "unified", "systemd"]


def test_unified_mount_is_version_2():
    found = hierarchies(UNIFIED)
    assert found.is_v2
    assert found.mounts() == [Path("/sys/fs/cgroup")]


def test_no_control_groups_is_an_environment_error():
    with pytest.raises(EnvironmentMissing, match="no control groups"):
        hierarchies("23 1 8:1 / / rw - ext4 /dev/sda1 rw\n")


def test_quota_binds_daemon_and_steps_together(group):
    group.create(cpus=0.5)
    burning = [inside(group, BURN), inside(group, BURN, "steps")]
    before, begun_s = group.usage(), time.monotonic()
    time.sleep(0.8)
    used, took_s = group.usage(), time.monotonic() - begun_s
    for child in burning:
        child.kill()
        child.wait()
    # A period of quota may be used up at either end: + 2 x 0.05 s.
    assert 0 < used.cpu_s - before.cpu_s <= 0.5 * took_s + 0.1
    assert 0 < used.steps_cpu_s < used.cpu_s


def test_over_the_memory_limit_the_process_dies(group):
    group.create(memory_bytes=48e6)
    child = inside(group, "held = bytearray(b'x') * 200_000_000")
    assert child.wait(timeout=20) == -signal.SIGKILL


def test_memory_peak_is_the_largest_reading_without_page_cache(group, tmp_path):
    group.create(memory_bytes=400e6)
    code = f"open({str(tmp_path / 'big')!r}, 'wb').write(bytes(60_000_000))\nheld = bytearray(b'x') * 50_000_000\n"
    child = inside(group, code + "print('full', flush=True)\nimport time\ntime.sleep(60)")
    assert child.stdout is not None
    assert child.stdout.readline() == "full\n"
    full = group.usage()
    child.kill()
    child.wait()
    later = group.usage()
    # 50 MB held, 60 MB in the page cache, 10 MB of Python; the freed bytes of the write may linger.
    kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True).stdout
    files_bytes = 60e6 if kind == "tmpfs\n" else 0.0  # such a file is memory
    assert 50e6 < full.memory_bytes - files_bytes < 100e6
    assert later.memory_bytes < full.memory_bytes == later.memory_peak_bytes
    assert later.charged_peak_bytes > 100e6


def test_cores_instead_of_a_quota(group):
    core = max(os.sched_getaffinity(0))
    group.create(cpus=1, cores=(core,))
    child = inside(group, "import time\ntime.sleep(60)", "steps")
    assert os.sched_getaffinity(child.pid) == {core}
    child.kill()
    child.wait()


def test_kill_reaches_children_and_remove_leaves_no_folder(group):
    group.create(cpus=1)
    code = "import subprocess, time\nsubprocess.Popen(['sleep', '60'])\nprint('two', flush=True)\ntime.sleep(60)"
    child = inside(group, code, "steps")
    assert child.stdout is not None
    assert child.stdout.readline() == "two\n"
    for mount in hierarchies().mounts():  # as runc does, in hierarchies that we did not touch
        (mount / PARENT / group.name / "steps" / "buildkit" / "x").mkdir(parents=True, exist_ok=True)
    assert len(group.pids()) == 2
    assert group.name in groups()
    with pytest.raises(EnvironmentMissing, match="still in use"):
        group.remove(timeout_s=0.05)
    group.kill()
    assert child.wait(timeout=10) == -signal.SIGKILL
    assert group.pids() == set()
    group.remove()
    assert group.name not in groups()
    with pytest.raises(EnvironmentMissing, match="gone"):
        group.usage()


def test_refused_limit_is_one_line_and_leaves_nothing(group):
    with pytest.raises(EnvironmentMissing, match="cannot be set up: writing '9999'"):
        group.create(cores=(9999,))
    assert group.name not in groups()


@pytest.fixture
def v2(tmp_path):
    """A plain folder in the shape of a version 2 tree: no machine of ours has one, but its files are known (cgroup-v2.rst)."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return Hierarchies({}, tmp_path)


def test_version_2_limits(v2):
    group = Group("r", v2)
    group.create(cpus=1.5, memory_bytes=1e9)
    runner = v2.v2 / PARENT / "r"
    assert (runner / "cpu.max").read_text() == "150000 100000"
    assert (runner / "memory.max").read_text() == "1000000000"
    for folder in (v2.v2, runner.parent, runner):
        assert (folder / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert group.entrances() == [runner / "daemon" / "cgroup.procs"]
    assert (runner / "steps").is_dir()


def test_version_2_usage(v2):
    group = Group("r", v2)
    group.create()
    runner = v2.v2 / PARENT / "r"
    (runner / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (runner / "steps" / "cpu.stat").write_text("usage_usec 1500000\n")
    (runner / "memory.stat").write_text("anon 1000\nfile 5000\nshmem 20\n")
    (runner / "memory.peak").write_text("9000\n")
    used = group.usage()
    assert (used.cpu_s, used.steps_cpu_s, used.memory_bytes, used.charged_peak_bytes) == (2.5, 1.5, 1020, 9000)


def test_version_2_without_memory_says_so(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("hugetlb\n")
    with pytest.raises(EnvironmentMissing, match="no control group for cpu, memory"):
        Group("r", Hierarchies({}, tmp_path)).create()
