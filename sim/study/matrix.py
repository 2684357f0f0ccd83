"""The decision matrix: for each of the seed's four rows the winner here, by how much, and whether the given reason holds.

In: a folder with the four scenarios. Out: `Matrix`. Intervals are paired over replications; no guarantee of a correct
selection is claimed (that needs a selection procedure, not ten replications).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from sim.errors import InputError
from sim.runs import Case, Progress, Say, replicate, to_stderr
from sim.study.compare import Candidate, Comparison, candidates, evaluate
from sim.study.interval import Interval, chance_better, t_interval
from sim.study.measures import Measures, measure
from sim.study.rows import FULL, QUICK, ROWS, Pairs, Row, Setting
from sim.trace import Json


@dataclass(frozen=True, slots=True)
class RowResult:
    """A row's answer. `margin`: how far the best of the others lies behind, where "the others" are those on the other
    side of the recommendation: positive means that the winner's side is ahead.
    """

    row: Row
    comparison: Comparison
    agrees: bool
    confidence: float
    rival: Candidate
    margin: Interval
    reason_holds: bool
    why: tuple[str, ...]
    billing: str

    def to_json(self) -> dict[str, Json]:
        """Plain JSON."""
        winner = self.comparison.candidate(self.comparison.winner)
        base = winner.objective.mean
        return {
            "row": self.row.number,
            "name": self.row.title,
            "scenario": self.row.folder,
            "recommended": self.row.recommended,
            "reason": self.row.reason,
            "winner": winner.label,
            "agrees": self.agrees,
            "confidence": None if isnan(self.confidence) else round(self.confidence, 4),
            "separable": self.margin.low > 0,
            "margin": {
                "against": self.rival.label,
                "absolute": _rounded(self.margin.mean),
                "low": _rounded(self.margin.low),
                "high": _rounded(self.margin.high),
                "relative": _rounded(self.margin.mean / base) if base else None,
            },
            "reason_holds": self.reason_holds,
            "why": list(self.why),
            "billing": self.billing,
            "candidates": [one.to_json() for one in self.comparison.candidates],
        }


@dataclass(frozen=True, slots=True)
class Matrix:
    """All rows, and how they were made."""

    rows: tuple[RowResult, ...]
    quick: bool
    replications: int
    requests: int
    seed: int

    @property
    def command(self) -> str:
        """The command that makes this again."""
        quick = " --quick" if self.quick else ""
        return (
            f"buildcast matrix{quick} --replications {self.replications} --requests {self.requests} --seed {self.seed}"
        )

    def to_json(self) -> dict[str, Json]:
        """Plain JSON: `rows`, and the settings of the study."""
        return {
            "command": self.command,
            "quick": self.quick,
            "replications": self.replications,
            "requests": self.requests,
            "seed": self.seed,
            "objective": self.rows[0].comparison.objective if self.rows else None,
            "guarantee": None,
            "rows": [row.to_json() for row in self.rows],
        }


def matrix(
    folder: Path,
    *,
    quick: bool = True,
    replications: int = 10,
    requests: int = 300,
    seed: int = 1,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    say: Say = to_stderr,
) -> Matrix:
    """Compare the candidates of every row: 8 a row when quick, else size x auto-scaling x projects (36)."""
    settings = QUICK if quick else FULL
    cases: list[Case] = []
    for row in ROWS:
        path = folder / row.folder / "scenario.yaml"
        if not path.exists():
            raise InputError("is missing", where=str(path), hint="give the folder that holds the four rows' scenarios")
        flags = [(*setting.flags, f"requests={requests}") for setting in settings]
        cases += candidates(path, flags, (), say)
    # One pool of workers for all rows: the last runs of a row overlap with the first of the next.
    results = replicate(
        cases, measure, replications=replications, seed=seed, workers=workers, executor=executor, progress=progress
    )
    rows = []
    for at, row in enumerate(ROWS):
        part = slice(at * len(settings), (at + 1) * len(settings))
        rows.append(_result(row, settings, cases[part], results[part], seed))
    return Matrix(tuple(rows), quick, replications, requests, seed)


def _result(
    row: Row, settings: Sequence[Setting], cases: Sequence[Case], results: Sequence[Sequence[Measures]], seed: int
) -> RowResult:
    named = [
        Case(setting.label, case.scenario, case.graphs, case.profile, case.farm)
        for setting, case in zip(settings, cases, strict=True)
    ]
    comparison = evaluate(named, [setting.flags for setting in settings], results, seed)
    labels = [setting.label for setting in settings]
    best = labels.index(comparison.winner)
    agrees = row.recommends(settings[best])
    others = [at for at, setting in enumerate(settings) if row.recommends(setting) != agrees]
    rival = min(others, key=lambda at: comparison.candidates[at].objective.mean)
    behind = [other - mine for other, mine in zip(comparison.values[rival], comparison.values[best], strict=True)]
    holds, why = row.judge(Pairs(settings, comparison))
    return RowResult(
        row=row,
        comparison=comparison,
        agrees=agrees,
        confidence=chance_better(behind),
        rival=comparison.candidates[rival],
        margin=t_interval(behind, comparison.alpha),
        reason_holds=holds,
        why=tuple(why),
        billing=_billing(comparison),
    )


def _billing(comparison: Comparison) -> str:
    """Whether it matters who pays a runner's minute (farm-facts A1: not said; so both)."""
    best = {
        per: min(comparison.candidates, key=lambda one: one.measures[f"cost_per_{per}_minute"]).label
        for per in ("lease", "runner")
    }
    machines = min(comparison.candidates, key=lambda one: one.measures["minutes_usd"] + one.measures["cache_usd"]).label
    waiting = f" Without a price on waiting {machines} is cheapest."
    if best["lease"] == best["runner"]:
        same = f"charging per lease or per runner minute makes no difference: {best['lease']} is cheapest either way."
        return same + waiting
    return (
        f"charging matters: per lease minute {best['lease']} is cheapest, per runner minute {best['runner']}." + waiting
    )


def _rounded(value: float) -> Json:
    return None if isnan(value) else round(value, 6)
