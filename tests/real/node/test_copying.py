"""Copies of a root that changes meanwhile."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from sim.errors import EnvironmentMissing
from sim.real.node.copying import copy_root

SNAPSHOTS = Path("runc-overlayfs/snapshots/snapshots")


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Path, mode, time and content of every file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
        for path in files
    }


def write(root: Path, path: str | Path, content: str, mtime: int | None = None) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)
    if mtime is not None:
        os.utime(root / path, (mtime, mtime))


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "root"
    write(made, "cache.db", "db 1")
    write(made, "runc-overlayfs/content/blobs/sha256/aa", "blob")
    for number in range(1, 5):
        write(made, SNAPSHOTS / str(number) / "fs/file", f"layer {number}", mtime=1_000_000_000)
    time.sleep(0.15)  # older than the copy: the second pass must find what it has to do
    return made


def test_a_root_at_rest(root, tmp_path):
    copy_root(root, tmp_path / "copy")
    assert tree(tmp_path / "copy") == tree(root)


def test_what_the_source_was_receiving_is_left_out(root, tmp_path):
    """A daemon on the copy would go on at its end: "failed to copy: unsupported offset"."""
    before = tree(root)
    write(root, "runc-overlayfs/content/ingest/bb/data", "half a bl")
    copy_root(root, tmp_path / "copy")
    assert tree(tmp_path / "copy") == before


def test_changes_during_the_copy_are_caught_even_with_old_times(root, tmp_path):
    @contextlib.contextmanager
    def hold():
        write(root, "cache.db", "db 2")
        write(root, SNAPSHOTS / "2/fs/file", "extracted", mtime=900_000_000)  # tar sets old times
        write(root, SNAPSHOTS / "5/fs/deep/file", "new", mtime=900_000_000)
        (root / "runc-overlayfs/content/blobs/sha256/aa").unlink()
        (root / SNAPSHOTS / "3/fs/file").unlink()
        os.rename(root / SNAPSHOTS / "4", root / SNAPSHOTS / "6")
        yield
        write(root, "cache.db", "db 3")

    copy_root(root, tmp_path / "copy", hold)
    copied = tree(tmp_path / "copy")
    assert copied.pop("cache.db")[2] == b"db 2"
    expected = tree(root)
    del expected["cache.db"]
    assert copied == expected


@pytest.fixture
def half_a_commit(a_daemon, build):
    """A root's file, and its bytes before and after containerd's half of a commit whose other half the root has."""
    daemon = a_daemon()
    assert build(daemon, ["sleep", "0.01"]).wait() == 0
    daemon.stop()
    [metadata] = daemon.root.glob("*/containerdmeta.db")
    before = metadata.read_bytes()
    daemon.start()
    assert build(daemon, ["sleep", "0.01"], ["sleep", "0.02"]).wait() == 0  # what a step stands on is finalised
    daemon.stop()
    return metadata, before, metadata.read_bytes()


@pytest.mark.parametrize("earlier", [0, 2])
def test_a_copy_from_the_middle_of_a_commit_is_brought_up_to_its_end(half_a_commit, tmp_path, earlier):
    metadata, before, after = half_a_commit
    moments = iter([*([before] * earlier), after])

    @contextlib.contextmanager
    def hold():
        metadata.write_bytes(next(moments))
        yield

    root = metadata.parent.parent
    copy_root(root, tmp_path / "copy", hold)
    assert list(moments) == []
    assert tree(tmp_path / "copy") == tree(root)


def test_what_an_earlier_kill_took_holds_no_copy_up(half_a_commit, tmp_path):
    metadata, before, _ = half_a_commit
    metadata.write_bytes(before)
    copy_root(metadata.parent.parent, tmp_path / "copy", contextlib.nullcontext)
    assert tree(tmp_path / "copy") == tree(metadata.parent.parent)


@pytest.mark.parametrize("seed", range(5))
def test_random_changes(root, tmp_path, seed):
    chance = random.Random(seed)

    @contextlib.contextmanager
    def hold():
        for at in range(30):
            there = sorted(path for path in root.rglob("*") if path.is_file())
            match chance.randrange(4):
                case 0:
                    write(root, chance.choice(there).relative_to(root), f"changed {at}", mtime=chance.randrange(10**9))
                case 1:
                    write(root, SNAPSHOTS / str(chance.randrange(1, 12)) / f"fs/d{at}/f", f"new {at}")
                case 2:
                    chance.choice(there).unlink()
                case 3:
                    write(root, f"runc-overlayfs/content/blobs/sha256/{at}", f"blob {at}")
        yield

    copy_root(root, tmp_path / "copy", hold)
    assert tree(tmp_path / "copy") == tree(root), f"seed {seed}"


def test_a_full_disk_is_one_line_and_leaves_nothing(root, tmp_path, can_run_daemons):
    small = tmp_path / "small"
    small.mkdir()
    write(root, "big", "x" * 200_000)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        with pytest.raises(EnvironmentMissing, match="the disk is full") as caught:
            copy_root(root, small / "copy")
        assert "\n" not in str(caught.value)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)
