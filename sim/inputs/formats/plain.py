"""`--progress=plain`, the default of CI logs: `#12 [build 3/5] RUN make` ... `#12 DONE 4.2s`.

In: lines, with or without times of day in front. Out: one `Recorded` a build. A number stands for a vertex
(util/progress/progressui/printer.go of v0.34.2); graph and digests are not in such a log. With times, a step ended when its
DONE was printed, which is late by up to 0.2 s; without, steps are laid one after the other: only durations are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sim.inputs.formats.lines import clean
from sim.inputs.names import declared_target, target_of, text_of
from sim.inputs.recorded import Recorded
from sim.inputs.status import NS_PER_S, Transfers, Vertices

_LINE = re.compile(r"#(\d{1,6}) (.*)")
_DONE = re.compile(r"DONE(?: (\d+(?:\.\d+)?)s)?")
_ERROR = re.compile(r"ERROR: (.*)")
_BYTES = re.compile(r"(transferring [^:]+:|copying files|sha256:\w+)(?: (\d+(?:\.\d+)?)(B|[kMGT]B)(?: / .*)?)(?: .*)?")
_EVENT = re.compile(
    r"(?:DONE(?: [\d.]+s)?|CACHED|CANCELED|\.\.\.|ERROR: .*|WARN: .*|\d+\.\d+(?: .*)?|transferring .*|copying files.*"
    r"|(?:extracting |exporting (?!to )|pushing |writing |naming |unpacking |sending |preparing |resolve |reading )?.* done"
    r"|sha256:.*|extracting .*|resolve .*)"
)
# units.Bytes of github.com/tonistiigi/units, with %.2f: powers of ten.
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_STARTS = re.compile(r"(?:\[internal\]|\[\S+ internal\]) (?:load (?:local )?(?:build|bake) definition|booting|waiting)")
_UNKNOWN_START_NS = NS_PER_S  # any time will do where there is none


@dataclass(slots=True)
class _Step:
    """A number of the log: its names (one a target), and how it ended."""

    names: list[str] = field(default_factory=list)
    seconds: float = 0.0
    ended_ns: int | None = None
    outcome: str = ""  # DONE, CACHED or an error's text; empty while it runs
    moved: dict[str, int] = field(default_factory=dict)
    begun_ns: int | None = None


def read_plain(lines: Iterable[str], where: str) -> list[Recorded]:
    """All builds of a log, in order. Lines of other programs are passed over."""
    log = _Log()
    for line in lines:
        text, at_ns = clean(line)
        found = _LINE.match(text)
        if found is None:
            log.gap(text)
        else:
            log.line(int(found[1]), found[2].rstrip(), at_ns)
    return [one for number, build in enumerate(log.builds) for one in _recorded(build, where, number)]


class _Log:
    """The builds begun so far: steps by number."""

    def __init__(self) -> None:
        self.builds: list[dict[int, _Step]] = []
        self._after_gap = True

    def gap(self, text: str) -> None:
        """A line without a number: blank before a heading, else another program's."""
        self._after_gap = self._after_gap or not text.strip()

    def line(self, number: int, text: str, at_ns: int | None) -> None:
        """A line `#number text`."""
        after_gap, self._after_gap = self._after_gap, False
        if number == 0:  # the builder's name
            self.builds.append({})
            return
        if not self.builds or self._begins(number, text):
            self.builds.append({})
        steps = self.builds[-1]
        if number not in steps or (
            text not in steps[number].names and self._is_heading(steps[number], text, after_gap)
        ):
            steps.setdefault(number, _Step(begun_ns=at_ns)).names.append(text)
            return
        _event(steps[number], text, at_ns)

    def _begins(self, number: int, text: str) -> bool:
        """Numbers start again at 1 with another definition."""
        steps = self.builds[-1]
        return number == 1 and 1 in steps and steps[1].outcome != "" and bool(_STARTS.match(text)) and len(steps) > 1

    @staticmethod
    def _is_heading(step: _Step, text: str, after_gap: bool) -> bool:
        """The same vertex under another target's prefix."""
        return after_gap and not _EVENT.fullmatch(text) and text_of(text) == text_of(step.names[0])


