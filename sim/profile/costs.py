"""A profile: what every step of a graph costs, and the daemon around it.

In: a scenario's cost rules, perhaps a profile file, the priors. Out: one `Cost` a step, the daemon's constants, draws.
Order of belief: the scenario's rules, the file's, then constants (COPY, context, merge) or priors (RUN, sources).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import sqrt
from pathlib import Path

from sim.graph.types import Graph, Input, Step
from sim.profile import draws
from sim.profile.constants import CONSTANTS, DAEMON, IDEAL
from sim.profile.cost import Cost, Daemon
from sim.profile.file import ProfileFile, read_profile
from sim.profile.priors import priors
from sim.profile.rules import Rule, first_match, rules_of
from sim.profile.variation import CONSTANT, Variation
from sim.scenario.fields.costs import CostRule
from sim.workload.selection import selected, selected_files


class Profile:
    """Costs by step. Immutable, and the same in every process; `costs` is kept per graph object.

    A RUN's `Cost` is its command's alone: the model adds `daemon.run_cpu_s`. `write_bytes` of a COPY, a pull or a
    context are bytes: the model charges `daemon.write_byte_cpu_s` or `daemon.context_byte_cpu_s` for each.
    """

    __slots__ = ("_kept", "_rules", "_with_priors", "daemon", "variation")

    def __init__(
        self, daemon: Daemon, rules: tuple[Rule, ...], with_priors: bool, variation: Variation = CONSTANT
    ) -> None:
        self.daemon = daemon
        self.variation = variation
        self._rules = rules
        self._with_priors = with_priors
        self._kept: dict[int, tuple[Graph, tuple[Cost, ...]]] = {}

    @classmethod
    def of(cls, scenario_costs: Iterable[CostRule] = (), profile_file: Path | ProfileFile | None = None) -> Profile:
        """The profile of a scenario; `InputError` when the profile file is not one."""
        rules, daemon, variation = rules_of(scenario_costs, "rule"), DAEMON, CONSTANT
        if profile_file is not None:
            calibrated = read_profile(profile_file) if isinstance(profile_file, Path) else profile_file
            rules += rules_of(calibrated.costs, "profile")
            daemon, variation = calibrated.applied_to(daemon), calibrated.variation()
        return cls(daemon, rules, with_priors=True, variation=variation)

    @classmethod
    def ideal(cls, scenario_costs: Iterable[CostRule] = ()) -> Profile:
        """Only what the rules say costs anything: no daemon, no priors, for closed forms and bounds."""
        return cls(IDEAL, rules_of(scenario_costs, "rule"), with_priors=False)

    def varying(self, variation: Variation) -> Profile:
        """The same, as uncertain as said: for `drawn`."""
        return Profile(self.daemon, self._rules, self._with_priors, variation)

    def with_daemon(self, daemon: Daemon) -> Profile:
        """The same with other constants."""
        return Profile(daemon, self._rules, self._with_priors, self.variation)

    @property
    def has_spread(self) -> bool:
        """Whether what nobody stated varies; an ideal profile's does not."""
        return self._with_priors

    def drawn(self, seed: int) -> Profile:
        """The profile of one replication: another speed of the cores, constants as uncertain as they are; itself if none vary.

        A calibrated step's spread holds the cores' already, so that it is split: what all steps of a run share, and its own.
        Rules of a scenario are exact where they say so.
        """
        varies = self.variation
        if varies.is_none:
            return self
        slow = varies.slowness(seed)
        rules = tuple(_drawn(rule, slow, varies.core) for rule in self._rules)
        return Profile(varies.daemon(self.daemon, seed), rules, self._with_priors, varies)

    def costs(self, graph: Graph) -> tuple[Cost, ...]:
        """One cost a step, in the order of `graph.steps`."""
        kept = self._kept.get(id(graph))
        if kept is None or kept[0] is not graph:
            consumers = graph.consumers()
            found = tuple(self._cost(graph, index, consumers[index]) for index in range(len(graph.steps)))
            kept = self._kept[id(graph)] = (graph, found)
        return kept[1]

    factor = staticmethod(draws.factor)
    uniform = staticmethod(draws.uniform)

    def __reduce__(self) -> tuple[type[Profile], tuple[Daemon, tuple[Rule, ...], bool, Variation]]:
        return Profile, (self.daemon, self._rules, self._with_priors, self.variation)

    def _cost(self, graph: Graph, index: int, consumers: list[int]) -> Cost:
        step = graph.steps[index]
        rule = first_match(self._rules, step)
        if step.kind in ("exec", "source"):
            if rule is not None:
                return rule.cost
            return _prior(step) if self._with_priors else Cost()
        constant = self._constant(graph, index, consumers)
        return constant if rule is None else _added(constant, rule.cost)

    def _constant(self, graph: Graph, index: int, consumers: list[int]) -> Cost:
        step = graph.steps[index]
        if step.kind == "context":
            return self._context(graph, index, consumers)
        if step.kind == "merge":
            return Cost(cpu_s=self.daemon.merge_cpu_s, spread=self._spread("merge_cpu_s"))
        files, taken_bytes = 0, 0
        for given in step.inputs:
            counted = _selected(graph, given)
            files, taken_bytes = files + counted[0], taken_bytes + counted[1]
        return Cost(
            cpu_s=self.daemon.copy_cpu_s + files * self.daemon.copy_file_cpu_s,
            threads=self.daemon.copy_cores,
            write_bytes=taken_bytes,
            layer_bytes=taken_bytes,
            spread=self._spread("copy_cpu_s"),
        )

    def _context(self, graph: Graph, index: int, consumers: list[int]) -> Cost:
        """A build's context holds what its COPYs take, each file once (buildkit-semantics 5, FollowPaths)."""
        context = graph.contexts.get(graph.steps[index].source)
        if context is None:
            return Cost(cpu_s=self.daemon.context_cpu_s, spread=self._spread("context_cpu_s"))
        taken = {
            name
            for consumer in consumers
            for given in graph.steps[consumer].inputs
            if given.step == index
            for name in selected_files(context, given.paths)
        }
        return Cost(
            cpu_s=self.daemon.context_cpu_s + len(taken) * self.daemon.context_file_cpu_s,
            write_bytes=sum(context.files[name] for name in taken),
            spread=self._spread("context_cpu_s"),
        )

    def _spread(self, constant: str) -> float:
        if not self._with_priors:
            return 0.0
        return self.variation.spread(constant) or CONSTANTS[constant].spread


