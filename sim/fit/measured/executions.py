"""What ran on each runner of a trace, from when to when: the input of every fit.

In: a `Trace`, measured or simulated, and what is known of its farm. Out: `Execution`s by `Observation`. A step that was
shared or cached used nothing; one that was cancelled used the machine until it was killed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import inf, isnan
from typing import Literal

from sim.errors import InputError
from sim.fit.measured.cells import LOADS, mapping, named, number, whole
from sim.fit.measured.clients import Client, client_cpu_s, clients_of
from sim.fit.measured.memory import memory_by_command
from sim.scenario.farm import Runner
from sim.trace import RUNNERS, Cell, Json, Trace

Kind = Literal[
    "exec", "copy", "context", "source", "merge", "export", "digest", "preamble", "opening", "tail", "bake tail"
]
ENDED = ("executed", "failed", "cancelled")

_FROM = re.compile(r"COPY .*--from=(\S+)")
_LOCKED = re.compile(r"--mount=(?=\S*type=cache)(?=\S*sharing=locked)(\S+)")
_CACHE = re.compile(r"--mount=(?=\S*type=cache)(\S+)")
_MOUNT_ID = re.compile(r"(?:^|,)id=([^,]+)")
_MOUNT_TARGET = re.compile(r"(?:^|,)(?:target|dst|destination)=([^,]+)")
_PREFIX = re.compile(r"^\[(?P<inside>[^\]]*?)\s*(?P<number>\d+/\d+)\] (?P<command>.*)$", re.DOTALL)
_PLATFORM = re.compile(r"^\w+/\w+(/\w+)?$")
_SHORT_S = 1e-6
_BUSY = 0.9  # of the cores: then the hypervisor shows


@dataclass(frozen=True, slots=True)
class Execution:
    """One vertex that used a runner, or a digest of what one takes.

    `started_s`: its slot and its locked mounts are held, its work begins. `is_whole`: it ran to its own end. `is_warm`: its
    cache mount had been filled before. Amounts that nobody measured are None; `cpu_s` is the command's own, without the
    daemon's share. `memory_bytes`: its command's share of what was in use.
    """

    runner: int
    build: int
    name: str
    kind: Kind
    platform: str
    started_s: float
    completed_s: float
    is_whole: bool = True
    is_ok: bool = True
    is_warm: bool = False
    cpu_s: float | None = None
    bytes: float | None = None
    memory_bytes: float | None = None

    @property
    def took_s(self) -> float:
        """Seconds from the start of its work to its end."""
        return self.completed_s - self.started_s

    @property
    def command(self) -> str:
        """The name without `[target platform stage 2/5]`."""
        found = _PREFIX.match(self.name)
        return found["command"] if found else self.name

    @property
    def stage(self) -> str:
        """The stage as the name says it: the last word before the step's number; empty where there is none."""
        found = _PREFIX.match(self.name)
        words = [word for word in found["inside"].split() if not _PLATFORM.match(word)] if found else []
        return words[-1] if words else ""


@dataclass(frozen=True, slots=True)
class Observation:
    """A trace made ready for fits: its executions in order of start, and the machines they ran on.

    `clients`: when each worked, and `client_cpu_s`: how much of the cores it took itself: a replay's run there.
    `cpu_s`: core-seconds of all daemons and their steps, where they were counted.
    """

    name: str
    executions: tuple[Execution, ...]
    runners: Mapping[int, Runner]
    host: Runner | None = None
    slowdowns: Mapping[str, float] = field(default_factory=dict)
    clients: tuple[Client, ...] = ()
    client_cpu_s: float = 0.0
    cpu_s: float | None = None


def observe(
    trace: Trace, *, where: str = "", cpus: float | None = None, farm: Mapping[str, Json] | None = None
) -> Observation:
    """The executions of a trace. `cpus`: cores of its runners where the trace does not say; `farm`: instead of meta's.

    InputError: no steps with times, or nobody knows the cores.
    """
    where = where or trace.meta.name
    farm = farm if farm is not None else mapping(trace.meta.scenario.get("farm"))
    found = _executions(trace, has_slots=bool(farm.get("max_parallelism")))
    if not found:
        hint = "calibrate from a replay, or from logs with times (rawjson, buildx history)"
        raise InputError("holds no step with a start and an end", where=where, hint=hint)
    runners = _runners(trace, farm, cpus, {one.runner for one in found}, where)
    host = farm.get("host")
    slow = {str(name): number(factor) for name, factor in mapping(farm.get("platforms")).items()}
    return Observation(
        name=where,
        executions=tuple(sorted(found, key=lambda one: (one.started_s, one.completed_s))),
        runners=runners,
        host=without(_runner(mapping(host)), lost_share([trace])) if host else None,
        slowdowns={name: factor for name, factor in slow.items() if factor != 1.0},
        clients=clients_of(trace),
        client_cpu_s=client_cpu_s(trace),
        cpu_s=_counted_cpu_s(trace),
    )


