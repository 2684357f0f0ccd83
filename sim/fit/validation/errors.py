"""How far a prediction is from what was measured: one scenario, build by build.

In: replications of the model and replays of the same requests, as `Observed` runs. Out: `CaseErrors`: predicted (mean of the
replications) beside measured (mean of the replays) with the noise floor, bands, step outcomes (simulators.md 3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, inf, nan

from sim.fit.validation.observed import BuildId, Observed, shown_name

SHORTEST_S = 1.0  # errors are shares of a duration of at least this (issue 6, "What must hold")
TOGETHER_S = 0.05  # builds that start so close share by chance: README of the semantic cases
BAND = 0.95


@dataclass(frozen=True, slots=True)
class Score:
    """One duration: predicted, measured, and what separates them. Seconds; shares are of max(1 s, measured).

    `noise` is a replay's mean distance from the mean of the others. `low_s` and `high_s` are the band in which one more replay
    should end; `inside` of `runs` replays did.
    """

    name: str
    predicted_s: float
    measured_s: float
    noise: float
    low_s: float
    high_s: float
    inside: int
    runs: int

    @property
    def error(self) -> float:
        """Signed: positive is too long."""
        return (self.predicted_s - self.measured_s) / max(SHORTEST_S, self.measured_s)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Step outcomes over all replays: how many were as predicted, and how many another replay would have got right.

    `settled`: those of steps that ended alike in all replays (none where there is only one); `settled_right` of them as
    predicted. The others are decided by who is first. `at_best`: how many any one prediction could get right.
    """

    right: int
    repeated: int
    total: int
    wrong: tuple[str, ...]
    settled: int
    settled_right: int
    at_best: int


@dataclass(frozen=True, slots=True)
class CaseErrors:
    """A scenario's errors. `unmatched`: builds that only one side has."""

    name: str
    kind: str
    replays: int
    replications: int
    makespan: Score
    builds: tuple[Score, ...]
    outcomes: Outcomes
    unmatched: tuple[str, ...]


def compare(
    name: str,
    kind: str,
    predicted: Sequence[Observed],
    measured: Sequence[Observed],
    varied: Sequence[Observed] | None = None,
) -> CaseErrors:
    """Errors of a scenario; both sides hold the same requests. Builds without an end on one side are `unmatched`.

    `varied`: replications for the bands, where those of the prediction hold less than is unknown.
    """
    bands = predicted if varied is None else varied
    ours, theirs = _ended(predicted), _ended(measured)
    both = sorted(ours & theirs)
    return CaseErrors(
        name=name,
        kind=kind,
        replays=len(measured),
        replications=len(predicted),
        makespan=_score("makespan", *([run.makespan_s for run in runs] for runs in (predicted, measured, bands))),
        builds=tuple(
            _score(build.label, *([run.duration_s(build) for run in runs] for runs in (predicted, measured, bands)))
            for build in both
        ),
        outcomes=outcomes(predicted, measured),
        unmatched=tuple(build.label for build in sorted(ours ^ theirs)),
    )


def _ended(runs: Sequence[Observed]) -> set[BuildId]:
    return set.intersection(*({build for build, one in run.builds.items() if one.ended_s < inf} for run in runs))


def _score(name: str, predicted: Sequence[float], measured: Sequence[float], varied: Sequence[float]) -> Score:
    low_s, high_s = band(varied)
    mean_s = sum(measured) / len(measured)
    return Score(
        name=name,
        predicted_s=sum(predicted) / len(predicted),
        measured_s=mean_s,
        noise=noise(measured, max(SHORTEST_S, mean_s)),
        low_s=low_s,
        high_s=high_s,
        inside=sum(low_s <= one <= high_s for one in measured),
        runs=len(measured),
    )


def noise(values: Sequence[float], scale: float) -> float:
    """Mean distance of each value from the mean of the others, as a share of `scale`; nan for a single one."""
    n = len(values)
    if n < 2:
        return nan
    total = sum(values)
    return sum(abs(one - (total - one) / (n - 1)) for one in values) / n / scale


def band(values: Sequence[float], share: float = BAND) -> tuple[float, float]:
    """The narrowest pair of order statistics, as many cut below as above, that holds one more draw with `share` at least.

    Of n draws the gaps from the l-th lowest to the l-th highest hold another with (n + 1 - 2 l) / (n + 1): exact for any
    distribution. Below 2 / (1 - share) - 1 = 39 draws the lowest and the highest are all there is.
    """
    ordered = sorted(values)
    cut = max(floor((len(ordered) + 1) * (1 - share) / 2 + 1e-9), 1)
    return ordered[cut - 1], ordered[-cut]


def outcomes(predicted: Sequence[Observed], measured: Sequence[Observed]) -> Outcomes:
    """Compare the most frequent outcome of each step with every replay's, and each replay's with the other replays'."""
    told, by_step = _most_frequent(predicted), _by_step(measured)
    settled = {step for step, some in by_step.items() if _is_settled(some, len(measured))}
    at_best = sum(_at_best(some) for some in by_step.values())
    right = repeated = total = of_settled = settled_right = 0
    wrong: Counter[str] = Counter()
    for at, run in enumerate(measured):
        others = _most_frequent([*measured[:at], *measured[at + 1 :]]) if len(measured) > 1 else {}
        companions = _companions(run)
        for step, seen in _steps(run).items():
            total += 1
            is_right = agrees(told.get(step), seen, step[0] in companions)
            right += is_right
            of_settled += step in settled
            settled_right += is_right and step in settled
            repeated += agrees(others.get(step), seen, step[0] in companions)
            if not is_right:
                wrong[f"{step[0].label}: {step[1]}: {told.get(step) or 'not there'} instead of {seen}"] += 1
    told_wrong = tuple(f"{text} ({n} of {len(measured)})" for text, n in wrong.most_common())
    return Outcomes(right, repeated, total, told_wrong, of_settled, settled_right, at_best)


