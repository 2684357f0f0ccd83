"""Cost rules: what a person (or a calibration) says about steps, by the name that BuildKit gives them.

In: rules with a pattern, an optional platform and amounts; a step. Out: the first rule that matches, with its `Cost`.
In a pattern only `*` (any text) and `?` (one character) are special: `[app build 3/5] *` means its brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sim.graph.types import Step
from sim.profile.cost import Cost, Origin
from sim.scenario.fields.costs import CostRule

# A rule without a spread is a person's round number. The sd of ln(duration) within a repository is 0.60 in the median
# (farm-facts D1), queueing and changing content included; one known step on one machine is taken as a third of that.
RULE_SPREAD = 0.2


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern over step names, a platform (None: any) and the cost of what matches."""

    pattern: str
    platform: str | None
    cost: Cost
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_regex", glob(self.pattern))

    def matches(self, step: Step) -> bool:
        """Does this rule speak of the step?"""
        return self.platform in (None, step.platform) and self._regex.fullmatch(step.name) is not None


def rules_of(written: Iterable[CostRule], origin: Origin) -> tuple[Rule, ...]:
    """The rules of a scenario (origin `rule`) or of a profile file (origin `profile`), in their order."""
    return tuple(Rule(rule.step, rule.platform, _cost(rule, origin)) for rule in written)


def first_match(rules: Iterable[Rule], step: Step) -> Rule | None:
    """First match wins; None when no rule speaks of the step."""
    return next((rule for rule in rules if rule.matches(step)), None)


def glob(pattern: str) -> re.Pattern[str]:
    """A pattern in which only `*` and `?` are special; it must match the whole name, lines included."""
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile("".join(parts), re.DOTALL)


def _cost(rule: CostRule, origin: Origin) -> Cost:
    return Cost(
        latency_s=rule.latency,
        download_bytes=rule.download,
        read_bytes=rule.read,
        cpu_s=rule.cpu,
        threads=rule.threads,
        serial=rule.serial,
        write_bytes=rule.write,
        memory_bytes=rule.memory,
        layer_bytes=rule.write if rule.layer is None else rule.layer,
        warm=rule.warm,
        spread=RULE_SPREAD if rule.spread is None else rule.spread,
        fails=rule.fails,
        reproducible=rule.reproducible,
        same_output=rule.same_output,
        overlap=rule.overlap,
        origin=origin,
        rule=rule.step,
    )
