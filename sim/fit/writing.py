"""A calibration as a profile file, and as lines for a person.

In: step estimates, constants with their sources, numbers seen. Out: the file's fields as JSON has them, the YAML text, lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

import yaml

from sim.errors import replacing
from sim.fit.constants_fit import ConstantFit
from sim.fit.pooling import Number, StepEstimate
from sim.fit.suite.numbers import Seen
from sim.profile.constants import CONSTANTS
from sim.profile.file import ProfileFile
from sim.trace import Json

_WIDTH = 120


SPEEDS = ("core_share", "daemon_speed")
"""Of numbers that are seen, those that say only how much something varies around 1."""


def fields_of(
    constants: Sequence[ConstantFit],
    sources: Sequence[str],
    steps: Sequence[StepEstimate],
    seen: Mapping[str, Seen],
    *,
    note: str = "",
    machine: Mapping[str, str | int | float] | None = None,
) -> dict[str, Json]:
    """The profile file's fields, as JSON has them."""
    found: dict[str, Json] = {"schema": 1}
    if note:
        found["note"] = note
    if machine:
        found["machine"] = dict(machine)
    for name, field in (("burn_s", "core_speed"), *((name, name) for name in SPEEDS)):
        if one := seen.get(name):
            found[field] = {"value": 1.0, "spread": _short(one.spread), "n": one.n, "source": one.source}
    found["daemon"] = {one.name: _constant(one, source) for one, source in zip(constants, sources, strict=True)}
    found["costs"] = [_rule(one) for one in steps]
    found["measured"] = {
        name: {"value": _short(one.value), "spread": _short(one.spread), "n": one.n, "source": one.source}
        for name, one in seen.items()
        if name not in SPEEDS
    }
    return {name: value for name, value in found.items() if value not in ({}, [])}


def constants_in(profile: ProfileFile) -> list[ConstantFit]:
    """The constants that a profile file states, as a fit found them; what it does not say of one is as documented."""
    found = []
    for name, one in profile.daemon.items():
        documented = CONSTANTS[name].spread
        spread, error = (documented if number is None else number for number in (one.spread, one.error))
        found.append(ConstantFit(name, one.value, spread, error, one.n))
    return found


def write_profile(fields: Mapping[str, Json], path: Path) -> None:
    """Write the file whole or not at all. EnvironmentMissing: the disk refuses."""
    text = yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=_WIDTH)
    with replacing(path) as file:
        file.write(text)


def calibration_lines(
    constants: Sequence[ConstantFit], steps: Sequence[StepEstimate], executions: int, missed: float
) -> list[str]:
    """What was found, for a person: the constants beside the documented ones, then the steps."""
    lines = [f"{len(constants)} constants, {len(steps)} steps from {executions} executions"]
    if executions:
        lines[0] += f"; the model misses {100 * missed:.2g} % of their time"
    for one in constants:
        documented = CONSTANTS[one.name].value
        lines.append(
            f"  {one.name:<20} {one.value:>10.4g}  +- {100 * one.error:.0f} %, single ones {100 * one.spread:.0f} %, "
            f"n={one.n}; documented {documented:.4g}"
        )
    for step in steps:
        known = ", ".join(f"{name} {number.value:.4g}" for name, number in step.numbers.items() if number.n)
        n = max((number.n for number in step.numbers.values()), default=0)
        where = f" ({step.platform})" if step.platform else ""
        lines.append(f"  {step.pattern[:70]:<70}{where} {known}; spread {step.cost.spread:.2g}, n={n}")
    return lines


def _constant(one: ConstantFit, source: str) -> dict[str, Json]:
    return {
        "value": _short(one.value),
        "spread": _short(one.spread),
        "error": _short(one.error),
        "n": one.n,
        "source": source,
    }


def _rule(one: StepEstimate) -> dict[str, Json]:
    """A rule as a scenario writes it, with what is known of its numbers."""
    cost, found = one.cost, {"step": one.pattern}
    if one.platform:
        found["platform"] = one.platform
    amounts = {
        "cpu": _seconds(cost.cpu_s),
        "threads": "all" if not isfinite(cost.threads) else f"{cost.threads:g}" if cost.threads != 1.0 else "",
        "serial": f"{100 * cost.serial:.4g}%" if cost.serial else "",
        "latency": _seconds(cost.latency_s),
        "download": _bytes(cost.download_bytes),
        "read": _bytes(cost.read_bytes),
        "write": _bytes(cost.write_bytes),
        "memory": _bytes(cost.memory_bytes),
        "layer": _bytes(cost.layer_bytes) if cost.layer_bytes != cost.write_bytes else "",
        "warm": f"{100 * cost.warm:.4g}%" if cost.warm != 1.0 else "",
    }
    found |= {name: text for name, text in amounts.items() if text}
    flags: dict[str, Json] = {"spread": _short(cost.spread)}
    if cost.overlap:
        flags["overlap"] = True
    flags["numbers"] = {name: _number(number) for name, number in one.numbers.items() if isfinite(number.value)}
    return {**found, **flags}


def _number(one: Number) -> dict[str, Json]:
    spread: dict[str, Json] = {} if one.spread is None else {"spread": _short(one.spread)}
    return {"value": _short(one.value), **spread, "n": one.n, "source": one.source}


def _seconds(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") + "s" if value > 5e-7 else ""


def _bytes(value: float) -> str:
    return f"{value:.0f}B" if value >= 0.5 else ""


def _short(value: float) -> float:
    """Five digits are more than was measured."""
    return float(f"{value:.5g}")
