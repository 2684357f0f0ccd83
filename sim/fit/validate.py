"""Predicted beside measured over many scenarios: mean errors by class, the worst cases, and whether simpler models do as well.

In: `Subject`s: scenarios made ready, with the runs that were measured of each. Out: `Validation`: for each scenario its errors
and those of the reference predictors, for each class the means, and a paired sign test against plain max-min.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import comb, nan
from typing import Literal

from sim.fit.measured.clients import client_cpu_s, client_gap_s, clients_of
from sim.fit.measured.executions import lost_share, without
from sim.fit.validation.errors import BAND, CaseErrors, ClassErrors, compare, fewest, mean, summary
from sim.fit.validation.max_min import max_min
from sim.fit.validation.observed import Observed, observe
from sim.fit.validation.predictors import critical_path, median_of_past, sum_of_steps
from sim.profile import CONSTANTS, Profile
from sim.profile.cost import CLIENT_PARTS
from sim.profile.variation import Variation
from sim.runs import Case, Progress, replicate, requests_of, simulate_case
from sim.scenario import Scenario
from sim.trace import Json, Trace
from sim.workload.output import RECEIVED

Cause = Literal["scheduling", "cost"]
"""What can be wrong: with synthetic loads, whose costs are known, only the scheduling; with true builds the costs, too."""

REPLICATIONS = 2 * fewest() + 1  # 79: the second lowest and the second highest are the band
DOCUMENTED = Variation(
    errors=tuple((name, constant.spread) for name, constant in CONSTANTS.items()), core=0.017, share=0.2
)
"""How uncertain a daemon is that nobody calibrated; cores as in buildkit-semantics 13.3, their shares as in the corpus."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A scenario and what was measured of it. `found`: from the corpus, or by the search for bad predictions, which says what
    it made up: `about`.

    `notes`: what makes its measurements doubtful (a busy machine). `burn_s`: how long a fixed piece of work took beside each.
    `traces`: the same runs whole, where they are there: what a profile can be fitted on.
    """

    case: Case
    runs: tuple[Observed, ...]
    cause: Cause = "scheduling"
    found: Literal["corpus", "search"] = "corpus"
    about: str = ""
    traces: tuple[Trace, ...] = ()
    notes: tuple[str, ...] = ()
    burn_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """What a simple predictor says of a scenario: signed error of the makespan, mean absolute error of its builds."""

    name: str
    makespan_s: float
    makespan_error: float
    build_mape: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A scenario's errors, ours and the references'."""

    subject: Subject
    errors: CaseErrors
    references: tuple[Reference, ...]

    def reference(self, name: str) -> Reference:
        """One of them."""
        return next(one for one in self.references if one.name == name)


@dataclass(frozen=True, slots=True)
class SignTest:
    """Ours against another, makespan by makespan. `p`: how likely so few losses are by chance, were both as good (one-sided).

    `beyond_floor`: the scenarios where ours is worse by more than their noise.
    """

    better: int
    worse: int
    ties: int
    p: float
    beyond_floor: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """All scenarios, and what they come to. `classes` are of the corpus' synthetic loads; `cost` of true builds."""

    judged: tuple[Judged, ...]
    classes: tuple[ClassErrors, ...]
    cost: ClassErrors | None
    signs: SignTest
    replications: int
    seed: int
    profile: str
    command: str = ""
    held_out: str = ""
    notes: tuple[str, ...] = field(default=())

    def of_class(self, kind: str) -> list[Judged]:
        """The scenarios of a class that count for its means."""
        return [one for one in self.judged if _counts(one) and one.errors.kind == kind]

    def searched(self) -> list[Judged]:
        """What the search for bad predictions found, worst first."""
        found = [one for one in self.judged if one.subject.found == "search"]
        return sorted(found, key=lambda one: -abs(one.errors.makespan.error))

    def reference_mape(self, kind: str, name: str) -> float:
        """Mean absolute makespan error of a reference over a class."""
        return mean(abs(one.reference(name).makespan_error) for one in self.of_class(kind))

    def to_json(self) -> dict[str, Json]:
        """Plain JSON: a key for each class, and every single case. Errors are shares: 0.01 is 1 %."""
        found: dict[str, Json] = {
            "command": self.command,
            "replications": self.replications,
            "seed": self.seed,
            "profile": self.profile,
            "held_out": self.held_out,
            "notes": list(self.notes),
        }
        for one in self.classes:
            found[one.kind] = _class_json(one) | {
                f"{key}_makespan_mape": self.reference_mape(one.kind, name) for name, key in _REFERENCE_KEYS.items()
            }
        if self.cost is not None:
            found["cost"] = _class_json(self.cost)
        signs = self.signs
        found["sign_test"] = {
            "against": MAX_MIN,
            "better": signs.better,
            "worse": signs.worse,
            "ties": signs.ties,
            "p": signs.p,
            "worse_beyond_floor": list(signs.beyond_floor),
        }
        found["cases"] = [_case_json(one) for one in self.judged]
        return found


