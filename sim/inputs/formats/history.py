"""What a daemon remembers of its builds: the truth about their times, after the fact and without touching a client (13.1).

In: records (`buildctl debug histories --format '{{json .}}'`, or a bundle's) with their status events; the address of a
live daemon, asked through buildctl. Out: `Recorded` builds. Of a record only what is named here is read: its provenance
and attributes hold values of build args.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sim import tools
from sim.errors import EnvironmentMissing, InputError
from sim.inputs.recorded import Recorded
from sim.inputs.status import NS_PER_S, Event, Vertices

Say = Callable[[str], None]
Ask = Callable[..., str]
_ANSWER_S = 60.0  # a listing takes well below a second
_CANCELLED = 1  # grpc's codes.Canceled
_ARG = "build-arg:"


def read_daemon(
    address: str, *, flags: Sequence[str] = (), since_s: float | None = None, say: Say = lambda _: None
) -> list[Recorded]:
    """All finished builds that a daemon remembers (48 h or 50 by default), or those begun in the last `since_s` seconds.
    `flags`: buildctl's own, such as its certificates.

    EnvironmentMissing: it does not answer. InputError: it remembers none.
    """
    program = tools.ensure("buildctl", say)
    begun_ns = 0 if since_s is None else round((datetime.now(UTC).timestamp() - since_s) * NS_PER_S)
    found = read_answers(lambda *words: _ask(program, address, *flags, *words), address, since_ns=begun_ns, say=say)
    if not found:
        hint = "build something first" if since_s is None else "ask for a longer time with --since"
        raise InputError("the daemon remembers no such build", where=address, hint=hint)
    return found


def read_answers(
    ask: Ask, name: str, *, since_ns: int = 0, refs: Collection[str] | None = None, say: Say = lambda _: None
) -> list[Recorded]:
    """The same by any way of asking: `ask("debug", "histories", ...)` returns what buildctl prints; `name` is the runner's.

    `refs`: these builds alone.
    """
    found, running = [], 0
    for number, line in enumerate(ask("debug", "histories", "--format", "{{json .}}").splitlines(), 1):
        record = record_of(line, f"{name}:{number}")
        if record is None or (_time_ns(record, "CreatedAt") or 0) < since_ns:
            continue
        ref = str(record["Ref"])
        if refs is not None and ref not in refs:
            continue
        if _time_ns(record, "CompletedAt") is None:
            running += 1
            continue
        log = ask("debug", "logs", "--progress", "rawjson", ref)
        found.append(from_record(record, _events(log), where=name, runner=name))
    if running:
        say(f"{name}: builds that still run: {running}; import again when they are done")
    return found


def read_histories(lines: Iterable[str], where: str, folder: Path | None) -> list[Recorded]:
    """A saved listing; the log of each build (`buildctl debug logs --progress rawjson REF`) is REF.jsonl in `folder`."""
    found = []
    for number, line in enumerate(lines, 1):
        record = record_of(line, f"{where}:{number}") if line.strip() else None
        if record is None or _time_ns(record, "CompletedAt") is None:
            continue
        log = folder / f"{record['Ref']}.jsonl" if folder is not None else None
        if log is None or not log.is_file():
            hint = f"save it beside: buildctl debug logs --progress rawjson {record['Ref']} > {record['Ref']}.jsonl"
            raise InputError(f"the log of build {record['Ref']} is missing", where=f"{where}:{number}", hint=hint)
        events = _events(log.read_text(encoding="utf-8", errors="replace"))
        found.append(from_record(record, events, where=where, runner=where))
    return found


def record_of(line: str, where: str) -> Mapping[str, object] | None:
    """A build's record from a line of the listing; None: an event that is none. InputError: the line is broken."""
    try:
        event = json.loads(line)
        record = event.get("record") if isinstance(event, Mapping) else None
        if record is None:
            return None
        if not isinstance(record, Mapping) or not isinstance(record.get("Ref"), str) or "/" in record["Ref"]:
            raise ValueError("no build")
        return record
    except (ValueError, RecursionError) as error:
        hint = "list them again: buildctl debug histories --format '{{json .}}'"
        raise InputError("not a record of a build", where=where, hint=hint) from error


