"""Side by side: candidates on the same requests, with paired confidence intervals, and a winner.

In: a scenario file and settings to vary. Out: `Comparison`: for each candidate the objective with its interval, its paired
difference to the winner, and the other numbers' means.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import product
from math import isnan, nan
from pathlib import Path

from sim.errors import InputError
from sim.runs import Case, Progress, Say, graph_spec, prepare, replicate, to_stderr
from sim.scenario import Scenario, load
from sim.study.interval import Interval, chance_better, t_interval
from sim.study.measures import Measures, measure
from sim.trace import Json


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration: its settings, and what its replications gave. `behind` is the paired difference to the winner."""

    label: str
    settings: tuple[str, ...]
    objective: Interval
    behind: Interval
    measures: Measures

    def to_json(self) -> dict[str, Json]:
        """Plain JSON; nan is null."""
        return {
            "label": self.label,
            "settings": list(self.settings),
            "objective": _interval_json(self.objective),
            "behind_winner": _interval_json(self.behind),
            "means": {name: _number(value) for name, value in self.measures.items()},
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidates in the order given; `winner` has the lowest mean objective. `confidence`: that it beats the next one.

    `separable` is False when the winner's paired interval against some other candidate holds 0.
    """

    scenario: str
    objective: str
    replications: int
    seed: int
    alpha: float
    candidates: tuple[Candidate, ...]
    winner: str
    confidence: float
    separable: bool
    values: tuple[tuple[float, ...], ...]

    def candidate(self, label: str) -> Candidate:
        """A candidate by its label."""
        return next(one for one in self.candidates if one.label == label)

    def to_json(self) -> dict[str, Json]:
        """Plain JSON."""
        return {
            "scenario": self.scenario,
            "objective": self.objective,
            "replications": self.replications,
            "seed": self.seed,
            "alpha": self.alpha,
            "winner": self.winner,
            "confidence": _number(self.confidence),
            "separable": self.separable,
            "candidates": [one.to_json() for one in self.candidates],
        }


def vary(flags: Sequence[str]) -> list[tuple[str, ...]]:
    """Settings of every candidate: the product of the values of each `key=value,value`. Brackets protect commas."""
    choices: list[list[str]] = []
    for flag in flags:
        key, equals, values = flag.partition("=")
        if not equals or not key.strip() or not values.strip():
            raise InputError(f"--vary {flag}: is not a setting", hint="write --vary farm.size=default,large")
        choices.append([f"{key.strip()}={value}" for value in _split(values)])
    found = list(dict.fromkeys(product(*choices)))
    if len(found) < 2:
        raise InputError("nothing to compare", hint="give two values or more: --vary farm.size=default,large")
    return found


def _split(values: str) -> list[str]:
    parts, depth = [""], 0
    for character in values:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def candidates(path: str | Path, settings: Sequence[tuple[str, ...]], sets: Sequence[str], say: Say) -> list[Case]:
    """A case for each candidate; they share the graphs."""
    cases: list[Case] = []
    for chosen in settings:
        scenario = load(path, [*sets, *chosen])
        spec = graph_spec(scenario)
        same = next((case.graphs for case in cases if graph_spec(case.scenario) == spec), None)
        cases.append(prepare(scenario, label=label_of(chosen), graphs=same, say=say))
    return cases


def label_of(settings: Sequence[str]) -> str:
    """`size=large, autoscaling=off`: the settings without the sections that they stand in."""
    return (
        ", ".join(f"{one.partition('=')[0].rpartition('.')[2]}={one.partition('=')[2]}" for one in settings)
        or "as written"
    )


def compare(
    path: str | Path,
    settings: Sequence[tuple[str, ...]],
    *,
    sets: Sequence[str] = (),
    replications: int = 10,
    seed: int = 1,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    say: Say = to_stderr,
) -> Comparison:
    """Run all candidates on the same requests. `settings` as `vary` gives them; `sets` hold for all."""
    cases = candidates(path, settings, sets, say)
    results = replicate(
        cases, measure, replications=replications, seed=seed, workers=workers, executor=executor, progress=progress
    )
    return evaluate(cases, [tuple(one) for one in settings], results, seed)


def evaluate(
    cases: Sequence[Case], settings: Sequence[tuple[str, ...]], results: Sequence[Sequence[Measures]], seed: int
) -> Comparison:
    """The comparison from the measures of each candidate's replications."""
    scenario = cases[0].scenario
    objective, alpha = scenario.objective or "mean_duration", scenario.alpha
    if not all(run["requests"] for runs in results for run in runs):
        raise nothing_measured(scenario, " in one of the replications")
    values = [tuple(run[objective] for run in runs) for runs in results]
    means = [t_interval(value, alpha) for value in values]
    if all(isnan(one.mean) for one in means):
        raise InputError(
            f"{objective} is unknown for every candidate",
            where=str(scenario.path),
            hint="give prices or another objective",
        )
    best = min(range(len(cases)), key=lambda at: (isnan(means[at].mean), means[at].mean, at))
    behind = [tuple(mine - other for mine, other in zip(value, values[best], strict=True)) for value in values]
    gaps = [t_interval(one, alpha) for one in behind]
    others = [at for at in range(len(cases)) if at != best]
    found = tuple(
        Candidate(case.label, chosen, mean, gap, _means(runs))
        for case, chosen, mean, gap, runs in zip(cases, settings, means, gaps, results, strict=True)
    )
    return Comparison(
        scenario=scenario.name,
        objective=objective,
        replications=len(values[0]),
        seed=seed,
        alpha=alpha,
        candidates=found,
        winner=cases[best].label,
        confidence=min((chance_better(behind[at]) for at in others), default=nan),
        separable=all(gaps[at].low > 0 for at in others),
        values=tuple(values),
    )


def nothing_measured(scenario: Scenario, when: str = "") -> InputError:
    """For a run in which nothing arrives, or nothing after the warm-up."""
    hint = "make warmup shorter, or the run longer (horizon, requests)"
    return InputError(f"no request arrives after the warm-up{when}", where=scenario.where("workload"), hint=hint)


def _means(runs: Sequence[Measures]) -> Measures:
    return {name: sum(run[name] for run in runs) / len(runs) for name in runs[0]}


def _number(value: float) -> Json:
    return None if isnan(value) else value


def _interval_json(interval: Interval) -> dict[str, Json]:
    return {"mean": _number(interval.mean), "low": _number(interval.low), "high": _number(interval.high)}
