"""Base images of the true builds, made of this machine's toolchains: `python tests/real/as_is/bases.py FOLDER DOCKERFILE ...`.

In: a Go toolchain and Debian's gcc and make, as they are installed here. Out: FOLDER/golang and FOLDER/gcc, and on stdout the
flags that `--as-is` needs for these Dockerfiles. What is there already is left alone. Debian packages are copied by dpkg's
lists, with busybox as shell.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_C = [
    "binutils-common",
    "binutils-x86-64-linux-gnu",
    "cpp-12",
    "gcc-12",
    "libasan8",
    "libatomic1",
    "libbinutils",
    "libc6",
    "libc6-dev",
    "libcc1-0",
    "libcrypt-dev",
    "libcrypt1",
    "libctf-nobfd0",
    "libctf0",
    "libgcc-12-dev",
    "libgcc-s1",
    "libgmp10",
    "libgomp1",
    "libgprofng0",
    "libisl23",
    "libitm1",
    "libjansson4",
    "libmpc3",
    "libmpfr6",
    "libstdc++6",
    "libzstd1",
    "linux-libc-dev",
    "make",
    "zlib1g",
]
_LEFT_OUT = ("usr/share/", "usr/lib/x86_64-linux-gnu/gconv/", "usr/lib/locale/")
_GO = ("bin", "pkg", "src", "go.env", "VERSION")


def main(folder: Path, dockerfiles: list[Path]) -> None:
    """Make what is missing."""
    used = "".join(one.read_text() for one in dockerfiles)
    for image, make in (("golang:1.26", _golang), ("gcc:12", _gcc)):
        if f"FROM {image} " not in used:
            continue
        name = image.partition(":")[0]
        place, unfinished = folder / name, folder / f"{name}.unfinished"
        if not place.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            _shell(unfinished)
            make(unfinished)
            unfinished.rename(place)
        print(f"--base {image}={place}")


def _golang(tree: Path) -> None:
    root = Path(subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True).stdout.strip())
    for name in _GO:
        source, target = root / name, tree / "usr/local/go" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("testdata", "*_test.go"))
        else:
            shutil.copy2(source, target)


def _gcc(tree: Path) -> None:
    known = [one for one in _C if subprocess.run(["dpkg", "-s", one], capture_output=True, check=False).returncode == 0]
    listed = subprocess.run(["dpkg", "-L", *known], capture_output=True, text=True, check=True).stdout.split("\n")
    for line in dict.fromkeys(listed):
        source = Path(line)
        if not line or (source.is_dir() and not source.is_symlink()) or not os.path.lexists(source):
            continue
        name = line.lstrip("/")
        name = f"usr/{name}" if name.startswith(("lib/", "lib64/", "bin/", "sbin/")) else name
        if not name.startswith(_LEFT_OUT):
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    for short, program in (("gcc", "gcc-12"), ("as", "x86_64-linux-gnu-as"), ("ld", "x86_64-linux-gnu-ld")):
        (tree / "usr/bin" / short).unlink(missing_ok=True)
        (tree / "usr/bin" / short).symlink_to(program)


def _shell(tree: Path) -> None:
    """Busybox under all its names, and merged folders as Debian has them."""
    for name in ("bin", "lib", "lib64", "sbin"):
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    for name in ("tmp", "root", "etc", "src"):
        (tree / name).mkdir()
    busybox = shutil.which("busybox")
    if busybox is None:
        sys.exit("busybox is missing: apt-get install busybox-static")
    shutil.copy2(busybox, tree / "usr/bin/busybox")
    for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name not in ("busybox", "ar", "make"):
            (tree / "usr/bin" / name).symlink_to("busybox")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(one) for one in sys.argv[2:]])
