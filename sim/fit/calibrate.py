"""`calibrate`: measured traces, and perhaps a suite of builds on this machine, become a profile.

In: `Measured` traces with what is known of their steps (a scenario's rules, else priors), a `Suite`. Out: `Calibration`: step
costs with contention removed, the daemon's constants, the machine's speed; each with spread, source, n; `profile()` to
predict with (`sim.fit.writing` writes it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from statistics import median

import numpy as np

from sim.errors import InputError
from sim.fit.constants_fit import (
    FITTED,
    ConstantFit,
    Known,
    between_scenarios,
    counted,
    fit_constants,
    median_fit,
    recosted,
)
from sim.fit.measured.clients import bake_starts_s
from sim.fit.measured.executions import Execution, Observation, observe
from sim.fit.measured.fairness import LONG_S, Crowded, core_share, crowded
from sim.fit.measured.images import Looks, first_more_s, looks_s
from sim.fit.measured.schedule import Schedule
from sim.fit.pooling import StepEstimate, pooled
from sim.fit.step_costs import Fitted, fit_costs
from sim.fit.suite.numbers import Seen
from sim.fit.writing import fields_of
from sim.profile import CONSTANTS, Profile
from sim.profile.cost import Cost, Daemon
from sim.profile.file import ProfileFile
from sim.scenario.fields.costs import CostRule
from sim.trace import Trace

# What is fitted beside step costs that are unknown: the vertices that have none of their own.
BESIDE_STEPS = ("merge_cpu_s", "client_latency_s", "open_cpu_s", "tail_latency_s", "tail_cpu_s")
DISAGREES = 0.10  # of the steps' time that no cost explains: then the trace is not of such a farm
OFF = 0.35  # median share by which steps of known cost may be off before the costs are called wrong
_SHORTEST_S = 1e-3  # of what a difference of two measured times leaves


@dataclass(frozen=True, slots=True)
class Measured:
    """A trace with what is known of its steps before: rules of its scenario; `scale` of a replay's times and bytes.

    `has_few_files`: none of its contexts has so many that their number shows.
    """

    observation: Observation
    rules: tuple[CostRule, ...] = ()
    scale: float = 1.0
    has_few_files: bool = False
    looks: Looks = ([], [])
    bake_starts_s: Sequence[float] = ()

    @classmethod
    def of(
        cls,
        trace: Trace,
        *,
        where: str = "",
        cpus: float | None = None,
        rules: Sequence[CostRule] = (),
        has_few_files: bool = False,
    ) -> Measured:
        """A trace made ready. InputError: it holds no steps, or does not say its cores."""
        scale = trace.meta.machine.get("scale", 1.0)
        observation = observe(trace, where=where, cpus=cpus)
        looks, starts_s = looks_s(trace), bake_starts_s(trace)
        return cls(observation, tuple(rules), float(scale), has_few_files, looks, starts_s)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was found. `constants` replace those of `daemon`, which the search began with; `steps` are rules in their order.

    `seen` are numbers for people, `burn_s` among them gives the cores' speed. `missed`: share of the steps' time not explained.
    """

    steps: tuple[StepEstimate, ...] = ()
    constants: tuple[ConstantFit, ...] = ()
    sources: tuple[str, ...] = ()
    seen: dict[str, Seen] = field(default_factory=dict)
    executions: int = 0
    missed: float = 0.0

    def profile(self, rules: Sequence[CostRule] = ()) -> Profile:
        """The profile, behind a scenario's own rules: what `Profile.of` makes of the file."""
        written = fields_of(self.constants, self.sources, self.steps, self.seen)
        written = {("schema_version" if name == "schema" else name): value for name, value in written.items()}
        return Profile.of(rules, ProfileFile.model_validate(written))


