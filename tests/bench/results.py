"""What the runs come to: ratios that hold on any machine, limits, and the files of results/.

In: the numbers of all runs, round by round. Out: `Findings`, a Markdown report, a JSON document, a verdict.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

from sim.errors import replacing
from tests.bench.fresh import BARE, BUILDS_A_DAY, MONTHS, Answer, BenchFailed

Runs = dict[tuple[str, str], list[Answer]]
"""By (what ran, on which work), the answers of the rounds."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a number must be: `--check` fails beyond `limit`; a `goal` is only told. `at_most`: less is better."""

    limit: float | None
    goal: float | None = None
    at_most: bool = False

    def is_met(self, value: float, bound: float) -> bool:
        return value <= bound if self.at_most else value >= bound


LIMITS = {
    # Issue 5, "Speed".
    "ratio_naive": Limit(8.0, 10.0),
    "ratio_heapq": Limit(0.5, 0.7),
    "ratio_naive_64": Limit(90.0),
    "full_builds_per_s": Limit(None, 2000.0),
    # The goal as a ratio, for other machines: where 2,000 was asked for, heap_loop ran 18,450 builds of work (c) a second,
    # so the goal is 0.108. It is missed (results/bench.md); the limit only keeps what there is.
    "ratio_full_heapq": Limit(0.06, 0.108),
    "growth_1k_30k": Limit(1.3, at_most=True),
    "rss_mb_30k": Limit(400.0, at_most=True),
    "month_s": Limit(20.0, at_most=True),
    # What recording costs while it is off; and the trace off must not be the slower one.
    "trace_off_cost": Limit(0.05, at_most=True),
    "trace_on_cost": Limit(0.0),
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the works are: builds, but for `b64` completions and `month` days."""

    c: int = 2000
    b64: int = 2000
    full: int = 3000
    small: int = 1000
    large: int = 30000
    trace: int = 500
    month: int = 30


@dataclass(slots=True)
class Findings:
    """All runs of a bench."""

    sizes: Sizes
    runs: Runs = field(default_factory=dict)

    def add(self, what: str, work: str, answer: Answer) -> None:
        """One more answer."""
        self.runs.setdefault((what, work), []).append(answer)

    def of(self, what: str, work: str, name: str = "cpu_s") -> list[float]:
        """A number of every round."""
        return [answer[name] for answer in self.runs.get((what, work), ())]

    def ratio(self, work: str, peer: str) -> float:
        """How many times faster ours is than the peer: the median of the rounds' ratios."""
        pairs = zip(self.of(peer, work), self.of("ours", work), strict=True)
        return median(theirs / ours for theirs, ours in pairs)

    def numbers(self) -> dict[str, float]:
        """The numbers of the JSON document, by key; those whose runs were left out are missing."""
        sizes, found = self.sizes, {}
        if ("ours", "c") in self.runs:
            found["ratio_naive"] = self.ratio("c", "naive")
            found["ratio_heapq"] = self.ratio("c", "heap_loop")
            found["ratio_naive_64"] = self.ratio("b64", "naive")
            found["ratio_heapq_64"] = self.ratio("b64", "heap_loop")
        if full_s := self.of("full", "full"):
            found["full_builds_per_s"] = sizes.full / median(full_s)
            if plain_s := self.of("full", "interpreted"):
                found["full_interpreted_builds_per_s"] = sizes.full / median(plain_s)
            if bare_s := self.of("heap_loop", "c"):
                pairs = zip(full_s, bare_s, strict=True)
                found["ratio_full_heapq"] = median(sizes.full / one / (sizes.c / bare) for one, bare in pairs)
        if large_s := self.of("full", "large"):
            found["growth_1k_30k"] = median(large_s) / sizes.large / (median(self.of("full", "small")) / sizes.small)
            found["rss_mb_30k"] = median(self.of("full", "large", "rss_mb"))
        if off_s := self.of("full", "trace", "off"):
            on_s, deaf_s = (self.of("full", "trace", name) for name in ("on", "deaf"))
            found["trace_off_cost"] = median(off / deaf for off, deaf in zip(off_s, deaf_s, strict=True)) - 1
            found["trace_on_cost"] = median(on / off for on, off in zip(on_s, off_s, strict=True)) - 1
        if all(("month", name) in self.runs for name in MONTHS):
            found["month_s"] = max(median(self.of("month", name, "whole_s")) for name in MONTHS)
        return found


def require_equal(findings: Findings) -> None:
    """All implementations must give the same mean response to six decimals, or their speeds do not compare."""
    for work in BARE:
        told = {
            what: f"{answers[0]['mean_response_s']:.6f}" for (what, of), answers in findings.runs.items() if of == work
        }
        if len(set(told.values())) > 1:
            answers = ", ".join(f"{name} {answer} s" for name, answer in told.items())
            hint = "the naive model is right"
            raise BenchFailed(f"mean responses differ: {answers}", where=f"work {work}", hint=hint)
    told_by = [_told(findings.runs.get(("full", work), ())) for work in ("full", "interpreted")]
    if all(told_by) and told_by[0] != told_by[1]:
        raise BenchFailed("the compiled model tells another story", where="work full", hint="make compiled")


def _told(answers: Sequence[Answer]) -> dict[str, float]:
    """What a run of everything came to, without what it took."""
    return {name: value for name, value in answers[0].items() if name not in ("cpu_s", "rss_mb")} if answers else {}


def check(numbers: dict[str, float]) -> None:
    """Raise when a number is beyond its limit or was not measured."""
    bad = []
    for key, one in LIMITS.items():
        if key not in numbers:
            bad.append(f"{key} was not measured")
        elif one.limit is not None and not one.is_met(numbers[key], one.limit):
            bad.append(f"{key} {_short(numbers[key])} is {'above' if one.at_most else 'below'} {one.limit:g}")
    if bad:
        hint = "see where the time goes: python -m tests.bench --profile full"
        raise BenchFailed(", ".join(bad), where="bench", hint=hint)


def report(findings: Findings) -> str:
    """All results as Markdown that also reads well on a terminal."""
    parts = [_verdicts(findings.numbers())]
    if ("ours", "c") in findings.runs:
        parts.append(_bare(findings))
    parts += [part for part in (_full(findings), _months(findings)) if part]
    return "\n".join(parts)


def write(findings: Findings, folder: Path, command: str) -> None:
    """Write bench.md and bench.json; what holds on any machine stands first."""
    if not set(LIMITS) <= set(findings.numbers()):
        raise BenchFailed("--write needs all parts", where="bench", hint="leave out --parts")
    versions = {"python": platform.python_version(), "simpy": version("simpy")}
    sizes = {name: getattr(findings.sizes, name) for name in Sizes.__slots__}
    document = {
        **{key: round(value, 3) for key, value in findings.numbers().items()},
        "mean_response_s": {work: round(findings.of("ours", work, "mean_response_s")[0], 6) for work in BARE},
        "command": command,
        "sizes": sizes,
        "versions": versions,
        "runs": {
            f"{what} {work}": {name: [round(one[name], 5) for one in answers] for name in answers[0]}
            for (what, work), answers in findings.runs.items()
        },
    }
    with replacing(folder / "bench.json") as file:
        file.write(json.dumps(document, indent=2) + "\n")
    with replacing(folder / "bench.md") as file:
        file.write(
            f"# Speed\n\nMade by `{command}`; Python {versions['python']}, SimPy {versions['simpy']}.\n"
            "CPU time of fresh processes on one core, medians of the rounds; imports and drawing the work are left out.\n"
            "Seconds hold for one machine only; ratios are medians of the rounds' ratios.\n\n" + report(findings)
        )


def _verdicts(numbers: dict[str, float]) -> str:
    lines = []
    for key, one in LIMITS.items():
        bounds = [
            f"{name} {bound:g}" for name, bound in (("goal", one.goal), ("limit", one.limit)) if bound is not None
        ]
        aim = one.goal if one.goal is not None else one.limit
        assert aim is not None
        value = numbers.get(key)
        verdict = "not measured" if value is None else "reached" if one.is_met(value, aim) else "MISSED"
        shown = "" if value is None else f" {_short(value)},"
        lines.append(f"- {key}:{shown} {verdict} ({'at most' if one.at_most else 'at least'}: {', '.join(bounds)})")
    return "\n".join(lines) + "\n"


def _bare(findings: Findings) -> str:
    sizes = findings.sizes
    counts = {"c": (sizes.c, "builds"), "b64": (sizes.b64, "completions")}
    rows = [("work", "implementation", "CPU s (min-max)", "per second", "ours is")]
    for (what, work), answers in findings.runs.items():
        if work in counts:
            size, unit = counts[work]
            cpu_s = [answer["cpu_s"] for answer in answers]
            told = "" if what == "ours" else f"{findings.ratio(work, what):.2f} x as fast"
            rows.append((f"{work}: {size} {unit}", what, _range(cpu_s), f"{size / median(cpu_s):.0f} {unit}", told))
    return (
        "## Bare work, beside two peers\n\n"
        "`naive`: a SimPy process per step, AllOf, interrupts. `heap_loop`: heapq without SimPy. All give the same mean\n"
        "response to six decimals. Work c: builds of 20 steps on 16 machines of 8 cores, 70 % busy. Work b64: always 64\n"
        "jobs on one machine of 8 cores.\n\n" + _table(rows)
    )


def _full(findings: Findings) -> str:
    sizes, rows = findings.sizes, [("builds", "CPU s (min-max)", "builds per second", "peak RSS MB")]
    for work in ("small", "full", "interpreted", "large"):
        if cpu_s := findings.of("full", work):
            is_plain = work == "interpreted"
            size, rss_mb = getattr(sizes, "full" if is_plain else work), median(findings.of("full", work, "rss_mb"))
            rows.append(
                (
                    f"{size}, interpreted" if is_plain else str(size),
                    _range(cpu_s),
                    f"{size / median(cpu_s):.0f}",
                    f"{rss_mb:.0f}",
                )
            )
    if len(rows) == 1:
        return ""
    shown = next(
        findings.runs["full", work][0] for work in ("full", "large", "small") if ("full", work) in findings.runs
    )
    shares = ", ".join(f"{shown[name]:.1f} {name}" for name in ("executed", "shared", "cached", "failed"))
    plain = {"cpu_s", "rss_mb", "executed", "shared", "cached", "failed", "cancelled"}
    counts = ", ".join(f"{name} {value:g}" for name, value in shown.items() if name not in plain)
    text = (
        "## Everything on\n\n"
        "Builds of 20 steps (two sources, a context, five COPYs of which two --from, twelve RUNs) on runners with finite\n"
        "cores, memory, disk and network: slots, clones, garbage collection all the time, cache mounts, contexts of fresh and\n"
        "kept checkouts, a pushed gzip image each, failures, cancellations, bursts on one commit, rows of everything.\n"
        "With `--compiled` (here, and below but for the trace) the model is mypyc's; `interpreted`: as Python runs it.\n"
        f"Of 20 steps a build: {shares}; the rest has no row.\nIn all: {counts}.\n\n" + _table(rows)
    )
    numbers = findings.numbers()
    if "trace_off_cost" in numbers:
        text += (
            f"\nTrace on costs {100 * numbers['trace_on_cost']:.1f} % more than off. Off costs "
            f"{100 * numbers['trace_off_cost']:.1f} % more than a recorder whose methods do nothing\n"
            'at all: that is how the issue\'s "trace off costs < 5 % more than it saves" is read here '
            f"({sizes.trace} builds).\n"
        )
    return text


def _months(findings: Findings) -> str:
    rows = [("scenario", "requests", "builds", "simulate, CPU s", "whole process, CPU s (min-max)")]
    for name in MONTHS:
        if whole_s := findings.of("month", name, "whole_s"):
            first = findings.runs["month", name][0]
            simulate_s = f"{median(findings.of('month', name)):.2f}"
            rows.append((name, f"{first['requests']:.0f}", f"{first['builds']:.0f}", simulate_s, _range(whole_s)))
    if len(rows) == 1:
        return ""
    return (
        f"## A month\n\n{findings.sizes.month} days at {BUILDS_A_DAY} builds a day with the week's pattern, on the path of "
        "`buildcast run`:\nload, draw, simulate, summarise; Python's start and all imports are in the whole.\n\n"
        + _table(rows)
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def _range(cpu_s: list[float]) -> str:
    digits = 4 if median(cpu_s) < 10 else 2
    return f"{median(cpu_s):.{digits}f} ({min(cpu_s):.{digits}f}-{max(cpu_s):.{digits}f})"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 200 else f"{value:.1f}" if abs(value) >= 20 else f"{value:.3f}"