MAX_MIN, MEDIAN, SUM, PATH = "plain max-min", "median of past builds", "sum of step times", "critical path"
_REFERENCE_KEYS = {MAX_MIN: "maxmin", MEDIAN: "median", SUM: "sum", PATH: "path"}


def kind_of(scenario: Scenario) -> str:
    """`cpu` when its steps only compute, else `mixed`."""
    waits = any(rule.latency or rule.download or rule.read or rule.write for rule in scenario.costs)
    return "mixed" if waits else "cpu"


def validate(
    subjects: Sequence[Subject],
    *,
    replications: int = REPLICATIONS,
    seed: int = 1,
    workers: int | None = None,
    profile_without: Callable[[Subject], Profile] | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Simulate each subject's requests and compare. `profile_without(subject)`: a profile fitted on others.

    Without it each case keeps its profile. A profile that says nothing of its own uncertainty gets the documented one for bands.
    """
    received_bytes = {one.case.label: client_bytes(one.case) for one in subjects if one.traces}
    fitted = [with_clients(subject, subjects, profile_without, received_bytes) for subject in subjects]
    cases = [subject.case for subject in fitted]
    varied = [
        replace(case, profile=case.profile.varying(DOCUMENTED)) if case.profile.variation.is_none else case
        for case in cases
    ]
    runs = replicate(
        [*cases, *varied], observe, replications=replications, seed=seed, workers=workers, progress=progress
    )
    judged = [
        _judged(subject, runs[at], runs[len(cases) + at], seed, [one for one in fitted if one is not subject])
        for at, subject in enumerate(fitted)
    ]
    counted = [one for one in judged if _counts(one)]
    kinds = [kind for kind in ("cpu", "mixed") if any(one.errors.kind == kind for one in counted)]
    true_builds = [one.errors for one in judged if one.subject.cause == "cost"]
    return Validation(
        judged=tuple(judged),
        classes=tuple(summary(kind, [one.errors for one in counted if one.errors.kind == kind]) for kind in kinds),
        cost=summary("cost", true_builds) if true_builds else None,
        signs=sign_test(counted),
        replications=replications,
        seed=seed,
        profile=", ".join(dict.fromkeys(_profile_of(case) for case in cases)),
    )


def _profile_of(case: Case) -> str:
    """Its profile file, as seen from the working folder: reports hold no path of a machine."""
    name = case.scenario.profile
    return os.path.relpath(name) if name and os.path.isabs(name) else name or "documented constants"


def with_clients(
    subject: Subject,
    subjects: Sequence[Subject],
    profile_without: Callable[[Subject], Profile] | None,
    received_bytes: Mapping[str, float],
) -> Subject:
    """Its profile, and what clients and others take of the machine: a replay's clients run beside the daemons. The other
    subjects say how much, those of its kind where there are some: buildx's bake takes three times as much as buildctl.
    """
    case = subject.case
    profile = profile_without(subject) if profile_without else case.profile
    others = [other for other in subjects if other is not subject and other.traces]
    alike = [other for other in others if other.case.graphs.bake == case.graphs.bake] or others
    farm = case.farm
    if farm.host is not None:
        lost_of = lost_share([trace for other in others for trace in other.traces])
        farm = replace(farm, host=without(farm.host, lost_of))
    return replace(subject, case=replace(case, farm=farm, profile=_with_client(profile, alike, received_bytes)))


def _with_client(profile: Profile, others: Sequence[Subject], received_bytes: Mapping[str, float]) -> Profile:
    """What a client takes that receives nothing, and what it takes more for each byte that it receives of its result."""
    own: list[float] = []
    receiving: list[tuple[float, float]] = []
    for other in others:
        of_bytes = received_bytes[other.case.label]
        if of_bytes:
            receiving += [(client_cpu_s(trace), of_bytes) for trace in other.traces]
        else:
            own += [client_cpu_s(trace) for trace in other.traces]
    if not own:
        return profile
    client_s = mean(own)
    more = mean((took_s - client_s) / of_bytes for took_s, of_bytes in receiving) if receiving else 0.0
    gap_s = client_gap_s(trace for other in others for trace in other.traces)
    latency_s = profile.daemon.bake_latency_s - client_s * CLIENT_PARTS.start  # which that was measured with
    daemon = replace(
        profile.daemon,
        client_cpu_s=client_s,
        client_byte_cpu_s=max(0.0, more),
        client_gap_s=gap_s,
        bake_latency_s=max(0.0, latency_s),
    )
    return profile.with_daemon(daemon)


def client_bytes(case: Case) -> float:
    """How much a client of the scenario receives, in the mean: a replay does not count it."""
    if not any(written.output for written in case.scenario.workload):
        return 0.0
    trace = simulate_case(case)
    rows = zip(trace.steps["step"], trace.steps["sent_bytes"].tolist(), strict=True)
    received = float(sum(sent_bytes for step, sent_bytes in rows if step in RECEIVED))
    return received / len(clients_of(trace))


def _counts(one: Judged) -> bool:
    return one.subject.found == "corpus" and one.subject.cause == "scheduling"


def _judged(
    subject: Subject,
    predicted: Sequence[Observed],
    varied: Sequence[Observed],
    seed: int,
    others: Sequence[Subject],
) -> Judged:
    case = subject.case
    measured = subject.runs
    if not any(len(build.platforms) or build.target for build in measured[0].builds):
        predicted, varied = ([run.by_request() for run in runs] for runs in (predicted, varied))
    errors = compare(case.label, kind_of(case.scenario), predicted, measured, varied)
    return Judged(subject, errors, tuple(_references(subject, seed, others)))


def _references(subject: Subject, seed: int, others: Sequence[Subject]) -> list[Reference]:
    case, measured = subject.case, subject.runs
    given = (requests_of(case, seed), case.graphs, case.farm, case.profile)
    elsewhere = [run for other in others for run in other.runs]
    runs = {
        MAX_MIN: [max_min(*given)],
        MEDIAN: [median_of_past(run, elsewhere) for run in measured],
        SUM: [sum_of_steps(*given)],
        PATH: [critical_path(*given)],
    }
    found = []
    for name, predicted in runs.items():
        errors = compare(case.label, "", predicted, measured)
        build_mape = mean(abs(one.error) for one in errors.builds)
        found.append(Reference(name, errors.makespan.predicted_s, errors.makespan.error, build_mape))
    return found


def mean_error(case: Case, traces: Sequence[Trace], seed: int, replications: int = 10) -> float:
    """The makespan's error or the builds' mean error, whichever is larger, of these measured traces; a share."""
    predicted = [observe(simulate_case(case, seed=seed, replication=one)) for one in range(replications)]
    errors = compare(case.label, "", predicted, [observe(trace) for trace in traces])
    return max(abs(errors.makespan.error), mean(abs(one.error) for one in errors.builds) if errors.builds else 0.0)


def sign_test(judged: Sequence[Judged]) -> SignTest:
    """Whose makespan is nearer, scenario by scenario; equal ones do not count [Conover 1999, 3.4]."""
    gains = [abs(one.reference(MAX_MIN).makespan_error) - abs(one.errors.makespan.error) for one in judged]
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    n = better + worse
    p = sum(comb(n, losses) for losses in range(worse + 1)) / 2**n if n else nan
    beyond = [one.errors.name for one, gain in zip(judged, gains, strict=True) if -gain > one.errors.makespan.noise]
    return SignTest(better, worse, len(gains) - n, p, tuple(beyond))


def _class_json(one: ClassErrors) -> dict[str, Json]:
    return {
        "cases": one.cases,
        "n": one.n,
        "replays": one.seen,
        "makespan_mape": one.makespan_mape,
        "makespan_bias": one.makespan_bias,
        "makespan_excess": one.makespan_excess,
        "build_mape": one.build_mape,
        "build_bias": one.build_bias,
        "build_excess": one.build_excess,
        "noise_floor": one.noise_floor,
        "build_noise_floor": one.build_noise_floor,
        "outcome_accuracy": one.outcome_accuracy,
        "outcome_repeated": one.outcome_repeated,
        "settled_accuracy": one.settled_accuracy,
        "outcome_at_best": one.outcome_at_best,
        "coverage": one.coverage,
        "band": BAND,
        "worst": one.worst,
    }


def _case_json(one: Judged) -> dict[str, Json]:
    errors, subject = one.errors, one.subject
    builds: list[Json] = [
        {
            "build": score.name,
            "predicted_s": score.predicted_s,
            "measured_s": score.measured_s,
            "error": score.error,
            "noise": score.noise,
            "band_s": [score.low_s, score.high_s],
            "inside": score.inside,
            "replays": score.runs,
        }
        for score in (errors.makespan, *errors.builds)
    ]
    return {
        "scenario": errors.name,
        "class": errors.kind,
        "cause": subject.cause,
        "found": subject.found,
        "about": subject.about,
        "replays": errors.replays,
        "makespan": builds[0],
        "builds": builds[1:],
        "steps": errors.outcomes.total,
        "steps_right": errors.outcomes.right,
        "steps_settled": errors.outcomes.settled,
        "steps_settled_right": errors.outcomes.settled_right,
        "wrong": list(errors.outcomes.wrong),
        "unmatched": list(errors.unmatched),
        "references": {
            _REFERENCE_KEYS[each.name]: {
                "makespan_s": each.makespan_s,
                "makespan_error": each.makespan_error,
                "build_mape": each.build_mape,
            }
            for each in one.references
        },
        "burn_s": list(subject.burn_s),
        "notes": list(subject.notes),
    }
