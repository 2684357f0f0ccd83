"""`buildcast fleet install | up | status | down`: real BuildKit daemons on this machine.

In: parsed arguments. Out: a table or JSON on stdout, messages on stderr; exit code 3 when the environment is not as needed, and
from `status` when something is dead or left over.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite
from pathlib import Path

from sim import tools
from sim.cli.terminal import Progress, json_text
from sim.cli.verbs.flags import tls_of
from sim.errors import EnvironmentMissing, InputError
from sim.real.daemon import Daemon, Node, RemoteDaemon, Tls, require_root
from sim.real.fleet import (
    Fleet,
    Runner,
    clean,
    default_folder,
    leftovers,
    local_runners,
    standing,
)
from sim.report.numbers import count
from sim.report.tables import table
from sim.scenario import load
from sim.trace import Json
from sim.units import format_bytes

_TOOLS: tuple[tools.Tool, ...] = ("buildkitd", "buildctl", "buildx", "load", "snapshots")
_HEADER = ("daemon", "state", "cpus", "memory", "cpu used", "cache", "process", "address")


@dataclass(frozen=True, slots=True)
class Row:
    """One daemon as it is now; None where nobody can know."""

    name: str
    state: str
    address: str
    cpus: float | None = None
    memory_bytes: float | None = None
    cpu_s: float | None = None
    cache_bytes: int | None = None
    pid: int | None = None


def install(args: argparse.Namespace) -> int:
    """Build what is missing, look for runc, and say where all of it is."""
    with Progress("installing", quiet=args.quiet) as progress:
        paths: dict[str, Path] = {}
        for done, tool in enumerate(_TOOLS):
            progress(done, len(_TOOLS))
            paths[tool] = tools.ensure(tool, progress.say)
        paths["runc"] = tools.runc()
    versions = tools.versions()
    if args.json:
        print(json_text({"versions": dict(versions), "tools": {name: str(path) for name, path in paths.items()}}))
    else:
        told = {"buildkitd": versions["buildkit"], "buildctl": versions["buildkit"], "buildx": versions["buildx"]}
        rows = [(name, told.get(name, ""), str(path)) for name, path in paths.items()]
        print("\n".join(table(("tool", "version", "file"), rows)))
    return 0


def up(args: argparse.Namespace) -> int:
    """Start all daemons; they stay."""
    from sim.runs import prepare  # the other verbs need no simulator

    nodes = _nodes(args.node)
    tls = tls_of(args)
    with Progress("starting the fleet", quiet=args.quiet) as progress:
        farm = prepare(load(args.scenario, args.sets), say=progress.say).farm
        runners = local_runners(farm, nodes)
        if emulated := [one for one, slowdown in farm.platforms.items() if slowdown != 1.0]:
            progress.say(f"note: {', '.join(emulated)} is emulated in the scenario and gets no daemon")
        if runners:
            require_root()
        with Fleet(_folder(args), say=progress.say) as fleet:
            rows = _start(fleet, runners, nodes, tls, progress)
            fleet.keep()
    _show(args, "up", rows, [])
    return 0


def status(args: argparse.Namespace) -> int:
    """Print what stands. EnvironmentMissing (after the table) when a daemon is dead or a killed run has left something."""
    folder = _folder(args) or default_folder()
    stands = standing(folder)
    left = leftovers(folder)
    if stands is None:
        _show(args, "left over" if left else "down", [], left)
        if left:
            raise _left(folder)
        return 0
    rows = [_row(one) for one in (*stands.daemons, *stands.remotes)]
    is_meant = stands.is_kept or stands.owner.is_alive()
    state = "left over" if not is_meant else "up" if stands.is_kept else f"used by process {stands.owner.pid}"
    _show(args, state, rows, [] if is_meant else left)
    if not is_meant:
        raise _left(folder)
    if stands.is_kept and (bad := [row.name for row in rows if row.state != "up"]):
        raise EnvironmentMissing(
            f"{count(len(bad), 'daemon')} not as it should be: {', '.join(bad)}",
            where=str(folder),
            hint="buildcast fleet down, then up again",
        )
    return 0


def down(args: argparse.Namespace) -> int:
    """End and remove all."""
    with Progress("taking the fleet down", quiet=args.quiet) as progress:
        gone = clean(_folder(args))
        progress.say("removed:\n" + "\n".join(f"  {line}" for line in gone) if gone else "there was nothing")
    if args.json:
        print(json_text({"state": "down", "removed": list(gone)}))
    return 0


def _start(fleet: Fleet, runners: list[Runner], nodes: Mapping[str, str], tls: Tls, progress: Progress) -> list[Row]:
    total = len(runners) + len(nodes)
    rows: list[Row] = []
    for platform, address in nodes.items():
        progress(len(rows), total)
        remote = RemoteDaemon(platform, address, tls)
        fleet.add(remote, platform)
        rows.append(Row(platform, "up", address))
    for runner in runners:
        progress(len(rows), total)
        rows.append(_row(fleet.start(runner.spec)))
    return rows


def _row(one: Node) -> Row:
    if not isinstance(one, Daemon):
        return Row(one.name, "up" if one.answers() else "does not answer", one.address)
    spec = one.spec
    limits = (spec.cpus or None, spec.memory_bytes if isfinite(spec.memory_bytes) else None)
    dead = Row(one.name, "dead", one.address, *limits)
    if not one.is_alive():
        return dead
    try:
        used, records = one.usage(), one.disk()
    except EnvironmentMissing:  # perhaps it died meanwhile
        return replace(dead, state="does not answer", pid=one.pid) if one.is_alive() else dead
    cache_bytes = sum(record.size_bytes for record in records)
    return Row(one.name, "up", one.address, *limits, used.cpu_s, cache_bytes, one.pid)


def _show(args: argparse.Namespace, state: str, rows: list[Row], left: list[str]) -> None:
    if args.json:
        folder = str(_folder(args) or default_folder())
        daemons: list[Json] = [_json(row) for row in rows]
        print(json_text({"state": state, "folder": folder, "daemons": daemons, "leftovers": list(left)}))
        return
    lines = [f"the fleet is {state}" if state != "left over" else "a killed run has left:"]
    lines += table(_HEADER, [_cells(row) for row in rows]) if rows else []
    print("\n".join([*lines, *(f"  {line}" for line in left)]))


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        row.state,
        "n/a" if row.cpus is None else f"{row.cpus:g}",
        "n/a" if row.memory_bytes in (None, inf) else format_bytes(row.memory_bytes or 0),
        "n/a" if row.cpu_s is None else f"{row.cpu_s:.1f} s",
        "n/a" if row.cache_bytes is None else format_bytes(row.cache_bytes),
        "n/a" if row.pid is None else str(row.pid),
        row.address,
    ]


def _json(row: Row) -> dict[str, Json]:
    return {
        "name": row.name,
        "state": row.state,
        "address": row.address,
        "cpus": row.cpus,
        "memory_bytes": row.memory_bytes,
        "cpu_s": row.cpu_s,
        "cache_bytes": row.cache_bytes,
        "pid": row.pid,
    }


def _nodes(given: list[str]) -> dict[str, str]:
    """`linux/arm64=tcp://host:1234`, one a platform."""
    nodes: dict[str, str] = {}
    for text in given:
        platform, _, address = text.partition("=")
        if "/" not in platform or "://" not in address:
            raise InputError(f"'{text[:80]}' is no node", where="--node", hint="write PLATFORM=tcp://HOST:PORT")
        if platform in nodes:
            raise InputError(f"{platform} has two nodes", where="--node", hint="give one a platform")
        nodes[platform] = address
    return nodes


def _folder(args: argparse.Namespace) -> Path | None:
    return Path(args.folder) if args.folder else None


def _left(folder: Path) -> EnvironmentMissing:
    return EnvironmentMissing("a killed run has left this", where=str(folder), hint="clean up: buildcast fleet down")