def calibrate(
    measured: Sequence[Measured], daemon: Daemon, *, suite: Sequence[ConstantFit] = (), costs_known: bool = False
) -> Calibration:
    """Fit. `daemon`: the constants to begin with; `suite`: those that a suite found. `costs_known`: the steps cost what the
    scenarios' rules say (a replay's synthetic loads), so that all constants are looked for.

    InputError: steps without a known cost where it must be known; a trace that the model cannot explain.
    """
    from_suite = tuple(suite)
    daemon = with_constants(daemon, from_suite)
    schedules = [Schedule(one.observation) for one in measured]
    executions = sum(one.kind != "digest" for schedule in schedules for one in schedule.executions)
    steps: list[StepEstimate] = []
    fits: list[ConstantFit] = []
    seen: dict[str, Seen] = {}
    missed = 0.0
    if costs_known and schedules:
        known = [known_costs(one, schedule, daemon) for one, schedule in zip(measured, schedules, strict=True)]
        fits = fit_constants(known, daemon, FITTED, counted(daemon))
        fits += _beside_vertices(measured, with_constants(daemon, fits))
        fitted_daemon = with_constants(daemon, fits)
        missed, seen = _check_known(known, daemon, fitted_daemon)
        spread, n = between_scenarios(known, fitted_daemon, daemon)
        if n:
            seen["daemon_speed"] = Seen(1.0, spread, n, "scenarios: what the constants do not explain")
        steps = pooled(_sources(measured, schedules, daemon))
    elif schedules:
        fitted = _fit_steps(measured, schedules, daemon)
        # What stands beside the steps is fitted with their costs, and they once more with that.
        found = {*counted(daemon), *(one.name for one in from_suite)}
        beside = [name for name in BESIDE_STEPS if name not in found]
        parts = zip(schedules, fitted, strict=True)
        known = [Known(schedule, tuple(one.cost for one in some)) for schedule, some in parts]
        fits = fit_constants(known, daemon, beside)
        fitted = _fit_steps(measured, schedules, with_constants(daemon, fits))
        missed = _check_explained([one for some in fitted for one in some])
        steps = pooled(one for some in fitted for one in some)
    told = f"fitted on {len(measured)} trace{'s' if len(measured) != 1 else ''}"
    replaced = {one.name for one in fits}
    kept = [one for one in from_suite if one.name not in replaced]
    return Calibration(
        steps=tuple(steps),
        constants=(*kept, *fits),
        sources=("suite",) * len(kept) + (told,) * len(fits),
        seen=seen,
        executions=executions,
        missed=missed,
    )


def with_constants(daemon: Daemon, fits: Sequence[ConstantFit]) -> Daemon:
    """A daemon with constants that were found."""
    return replace(daemon, **{one.name: one.value for one in fits})  # type: ignore[arg-type]


def _fit_steps(measured: Sequence[Measured], schedules: Sequence[Schedule], daemon: Daemon) -> list[list[Fitted]]:
    profiles = []
    for one in measured:
        if one.scale != 1.0:
            what = f"was replayed at scale {one.scale:g}: its steps are not the scenario's"
            raise InputError(
                what, where=one.observation.name, hint="give --constants: the steps' costs are known there"
            )
        profiles.append(_started(one, daemon))
    return fit_costs(schedules, profiles)


def _started(one: Measured, daemon: Daemon) -> Profile:
    return Profile.of(one.rules).with_daemon(daemon)


def _beside_vertices(measured: Sequence[Measured], daemon: Daemon) -> list[ConstantFit]:
    """What no vertex's own length tells: the first look at an image, and how long buildx takes to begin."""
    found = median_fit("image_cpu_s", first_more_s([one.looks for one in measured]))
    starts_s = [start_s for one in measured for start_s in one.bake_starts_s]
    if starts_s:
        latency_s = max(median(starts_s) - daemon.client_latency_s, _SHORTEST_S)
        spread = CONSTANTS["bake_latency_s"].spread
        found.append(ConstantFit("bake_latency_s", latency_s, spread, spread / sqrt(len(starts_s)), len(starts_s)))
    return found