def _counted_cpu_s(trace: Trace) -> float | None:
    """What the runners' cgroups counted since they were ready; None: nobody did, or exports are in it."""
    runners = [mapping(one) for one in mapping(trace.meta.machine.get("runners")).values()]
    has_exports = any(row["kind"] == "export" for row in named(trace, "steps"))
    if not runners or has_exports:
        return None
    spent_s = 0.0
    for one in runners:
        counted_s, boot_s = one.get("cpu_s"), one.get("boot_cpu_s")
        if not isinstance(counted_s, float) or not isinstance(boot_s, float):
            return None
        spent_s += counted_s - boot_s
    return spent_s


def lost_share(traces: Sequence[Trace]) -> float:
    """What others, and the hypervisor, take of such replays' machine where they want all of it; 0: not measured.

    Others take it by the time, the hypervisor by what is used: in the corpus 0.2 to 0.3 % where a core is idle, 0.7 to 1.0 %
    where both are busy, in pieces of 50 ms. So the busy ones say how much that is, where there are some.
    """
    taken = [one for one in map(_taken, traces) if one[0]]
    if not taken:
        return 0.0
    machine_s, others_s, _, _ = map(sum, zip(*taken, strict=True))
    busy = [one for one in taken if one[3] + one[2] >= _BUSY * one[0]] or taken
    _, _, stolen_s, used_s = map(sum, zip(*busy, strict=True))
    return others_s / machine_s + (stolen_s / (used_s + stolen_s) if stolen_s else 0.0)


def _taken(trace: Trace) -> tuple[float, float, float, float]:
    """Core-seconds of a replay's machine: all, others', stolen ones, and the used (all the rest, where nobody counted)."""
    machine = trace.meta.machine
    during = mapping(mapping(machine.get("load")).get("during"))
    machine_s = number(during.get("seconds") or 0.0) * number(machine.get("cpus") or 1.0)
    counted = [mapping(one).get("cpu_s") for one in mapping(machine.get("runners")).values()]
    used_s = sum(one for one in counted if isinstance(one, float)) + number(machine.get("clients_cpu_s") or 0.0)
    others_s, stolen_s = (number(during.get(name) or 0.0) * machine_s for name in ("others", "stolen"))
    most_s = machine_s - stolen_s
    return machine_s, others_s, stolen_s, min(used_s, most_s) if counted and None not in counted else most_s


def without(host: Runner, share: float) -> Runner:
    """A machine of which a share of the cores' time goes elsewhere."""
    return replace(host, cpus=host.cpus * (1.0 - share))


def _executions(trace: Trace, *, has_slots: bool) -> list[Execution]:
    platform_of = {whole(row[0]): str(row[2] or "") for row in trace.runners.rows()}
    builds = {whole(row["build"]): row for row in named(trace, "builds")}
    is_measured = trace.meta.source == "measured"
    found: list[Execution] = []
    for row in named(trace, "steps"):
        started_s, completed_s = row["started_s"], row["completed_s"]
        if row["outcome"] not in ENDED or started_s is None or completed_s is None or row["kind"] == "overhead":
            continue
        runner = whole(row["runner"] if row["runner"] is not None else 0)
        build: Mapping[str, Cell] = builds.get(whole(row["build"])) or {}
        kind, name = str(row["kind"]), _without_target(str(row["step"]), build.get("target"))
        asked = build.get("platforms") or ()
        platform = str(asked[0]) if len(asked) == 1 else platform_of.get(runner, "")  # type: ignore[arg-type, index]
        found.append(
            Execution(
                runner=runner,
                build=whole(row["build"]),
                name=name,
                kind="preamble" if _is_preamble(row) else kind,  # type: ignore[arg-type]
                platform=platform,
                started_s=number(started_s) + number(row["lock_wait_s"] or 0.0),
                completed_s=number(completed_s),
                is_whole=row["outcome"] != "cancelled",
                is_ok=row["outcome"] == "executed",
                cpu_s=number(row["cpu_s"]) if is_measured and row["cpu_s"] and kind == "exec" else None,
                bytes=_moved(row, kind),
            )
        )
    if is_measured:
        runs = [(one.runner, one.command, one.started_s, one.completed_s) for one in found if one.kind == "exec"]
        memory = memory_by_command(runs, trace)
        found = [replace(one, memory_bytes=memory.get(one.command)) for one in found]
    found = [one for one in _mounts_known(found, trace) if one.took_s > _SHORT_S]
    found += _digests(found, builds, trace)
    # Where slots are short a build's first sources wait for them: its opening is no work then, but they are seen themselves.
    openings = [] if has_slots else _openings(builds, trace, platform_of)
    opened = {one.build for one in openings}
    found = [one for one in found if one.kind != "preamble" or one.build not in opened]
    return found + openings + _tails(builds, trace, platform_of)


