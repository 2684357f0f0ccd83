"""Fitted executions as cost rules: one a command, where its stages and platforms agree; each number with what is known of it.

In: `Fitted` executions of all traces. Out: `StepEstimate`s in the order in which rules must stand (the first match wins).
The value is the median over executions; the spread their robust sigma, drawn to that of all steps where there are few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log, sqrt
from statistics import median, stdev

from sim.fit.constants_fit import robust_sigma
from sim.fit.step_costs import Fitted
from sim.profile.cost import Cost

ALIKE = 0.1  # commands whose stages or platforms differ by less cost the same
USUAL_SPREAD = 0.1  # of single executions where nothing was executed twice; weighs as much as `_WEIGHT` executions
_WEIGHT = 2
_ROBUST_FROM = 5
_LEAST_COPY_BYTES = 20e6  # about 20 ms (`write_byte_cpu_s`): what a COPY takes beyond its constant and is worth a rule
_LEAST_COST_S = 1e-3


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a rule: lognormal sigma of single executions, how many they were, and where it is from."""

    value: float
    spread: float | None
    n: int
    source: str


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """A rule to be. `numbers` by the field's name in a scenario: cpu, latency, write, ..."""

    pattern: str
    platform: str | None
    cost: Cost
    numbers: Mapping[str, Number] = field(default_factory=dict)


Cell = tuple[str, str]
"""Stage and platform of a command."""


def pooled(fitted: Iterable[Fitted], usual: float = USUAL_SPREAD) -> list[StepEstimate]:
    """The rules that these executions give."""
    commands: dict[str, dict[Cell, list[Fitted]]] = defaultdict(lambda: defaultdict(list))
    for one in fitted:
        seen = one.execution
        if seen.is_ok and seen.is_whole and one.unknown and _is_worth_a_rule(one):
            commands[seen.command][seen.stage, seen.platform].append(one)
    usual = _usual_spread([cell for cells in commands.values() for cell in cells.values()], usual)
    found = [estimate for command, cells in commands.items() for estimate in _rules_of(command, cells, usual)]
    # A rule for one platform, or one stage, stands before the rule for the rest; of stages the longer name: `*` matches both.
    return sorted(found, key=lambda one: (one.platform is None, -len(one.pattern)))


def _is_worth_a_rule(one: Fitted) -> bool:
    kind, cost = one.execution.kind, one.cost
    if kind == "copy":
        return "--from=" in one.execution.name and cost.write_bytes > _LEAST_COPY_BYTES
    return kind == "exec" or (kind == "source" and cost.origin == "prior" and cost.rule != "local" and _main(one) > 0.0)


def _rules_of(command: str, cells: Mapping[Cell, Sequence[Fitted]], usual: float) -> list[StepEstimate]:
    """One rule if all cells agree; else one a platform if the stages agree there; else one a stage and platform."""
    everything = [one for cell in cells.values() for one in cell]
    if _agree(cells.values()):
        return [_estimate(f"*] {_plain(command)}", None, everything, usual)]
    found = []
    platforms = list(dict.fromkeys(platform for _, platform in cells))
    for platform in platforms:
        here = {stage: cell for (stage, where), cell in cells.items() if where == platform}
        known = platform or None if len(platforms) > 1 else None
        if _agree(here.values()):
            together = [one for cell in here.values() for one in cell]
            found.append(_estimate(f"*] {_plain(command)}", known, together, usual))
        else:
            found += [_estimate(f"[*{stage} *] {_plain(command)}", known, cell, usual) for stage, cell in here.items()]
    return found


def _agree(cells: Iterable[Sequence[Fitted]]) -> bool:
    middles = [log(max(median(_main(one) for one in cell), _LEAST_COST_S)) for cell in cells]
    return max(middles) - min(middles) <= ALIKE


def _plain(command: str) -> str:
    """Digests differ from pull to pull."""
    head, at, _ = command.partition("@sha256:")
    return head + "*" if at else command


def _main(one: Fitted) -> float:
    """The number that was looked for."""
    return {"wait": one.cost.latency_s, "bytes": one.cost.write_bytes}.get(one.unknown, one.cost.cpu_s)