def known_costs(one: Measured, schedule: Schedule, daemon: Daemon) -> Known:
    """The costs of a replay's steps. Those of exports, of sources without a rule and of images that are there already are taken
    from their length: they only stand beside.
    """
    costs = []
    unpacked: set[tuple[int, str]] = set()
    for execution, cost in zip(schedule.executions, schedule.stated(_started(one, daemon)), strict=True):
        if execution.kind == "exec" and cost.origin != "rule":
            hint = "give --scenario with the rules that it was replayed with, or leave --constants out"
            raise InputError(
                f"no rule says what a step costs: {execution.name[:80]}", where=one.observation.name, hint=hint
            )
        if execution.kind == "source":
            image = execution.runner, execution.command
            if cost.origin != "rule" or image in unpacked:  # one that is there is only looked up
                cost = Cost(cpu_s=execution.took_s)
            unpacked.add(image)
        elif execution.kind == "export":
            cost = Cost(cpu_s=execution.took_s)
        costs.append(_scaled(cost, one.scale) if execution.kind in ("exec", "copy", "digest") else cost)
    return Known(schedule, tuple(costs), (1,) * len(costs) if one.has_few_files else ())


def _sources(measured: Sequence[Measured], schedules: Sequence[Schedule], daemon: Daemon) -> Iterator[Fitted]:
    """What a replay's base images take, where no rule says it: they are made here, and no prior speaks of them."""
    for one, schedule in zip(measured, schedules, strict=True):
        for execution, cost in zip(schedule.executions, schedule.stated(_started(one, daemon)), strict=True):
            if execution.kind == "source" and cost.origin == "prior":
                yield Fitted(execution, Cost(cpu_s=execution.took_s, origin="prior", rule=cost.rule), "cpu", 0.0, 1.0)


def _scaled(cost: Cost, scale: float) -> Cost:
    """A replay's `--scale`: the rule's own amounts; a constant within a COPY's cost is the daemon's."""
    if scale == 1.0 or cost.origin != "rule":
        return cost
    return replace(
        cost,
        latency_s=cost.latency_s * scale,
        cpu_s=cost.cpu_s * scale,
        download_bytes=cost.download_bytes * scale,
        read_bytes=cost.read_bytes * scale,
        write_bytes=cost.write_bytes * scale,
    )


def _check_known(known: Sequence[Known], before: Daemon, daemon: Daemon) -> tuple[float, dict[str, Seen]]:
    """How far steps are off their known costs, and what that says of the cores' fairness; far off: the costs are not theirs."""
    off, missed_s, total_s = [], 0.0, 0.0
    shared: list[Crowded] = []
    worst: tuple[float, Execution | None, float] = (0.0, None, 0.0)
    for part in known:
        costs = recosted(part, before, daemon)
        took_s = part.schedule.simulate(costs, daemon).took_s.tolist()
        shared.append(crowded(part.schedule, costs, daemon, took_s))
        for one, simulated_s in zip(part.schedule.executions, took_s, strict=True):
            if one.kind == "exec" and one.is_whole and one.took_s > LONG_S:
                share = abs(one.took_s - simulated_s) / one.took_s
                off.append(share)
                missed_s, total_s = missed_s + abs(one.took_s - simulated_s), total_s + one.took_s
                worst = max(worst, (share, one, simulated_s), key=lambda found: found[0])
    if off and float(np.median(off)) > OFF and worst[1] is not None:
        raise _disagreement(worst[1], worst[2], float(np.median(off)))
    spread, n = core_share(shared)
    seen = {"core_share": Seen(1.0, spread, n, "steps of known cost that shared several cores")} if n else {}
    return missed_s / total_s if total_s else 0.0, seen


def _check_explained(fitted: Sequence[Fitted]) -> float:
    """The share of the steps' time that no cost explains: steps faster than their measured CPU time allows, or a wrong farm."""
    steps = [one for one in fitted if one.execution.kind == "exec" and one.execution.is_whole and one.unknown]
    total_s = sum(one.execution.took_s for one in steps)
    missed = sum(abs(one.missed_s) for one in steps) / total_s if total_s else 0.0
    if missed > DISAGREES:
        worst = max(steps, key=lambda one: abs(one.missed_s))
        raise _disagreement(worst.execution, worst.execution.took_s - worst.missed_s, missed)
    return missed


def _disagreement(one: Execution, simulated_s: float, share: float) -> InputError:
    what = (
        f"the model does not explain it: off by {100 * share:.0f} %; worst is {one.name[:60]!r}, "
        f"{one.took_s:.3g} s measured, {simulated_s:.3g} s at best"
    )
    return InputError(what, where="trace", hint="was the machine busy, or are the runners' cores (--cpus) others?")