def from_record(record: Mapping[str, object], events: Iterable[Event], *, where: str, runner: str | None) -> Recorded:
    """A build from its record and its events. InputError: one of them is broken."""
    ref = str(record.get("Ref", ""))
    vertices = Vertices()
    try:
        for event in events:
            vertices.feed(event)
    except (ValueError, RecursionError) as error:
        hint = "export it again; the daemon's copy may be whole"
        raise InputError(f"broken: {error}", where=f"{where} ({ref})", hint=hint) from error
    attributes, local = _texts(record, "FrontendAttrs"), _texts(record, "localState")
    outcome = "ok"
    if failure := _mapping(record, "error"):
        outcome = "cancelled" if failure.get("code") == _CANCELLED else "failed"
    counted = record.get("numCachedSteps", 0)
    return Recorded(
        where=where,
        ref=ref,
        request=local.get("GroupRef") or attributes.get("local-sessionid:context") or ref,
        vertices=vertices,
        target=local.get("Target") or attributes.get("target"),
        platforms=_platforms(record, attributes),
        commit=attributes.get("vcs:revision"),
        runner=runner,
        started_ns=_time_ns(record, "CreatedAt"),
        completed_ns=_time_ns(record, "CompletedAt"),
        outcome=outcome,
        no_cache="no-cache" in attributes,
        args={name.removeprefix(_ARG): value for name, value in attributes.items() if name.startswith(_ARG)},
        cached_steps=counted if isinstance(counted, int) else None,
    )


def _events(log: str) -> Iterable[Event]:
    for line in log.splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            if isinstance(event, Mapping):
                yield event


def _platforms(record: Mapping[str, object], attributes: Mapping[str, str]) -> tuple[str, ...] | None:
    """As asked, else as the exporter told, else the builder's own."""
    if asked := attributes.get("platform"):
        return tuple(asked.split(","))
    try:
        told = json.loads(_texts(record, "ExporterResponse").get("verifier.requestopts", "{}")).get("Platforms")
        if isinstance(told, list) and told:
            return tuple(map(str, told))
    except (ValueError, AttributeError, RecursionError):
        pass
    default = record.get("DefaultPlatform")
    return (default,) if isinstance(default, str) and default else None


def _time_ns(record: Mapping[str, object], name: str) -> int | None:
    """A protobuf timestamp as Go's encoding/json writes it."""
    given = _mapping(record, name)
    seconds, nanos = given.get("seconds", 0), given.get("nanos", 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int) or not 0 < seconds < 2**33:
        return None
    return seconds * NS_PER_S + nanos


def _mapping(record: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def _texts(record: Mapping[str, object], name: str) -> dict[str, str]:
    return {str(key): value for key, value in _mapping(record, name).items() if isinstance(value, str)}


def _ask(program: Path, address: str, *words: str) -> str:
    """What buildctl prints. EnvironmentMissing: nothing, or an error."""
    command = [str(program), "--addr", address, "--timeout", "5", *words]
    hint = "is this the address of a running buildkitd, as unix:///run/buildkit/buildkitd.sock or tcp://HOST:PORT?"
    try:
        answer = subprocess.run(command, capture_output=True, timeout=_ANSWER_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise EnvironmentMissing(f"the daemon does not answer in {_ANSWER_S:g} s", where=address, hint=hint) from error
    if answer.returncode != 0:
        lines = answer.stderr.decode(errors="replace").strip().splitlines()
        raise EnvironmentMissing(f"the daemon says: {lines[-1] if lines else 'nothing'}", where=address, hint=hint)
    return answer.stdout.decode(errors="replace")
