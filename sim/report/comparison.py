"""Candidates side by side, as text.

In: a `Comparison`. Out: a table, and the winner with how sure it is.
"""

from __future__ import annotations

from math import isnan

from sim.report.numbers import count, percent, show, show_interval, words
from sim.report.tables import markdown, table
from sim.study.compare import Candidate, Comparison
from sim.study.interval import Interval

# Measure, column; those in which all candidates are 0 are left out.
_COLUMNS = (
    ("mean_duration", "mean"),
    ("p95_duration", "p95"),
    ("queue_s", "queue"),
    ("boot_s", "boot"),
    ("stretch", "contention"),
    ("hit_share", "hits"),
    ("clone_repeats", "clone repeats"),
    ("dedup_saved_cpu_s", "dedup core-s"),
    ("wasted_cpu_s", "wasted core-s"),
    ("cost_per_request", "money/request"),
)


def comparison_lines(found: Comparison) -> list[str]:
    """Title, table, verdict."""
    header, rows = _rows(found, found.candidates)
    title = (
        f"{found.scenario}: {words(found.objective)}, {count(found.replications, 'replication')} on the same requests"
    )
    if found.replications > 1:
        title += f", {percent(1 - found.alpha)} intervals"
    return [title, *("  " + line for line in table(header, rows)), *verdict(found)]


def comparison_markdown(found: Comparison) -> list[str]:
    """The table alone, as Markdown."""
    return markdown(*_rows(found, found.candidates))


def verdict(found: Comparison) -> list[str]:
    """The winner, and how sure: it is said plainly when the replications do not tell it from others."""
    lines = [f"winner: {found.winner}"]
    if found.replications == 1:
        return [*lines, "one replication tells nothing of chance; give --replications 10"]
    beaten = [one for one in found.candidates if one.label != found.winner]
    close = [one for one in beaten if not one.behind.low > 0]
    if close:
        names = ", ".join(one.label for one in close)
        return [
            *lines,
            f"not separable from {names}: {'its' if len(close) == 1 else 'their'} paired interval holds 0; "
            "more replications may tell",
        ]
    nearest = min(beaten, key=lambda one: one.behind.mean)
    surely = (
        "" if isnan(found.confidence) else f"; {sure(found.confidence)} sure to beat each other one (paired t-tests)"
    )
    return [
        *lines,
        f"next best is {nearest.label}, behind by {show_interval(found.objective, nearest.behind, signed=True)}"
        f"{_relative(found, nearest)}{surely}",
    ]


def sure(confidence: float) -> str:
    """A confidence: never a round 100 %."""
    return "n/a" if isnan(confidence) else "> 99.9%" if confidence > 0.999 else f"{100 * confidence:.1f}%"


def _rows(found: Comparison, candidates: tuple[Candidate, ...]) -> tuple[list[str], list[list[str]]]:
    others = [(name, label) for name, label in _COLUMNS if name != found.objective and _happens(found, name)]
    header = [
        "candidate",
        words(found.objective),
        "interval",
        "behind the winner",
        "interval",
        *(one for _, one in others),
    ]
    rows = [
        [
            one.label,
            show(found.objective, one.objective.mean),
            _range(found.objective, one.objective),
            "-" if one.label == found.winner else show(found.objective, one.behind.mean, signed=True),
            "-" if one.label == found.winner else _range(found.objective, one.behind, signed=True),
            *(show(name, one.measures[name]) for name, _ in others),
        ]
        for one in candidates
    ]
    if found.replications == 1:
        return [header[0], header[1], header[3], *header[5:]], [[row[0], row[1], row[3], *row[5:]] for row in rows]
    return header, rows


def _happens(found: Comparison, name: str) -> bool:
    return any(not isnan(one.measures[name]) and one.measures[name] != 0 for one in found.candidates)


def _range(name: str, interval: Interval, *, signed: bool = False) -> str:
    if isnan(interval.low):
        return "n/a"
    return f"[{show(name, interval.low, signed=signed)}, {show(name, interval.high, signed=signed)}]"


def _relative(found: Comparison, other: Candidate) -> str:
    base = found.candidate(found.winner).objective.mean
    return f" ({100 * other.behind.mean / base:+.1f}%)" if base else ""