def _drawn(rule: Rule, slow: float, core: float) -> Rule:
    cost = rule.cost
    if cost.origin != "profile" or not cost.spread:
        return rule
    own = sqrt(max(0.0, cost.spread**2 - core**2))
    return Rule(rule.pattern, rule.platform, replace(cost, cpu_s=cost.cpu_s * slow, spread=own))


def _prior(step: Step) -> Cost:
    return priors().command(step) if step.kind == "exec" else priors().source(step)


def _selected(graph: Graph, given: Input) -> tuple[int, int]:
    """Files and bytes that a COPY takes from a context; 0, 0 for what it takes from another stage.

    No one knows that before a build: a binary or a node_modules. A rule on the COPY may say it (`write`).
    """
    source = graph.steps[given.step]
    context = graph.contexts.get(source.source) if source.kind == "context" else None
    return (0, 0) if context is None else selected(context, given.paths)


def _added(constant: Cost, said: Cost) -> Cost:
    """A rule on a COPY, a context or a merge comes on top of what the daemon needs for it anyway."""
    return replace(
        said,
        cpu_s=constant.cpu_s + said.cpu_s,
        threads=max(constant.threads, said.threads),
        write_bytes=constant.write_bytes + said.write_bytes,
        layer_bytes=constant.layer_bytes + said.layer_bytes,
    )