def _digests(found: Sequence[Execution], builds: Mapping[int, Mapping[str, Cell]], trace: Trace) -> list[Execution]:
    """What a COPY takes of a stage that its build made is hashed when that is there, whether it executes then or hits."""
    made: dict[tuple[int, str], Execution] = {}
    for one in sorted(found, key=lambda one: one.completed_s):
        if one.kind in ("exec", "copy") and one.is_ok:
            made[one.build, one.stage] = one
    digests = []
    for row in named(trace, "steps"):
        taken = _FROM.search(str(row["step"]))
        if taken is None or row["outcome"] not in ("executed", "shared", "cached"):
            continue
        at = whole(row["build"])
        stage = made.get((at, taken[1]))
        if stage is not None:
            name = _without_target(str(row["step"]), (builds.get(at) or {}).get("target"))
            until_s = max(number(row["started_s"] or row["ready_s"] or 0.0), stage.completed_s)
            digests.append(
                replace(
                    stage,
                    name=name,
                    kind="digest",
                    started_s=stage.completed_s,
                    completed_s=until_s,
                    bytes=_moved(row, "copy"),
                )
            )
    return digests


def _is_preamble(row: Mapping[str, Cell]) -> bool:
    """What every build loads before its graph is known (buildkit-semantics 5)."""
    return row["kind"] == "source" and "load " in (name := str(row["step"])) and bool(LOADS.search(name))


def _without_target(name: str, target: Cell) -> str:
    """A bake of several targets puts the target's name in front; cost rules do not know it."""
    return (
        f"[{name.removeprefix(f'[{target} ')}"
        if target and name.startswith(f"[{target} ") and _PREFIX.match(name)
        else name
    )


def _moved(row: Mapping[str, Cell], kind: str) -> float | None:
    value = row["received_bytes"] if kind == "context" else row["written_bytes"]
    return None if value is None or isnan(number(value)) else number(value)


def _mounts_known(found: list[Execution], trace: Trace) -> list[Execution]:
    """Who waited for a locked mount, where nobody measured it, and whose cache mounts had been filled before.

    Whoever held the same lock and ended while a step ran was before it (buildkit-semantics 4).
    """
    waits_known = bool((trace.steps.numbers("lock_wait_s") >= 0.0).any())
    by_lock: dict[tuple[int, str], list[int]] = defaultdict(list)
    filled: set[tuple[int, str]] = set()
    for at in sorted(range(len(found)), key=lambda at: found[at].completed_s):
        one = found[at]
        if one.kind != "exec":
            continue
        mounts = [(one.runner, _mount_id(text)) for text in _CACHE.findall(one.name)]
        if mounts and all(mount in filled for mount in mounts):
            one = replace(one, is_warm=True)
        filled.update(mounts)
        if not waits_known:
            locks = [(one.runner, _mount_id(text)) for text in _LOCKED.findall(one.name)]
            before_s = [found[other].completed_s for lock in locks for other in by_lock[lock]]
            one = replace(one, started_s=min(max([one.started_s, *before_s]), one.completed_s))
            for lock in locks:
                by_lock[lock].append(at)
        found[at] = one
    return found


def _mount_id(text: str) -> str:
    found = _MOUNT_ID.search(text) or _MOUNT_TARGET.search(text)
    return found[1] if found else text