def _event(step: _Step, text: str, at_ns: int | None) -> None:
    done, error, moved = _DONE.fullmatch(text), _ERROR.match(text), _BYTES.fullmatch(text)
    if done:
        step.outcome, step.ended_ns = step.outcome or "DONE", at_ns
        step.seconds = float(done[1] or 0)
    elif text == "CACHED":
        step.outcome, step.ended_ns = "CACHED", at_ns
    elif text == "CANCELED":
        step.outcome, step.ended_ns = "context canceled", at_ns
    elif error:
        step.outcome, step.ended_ns = error[1] or "failed", at_ns
    elif moved:
        step.moved[moved[1]] = round(float(moved[2]) * _UNITS[moved[3]])


def _recorded(steps: dict[int, _Step], where: str, number: int) -> list[Recorded]:
    """The builds of one command; a bake log has one a target, and the first name of a step is its owner's."""
    targets = list(
        dict.fromkeys(one for step in steps.values() for name in step.names if (one := declared_target(name)))
    )
    split: dict[str | None, Vertices] = {target: Vertices(Transfers()) for target in (targets or (None,))}
    times = _times(steps)
    for at, step in steps.items():
        _tell(split, targets, step, f"plain:{where}:{number}:{at}", times[at])
    is_timed = any(step.ended_ns is not None for step in steps.values())
    return [
        Recorded(
            where=where,
            request=f"{where}#{number}",
            vertices=one,
            target=target,
            started_ns=_first_ns(steps),
            is_timed=is_timed,
            is_cut=True,
        )
        for target, one in split.items()
        if one
    ]


def _first_ns(steps: dict[int, _Step]) -> int | None:
    """The time of the first line."""
    return min((one.begun_ns for one in steps.values() if one.begun_ns), default=None)


def _times(steps: dict[int, _Step]) -> dict[int, tuple[int, int | None]]:
    """Start and end of each step. BuildKit tells no duration of a failed one: it began when it was first shown."""
    found: dict[int, tuple[int, int | None]] = {}
    first_ns = last_ns = _first_ns(steps) or _UNKNOWN_START_NS
    for at, step in steps.items():
        took_ns = round(step.seconds * NS_PER_S)
        if step.ended_ns is not None and step.outcome == "DONE":
            found[at] = (min(max(step.ended_ns - took_ns, first_ns), step.ended_ns), step.ended_ns)
        elif step.ended_ns is not None:
            found[at] = (min(step.begun_ns or step.ended_ns, step.ended_ns), step.ended_ns)
        elif step.outcome in ("DONE", "CACHED"):
            found[at] = (last_ns, last_ns + took_ns)
        else:
            found[at] = (step.begun_ns or last_ns, None)
        last_ns = max(last_ns, found[at][1] or last_ns)
    return found


def _tell(
    split: dict[str | None, Vertices], targets: list[str], step: _Step, digest: str, times: tuple[int, int | None]
) -> None:
    """Feed a step into the builds that show it, as BuildKit would have told it."""
    started_ns, completed_ns = times
    error = step.outcome if step.outcome not in ("DONE", "CACHED", "") else ""
    told: dict[str, object] = {"digest": digest, "started": started_ns, "completed": completed_ns, "error": error}
    told["cached"] = step.outcome == "CACHED"
    for at, name in enumerate(step.names):
        target = target_of(name, targets) if targets else None
        if target not in split:
            continue  # the client's own, before there is a target
        if at == 0:
            split[target].vertex({"digest": digest, "name": name})
        split[target].vertex(told | {"name": name})
        for moved, current in step.moved.items():
            split[target].transfers.feed({"vertex": digest, "id": moved, "current": current})
