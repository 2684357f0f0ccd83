"""Record `recorded/` anew: what clients and a daemon say of small builds, so that the tests need neither.

    python tests/inputs/record.py --tools DIR --base OCI_LAYOUT [--registry PROGRAM]

In: a folder with buildkitd, buildctl and buildx; an OCI layout of any image with a shell and busybox; the `registry`
program of github.com/distribution/distribution (for the push). Must run as root. Out: the logs, by their case.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent / "recorded"
PORT = 5507
DOCKERFILES = {
    "app": "FROM alpine:3.20 AS base\nRUN sleep 0.4 && echo tools > /tools\n"
    "FROM base AS build\nCOPY package.json /src/\nRUN sleep 0.6 && echo deps > /deps\n"
    "COPY src /src/\nRUN sleep 0.5 && head -c 300000 /dev/urandom > /out\n"
    "FROM base\nCOPY --from=build /out /out\n",
    "renamed": "FROM alpine:3.20 AS other\nRUN sleep 0.4 && echo tools > /tools\n",
    "fail": 'FROM alpine:3.20\nARG TOKEN\nRUN sleep 0.4 && echo "got $TOKEN"\nRUN sleep 0.5; exit 3\n',
    "kill": "FROM alpine:3.20\nCOPY package.json /x\nRUN sleep 1.2 && echo long\nRUN sleep 0.3 && echo short\n",
    "cancel": "FROM alpine:3.20\nRUN sleep 3\nRUN sleep 0.4\n",
    "platforms": "FROM alpine:3.20\nCOPY package.json /x\nRUN sleep 0.5\n",
}
BAKE = {
    "docker-bake.hcl": 'group "default" { targets = ["app", "db"] }\n'
    'group "bad" { targets = ["slow", "broken"] }\n'
    'target "base" { dockerfile = "base.Dockerfile" }\n'
    + "".join(
        f'target "{name}" {{\n dockerfile = "{name}.Dockerfile"\n contexts = {{ base = "target:base" }}\n}}\n'
        for name in ("app", "db")
    )
    + "".join(f'target "{name}" {{ dockerfile = "{name}.Dockerfile" }}\n' for name in ("slow", "broken")),
    "base.Dockerfile": "FROM alpine:3.20\nCOPY b.txt /\nRUN sleep 0.7 && echo base\n",
    "app.Dockerfile": "FROM alpine:3.20 AS own\nRUN sleep 0.4 && echo own\n"
    "FROM base\nCOPY --from=own /bin/busybox /x\nRUN sleep 0.3 && echo app\n",
    "db.Dockerfile": "FROM alpine:3.20 AS own\nRUN sleep 0.4 && echo own\nFROM base\nRUN sleep 0.5 && echo db\n",
    "slow.Dockerfile": "FROM alpine:3.20\nRUN sleep 5 && echo slow\n",
    "broken.Dockerfile": "FROM alpine:3.20\nRUN sleep 0.6; exit 7\n",
    "b.txt": "hello\n",
}


class Recorder:
    def __init__(self, tools: Path, base: Path, work: Path) -> None:
        self.tools, self.work = tools, work
        self.address = f"unix://{work}/s"
        shutil.copytree(base, work / "base")
        self.digest = json.loads((base / "index.json").read_text())["manifests"][0]["digest"]
        self.image = f"oci-layout://{work}/base@{self.digest}"
        self.env = {**os.environ, "BUILDX_CONFIG": str(work / "x"), "BUILDX_BAKE_ENTITLEMENTS_FS": "0"}
        for name, text in DOCKERFILES.items():
            (work / name / "src").mkdir(parents=True)
            (work / name / "Dockerfile").write_text(text)
            (work / name / "package.json").write_text("{}\n")
            (work / name / "src" / "a.txt").write_text("a" * 20000)
        (work / "bake").mkdir()
        for name, text in BAKE.items():
            (work / "bake" / name).write_text(text)

    def build(
        self, name: str, case: str, *more: str, progress: str = "rawjson", piped: bool = False
    ) -> subprocess.Popen[bytes]:
        """One buildctl, whose stderr is the log."""
        folder = self.work / name
        command = [self.tools / "buildctl", "--addr", self.address, "build", f"--progress={progress}"]
        command += ["--frontend", "dockerfile.v0", "--local", f"context={folder}", "--local", f"dockerfile={folder}"]
        command += ["--oci-layout", f"base={self.work}/base", *more]
        command += ["--opt", f"context:alpine:3.20=oci-layout://base@{self.digest}"]
        with self.log(case) as log:
            return subprocess.Popen(command, stderr=subprocess.PIPE if piped else log, stdout=subprocess.DEVNULL)

    def bake(self, case: str, *targets: str, progress: str = "rawjson") -> None:
        command = [self.tools / "buildx", "--builder", "b", "bake", f"--progress={progress}", *targets]
        command += [
            f"--allow=fs.read={self.work}",
            f"--set=*.contexts.alpine:3.20={self.image}",
            "--set=*.output=type=cacheonly",
            "--provenance=false",
        ]
        with self.log(case) as log:
            subprocess.run(command, env=self.env, cwd=self.work / "bake", stderr=log, stdout=subprocess.DEVNULL)

    def timed(self, name: str, case: str) -> None:
        """A plain log as CI keeps it: each line behind the time at which it came."""
        child = self.build(name, case, progress="plain", piped=True)
        with self.log(case) as log:
            for line in child.stderr or ():
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z "
                log.write(now.encode() + line)
        child.wait()

    def say(self, tool: str, *words: str) -> str:
        command = [str(self.tools / tool), *words]
        return subprocess.run(command, env=self.env, check=True, stdout=subprocess.PIPE, text=True).stdout

    def logs(self, folder: str) -> None:
        """The daemon's own records: what `buildctl debug` answers."""
        found = self.say("buildctl", "--addr", self.address, "debug", "histories", "--format", "{{json .}}")
        (HERE / folder).mkdir(exist_ok=True)
        (HERE / folder / "histories.jsonl").write_text(found)
        for line in found.splitlines():
            ref = json.loads(line)["record"]["Ref"]
            log = self.say("buildctl", "--addr", self.address, "debug", "logs", "--progress", "rawjson", ref)
            (HERE / folder / f"{ref}.jsonl").write_text(log)

    @contextlib.contextmanager
    def log(self, case: str) -> Iterator[IO[bytes]]:
        """A log; the client's warnings name folders of this machine, so these are renamed at the end (`neutral`)."""
        with (HERE / case).open("wb") as file:
            yield file

    def neutral(self) -> None:
        for path in HERE.rglob("*"):
            if path.is_file() and path.suffix in (".jsonl", ".log"):
                path.write_text(path.read_text().replace(str(self.work), "/src"))
            path.chmod(0o755 if path.is_dir() else 0o644)

    @contextlib.contextmanager
    def daemon(self, name: str) -> Iterator[None]:
        """A daemon with a root of its own; builds of one case are not cached for the next."""
        root = self.work / f"d-{name}"
        root.mkdir()
        (root / "c.toml").write_text(
            f'root = "{root}/root"\n[grpc]\n address = ["{self.address}"]\n[otel]\n socketPath = "{root}/o"\n'
            '[worker.oci]\n enabled = true\n snapshotter = "overlayfs"\n networkMode = "host"\n gc = false\n'
            f'[worker.containerd]\n enabled = false\n[registry."127.0.0.1:{PORT}"]\n http = true\n'
        )
        with (root / "log").open("wb") as log:
            child = subprocess.Popen([self.tools / "buildkitd", "--config", root / "c.toml"], stderr=log, stdout=log)
        try:
            for _ in range(200):
                command = [self.tools / "buildctl", "--addr", self.address, "debug", "workers"]
                if subprocess.run(command, capture_output=True).returncode == 0:
                    break
                time.sleep(0.05)
            self.say("buildx", "create", "--name", "b", "--driver", "remote", self.address)
            yield
        finally:
            self.say("buildx", "rm", "b")
            child.terminate()
            child.wait(30)