def _tails(builds: Mapping[int, Mapping[str, Cell]], trace: Trace, platform_of: Mapping[int, str]) -> list[Execution]:
    """The history record of each build: from its last vertex to its end."""
    last_s: dict[int, float] = {}
    for row in named(trace, "steps"):
        if row["completed_s"] is not None and row["kind"] != "overhead":
            at = whole(row["build"])
            last_s[at] = max(last_s.get(at, 0.0), number(row["completed_s"]))
    of_request: dict[Cell, list[float]] = defaultdict(list)
    for at, ended_s in last_s.items():
        of_request[builds[at]["request"]].append(ended_s)
    found = []
    of_bakes = _of_bakes(builds)
    for at, build in builds.items():
        kind: Kind = "bake tail" if at in of_bakes else "tail"
        if build["outcome"] == "ok" and build["completed_s"] is not None and at in last_s:
            runner = whole(build["runner"] if build["runner"] is not None else 0)
            ended_s = number(build["completed_s"])
            if ended_s - last_s[at] > _SHORT_S:
                platform = platform_of.get(runner, "")
                # A base's may wait for the targets that are built on it (semantics 13.1).
                is_whole = not any(last_s[at] < other_s < ended_s for other_s in of_request[build["request"]])
                found.append(Execution(runner, at, "history record", kind, platform, last_s[at], ended_s, is_whole))
    return found


def _of_bakes(builds: Mapping[int, Mapping[str, Cell]]) -> set[int]:
    """The builds whose request has other targets."""
    targets = {(build["request"], build["target"]) for build in builds.values()}
    requests = Counter(request for request, _ in targets)
    return {at for at, build in builds.items() if requests[build["request"]] > 1}


def _openings(
    builds: Mapping[int, Mapping[str, Cell]], trace: Trace, platform_of: Mapping[int, str]
) -> list[Execution]:
    """From the client's start to the first step: connection, definition, .dockerignore, the frontend's work between them.

    Those of a runner's first builds say nothing: they hold the first look at the base image, if no vertex of its own does. Nor
    do those of a bake, whose linked targets wait for their base's graph, and the base for theirs (semantics 13.1).
    """
    first_s: dict[int, float] = {}
    for row in named(trace, "steps"):
        begun_s = row["started_s"] if row["started_s"] is not None else row["ready_s"]
        if (
            begun_s is not None
            and row["kind"] in ("exec", "copy", "context", "merge", "source")
            and not _is_preamble(row)
        ):
            at = whole(row["build"])
            first_s[at] = min(first_s.get(at, inf), number(begun_s))
    found: list[Execution] = []
    of_bakes = _of_bakes(builds)
    warm_s: dict[int, float] = defaultdict(lambda: inf)
    for at, build in sorted(builds.items(), key=lambda item: first_s.get(item[0], inf)):
        if build["started_s"] is not None and first_s.get(at, 0.0) > number(build["started_s"]) + _SHORT_S:
            runner = whole(build["runner"] if build["runner"] is not None else 0)
            platform, begun_s, ended_s = platform_of.get(runner, ""), number(build["started_s"]), first_s[at]
            is_whole = begun_s > warm_s[runner] and at not in of_bakes
            found.append(Execution(runner, at, "opening", "opening", platform, begun_s, ended_s, is_whole))
            warm_s[runner] = min(warm_s[runner], ended_s)
    return found


def _runners(
    trace: Trace, farm: Mapping[str, Json], cpus: float | None, used: set[int], where: str
) -> dict[int, Runner]:
    """The machine of each runner: its own cores where the table says them, the rest as the farm's."""
    general = _runner(mapping(farm.get("runner"))) if farm.get("runner") else None
    own = {whole(row[0]): row[RUNNERS.index("cpus")] for row in trace.runners.rows()}
    found: dict[int, Runner] = {}
    for runner in used:
        cores = cpus or own.get(runner)
        if cores is None and general is None:
            hint = "say it: --cpus 4, or --scenario SCENARIO for its farm"
            raise InputError("does not say how many cores its runners have", where=where, hint=hint)
        machine = general or Runner(cpus=number(cores))
        found[runner] = replace(machine, cpus=number(cores)) if cores else machine
    return found


def _runner(written: Mapping[str, Json]) -> Runner:
    known = {one.name for one in fields(Runner)} - {"size"}
    return Runner(**{name: number(value) for name, value in written.items() if name in known})  # type: ignore[arg-type]