def _estimate(pattern: str, platform: str | None, cell: Sequence[Fitted], usual: float) -> StepEstimate:
    cold = [one for one in cell if not one.execution.is_warm] or list(cell)
    warm = [one for one in cell if one.execution.is_warm] if len(cold) < len(cell) else []
    name = {"wait": "latency", "bytes": "write"}.get(cold[0].unknown, "cpu")
    value, n = median(_main(one) for one in cold), len(cold)
    sigma = shrunk(_logs(cold), usual)
    example = cold[0].cost
    cost = replace(
        example,
        spread=round(sigma, 4),
        cpu_s=value if name == "cpu" else median(one.cost.cpu_s for one in cold),
        latency_s=value if name == "latency" else example.latency_s,
        write_bytes=value if name == "write" else example.write_bytes,
        layer_bytes=value if name == "write" else example.layer_bytes,
    )
    seen = [one.execution.memory_bytes for one in cell if one.execution.memory_bytes is not None]
    is_less = bool(seen) and max(seen) < cost.memory_bytes
    if is_less:  # more would have been seen; less may be a peak that was missed
        cost = replace(cost, memory_bytes=max(seen))
    if name == "write":  # a rule on a COPY comes on top of the constants
        cost = replace(cost, cpu_s=0.0, threads=1.0)
    stated = f"prior: {example.rule}" if example.origin == "prior" else f"rule: {example.rule}"
    numbers = {
        known: Number(amount, None, 0, stated) for known, amount in _amounts(cost).items() if known != name and amount
    }
    numbers[name] = Number(value, sigma, n, "fitted: durations, contention removed")
    if is_less:
        numbers["memory"] = Number(cost.memory_bytes, None, len(seen), "measured: its share of what was in use")
    if cold[0].is_split and cost.latency_s:
        numbers["latency"] = Number(cost.latency_s, None, n, "fitted: what contention does not stretch")
    if name == "latency" and cold[0].execution.cpu_s is not None:
        cpu = [one.execution.cpu_s or 0.0 for one in cold]
        numbers["cpu"] = Number(cost.cpu_s, shrunk([log(max(one, _LEAST_COST_S)) for one in cpu], usual), n, "measured")
        numbers["threads"] = Number(cost.threads, None, n, "measured: busy cores")
    if warm and value > _LEAST_COST_S:
        # A warm one was fitted with `warm` as stated: its own cost is that share of what was found.
        ratio = min(1.0, median(_main(one) * one.cost.warm for one in warm) / value)
        cost = replace(cost, warm=ratio)
        numbers["warm"] = Number(ratio, None, len(warm), "fitted: executions with a filled cache mount")
    return StepEstimate(pattern, platform, cost, numbers)


def _amounts(cost: Cost) -> dict[str, float]:
    return {
        "cpu": cost.cpu_s,
        "threads": cost.threads if cost.threads != 1.0 else 0.0,
        "serial": cost.serial,
        "latency": cost.latency_s,
        "download": cost.download_bytes,
        "read": cost.read_bytes,
        "write": cost.write_bytes,
        "memory": cost.memory_bytes,
        "warm": cost.warm if cost.warm != 1.0 else 0.0,
    }


def _logs(cell: Sequence[Fitted]) -> list[float]:
    return [log(max(_main(one), _LEAST_COST_S)) for one in cell]


def shrunk(logs: Sequence[float], usual: float) -> float:
    """Sigma of a few values: that of all steps counts as `_WEIGHT` more of them."""
    n = len(logs)
    own = robust_sigma(logs) if n >= _ROBUST_FROM else stdev(logs) if n > 1 else 0.0
    return sqrt(((n - 1) * own**2 + _WEIGHT * usual**2) / (n - 1 + _WEIGHT))


def _usual_spread(cells: Sequence[Sequence[Fitted]], usual: float) -> float:
    """Sigma over all steps that were executed more than once; cold and warm ones apart."""
    squares, freedom = _WEIGHT * usual**2, float(_WEIGHT)
    for cell in cells:
        for is_warm in (False, True):
            logs = _logs([one for one in cell if one.execution.is_warm is is_warm])
            if len(logs) > 1:
                own = robust_sigma(logs) if len(logs) >= _ROBUST_FROM else stdev(logs)
                squares += (len(logs) - 1) * own**2
                freedom += len(logs) - 1
    return sqrt(squares / freedom)