def _by_step(runs: Iterable[Observed]) -> dict[Place, list[tuple[str, bool]]]:
    """The outcomes of each step, and whether its build had a companion, in the runs that show it."""
    found: dict[Place, list[tuple[str, bool]]] = {}
    for run in runs:
        companions = _companions(run)
        for step, outcome in _steps(run).items():
            found.setdefault(step, []).append((outcome, step[0] in companions))
    return found


def _at_best(some: Sequence[tuple[str, bool]]) -> int:
    """How many of a step's outcomes the best guess gets right, if it must be the same for all runs."""
    return max(sum(agrees(guess, *one) for one in some) for guess in (None, *_RANK))


def _is_settled(some: Sequence[tuple[str, bool]], runs: int) -> bool:
    """Whether a step ended alike in all of several runs; where one does not show it, it was cached there."""
    told, *others = [outcome for outcome, _ in some] + ["cached"] * (runs - len(some))
    has_companion = any(one for _, one in some)
    return runs > 1 and all(agrees(told, other, has_companion) for other in others)


def agrees(told: str | None, seen: str, has_companion: bool) -> bool:
    """A cached step may stay unreported; who of those that start together executes and who shares is chance."""
    if told is None:
        return seen == "cached"
    return told == seen or (has_companion and {told, seen} == {"executed", "shared"})


Place = tuple[BuildId, str]


def _most_frequent(runs: Iterable[Observed]) -> dict[Place, str]:
    """The outcome of each step in most runs; of equals the first seen."""
    counts: dict[Place, Counter[str]] = {}
    for run in runs:
        for step, outcome in _steps(run).items():
            counts.setdefault(step, Counter())[outcome] += 1
    return {step: count.most_common(1)[0][0] for step, count in counts.items()}


_RANK = ("failed", "executed", "cancelled", "shared", "cached")  # of several rows of a step, the one that worked


def _steps(run: Observed) -> dict[Place, str]:
    found: dict[Place, str] = {}
    for build, one in run.builds.items():
        for name, seen in one.steps.items():
            found[build, shown_name(name)] = min(seen, key=_RANK.index)
    return found


def _companions(run: Observed) -> set[BuildId]:
    """Builds that do not start alone."""
    order = sorted(run.builds, key=lambda build: run.builds[build].arrived_s)
    near = [
        {one, other}
        for one, other in pairwise(order)
        if run.builds[other].arrived_s - run.builds[one].arrived_s <= TOGETHER_S
    ]
    return set().union(*near)


@dataclass(frozen=True, slots=True)
class ClassErrors:
    """Means over the scenarios of a class. Shares; `n` counts builds, `seen` their replays; nan is unknown."""

    kind: str
    cases: int
    n: int
    seen: int
    makespan_mape: float
    makespan_bias: float
    build_mape: float
    build_bias: float
    noise_floor: float
    build_noise_floor: float
    outcome_accuracy: float
    outcome_repeated: float
    settled_accuracy: float
    outcome_at_best: float
    coverage: float
    worst: str

    @property
    def makespan_excess(self) -> float:
        """The mean makespan error beyond the noise floor."""
        return self.makespan_mape - self.noise_floor

    @property
    def build_excess(self) -> float:
        """The mean error of builds beyond their noise floor."""
        return self.build_mape - self.build_noise_floor


def summary(kind: str, cases: Sequence[CaseErrors]) -> ClassErrors:
    """Mean errors of some scenarios: makespans over scenarios, the rest over all builds and steps."""
    builds = [score for case in cases for score in case.builds]
    spans = [case.makespan for case in cases]
    seen = sum(score.runs for score in builds)
    steps = sum(case.outcomes.total for case in cases)
    settled = sum(case.outcomes.settled for case in cases)
    return ClassErrors(
        kind=kind,
        cases=len(cases),
        n=len(builds),
        seen=seen,
        makespan_mape=mean(abs(one.error) for one in spans),
        makespan_bias=mean(one.error for one in spans),
        build_mape=mean(abs(one.error) for one in builds),
        build_bias=mean(one.error for one in builds),
        noise_floor=mean(one.noise for one in spans),
        build_noise_floor=mean(one.noise for one in builds),
        outcome_accuracy=sum(case.outcomes.right for case in cases) / steps if steps else nan,
        outcome_repeated=sum(case.outcomes.repeated for case in cases) / steps if steps else nan,
        outcome_at_best=sum(case.outcomes.at_best for case in cases) / steps if steps else nan,
        settled_accuracy=sum(case.outcomes.settled_right for case in cases) / settled if settled else nan,
        coverage=sum(score.inside for score in builds) / seen if seen else nan,
        worst=max(cases, key=lambda case: abs(case.makespan.error)).name if cases else "",
    )


def mean(values: Iterable[float]) -> float:
    """The mean; nan of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else nan


def fewest(share: float = BAND) -> int:
    """The fewest replications whose lowest and highest are a band of this share."""
    return ceil(2 / (1 - share) - 1 - 1e-9)