def wait(*children: subprocess.Popen[bytes]) -> None:
    for child in children:
        child.wait()


def record(made: Recorder, registry: Path | None) -> None:
    with made.daemon("pair"):
        first = made.build("app", "pair-a.jsonl", "--trace", str(made.work / "trace"))
        time.sleep(0.6)
        wait(first, made.build("app", "pair-b.jsonl"))
        shutil.copy(made.work / "trace", HERE / "pair-a.trace.jsonl")
        wait(made.build("app", "cached.jsonl"))
        wait(made.build("app", "no-cache.jsonl", "--no-cache"))
        wait(made.build("app", "export.jsonl", "--output", f"type=local,dest={made.work}/out"))
        made.logs("pair")
    with made.daemon("renamed"):
        first = made.build("app", "renamed-a.jsonl")
        time.sleep(0.3)
        wait(first, made.build("renamed", "renamed-b.jsonl"))
    with made.daemon("timed"):
        made.timed("app", "plain-timed.log")
    with made.daemon("plain"):
        wait(made.build("app", "plain.log", progress="plain"))
        wait(made.build("app", "plain-cached.log", progress="plain"))
        wait(made.build("fail", "plain-failed.log", progress="plain"))
    with made.daemon("killed"):
        owner = made.build("kill", "killed-owner.jsonl")
        time.sleep(0.5)
        waiter = made.build("kill", "killed-waiter.jsonl")
        time.sleep(0.4)
        owner.kill()
        wait(owner, waiter)
        gone = made.build("cancel", "cancelled.jsonl")
        time.sleep(0.7)
        gone.terminate()
        wait(gone)
        made.logs("killed")
    with made.daemon("failed"):
        secret = ("--opt", "build-arg:TOKEN=hunter2-secret")
        first = made.build("fail", "failed-a.jsonl", *secret)
        time.sleep(0.3)
        wait(first, made.build("fail", "failed-b.jsonl", *secret))
        made.logs("failed")
    with made.daemon("bake"):
        made.bake("bake.jsonl")
        made.say("buildx", "--builder", "b", "history", "export", "--all", "-o", str(HERE / "bake.dockerbuild"))
        made.say("buildx", "--builder", "b", "history", "export", "-o", str(HERE / "one.dockerbuild"))
        made.logs("bake")
        made.bake("bake-failed.jsonl", "bad")
        wait(made.build("platforms", "platforms.jsonl", "--opt", "platform=linux/amd64,linux/386"))
    with made.daemon("bake-plain"):
        made.bake("plain-bake.log", progress="plain")
    if registry is not None:
        with made.daemon("push"):
            (made.work / "r.yml").write_text(
                f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {made.work}/r\nhttp:\n  addr: 127.0.0.1:{PORT}\n"
            )
            server = subprocess.Popen(
                [registry, "serve", made.work / "r.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(1)
            name = f"type=image,name=127.0.0.1:{PORT}/app,push=true"
            wait(made.build("app", "push.jsonl", "--output", name))
            server.terminate()
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag in ("--tools", "--base", "--registry"):
        parser.add_argument(flag, type=Path, required=flag != "--registry")
    args = parser.parse_args()
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    work = Path(tempfile.mkdtemp(prefix="record-"))
    made = Recorder(args.tools, args.base, work)
    try:
        record(made, args.registry)
        made.neutral()
    finally:
        for line in Path("/proc/mounts").read_text().splitlines():
            if line.split()[1].startswith(f"{work}/"):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
