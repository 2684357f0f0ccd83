"""The four rows of the decision matrix, as the seed claims them: a workload, a recommendation, and the reason given.

In: a comparison of candidates. Out: whether the recommendation and its reason hold, in sentences with numbers from the trace.
Each reason is turned into a statement about measured quantities, so that it can be false (design section 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sim.study.compare import Candidate, Comparison

NOTHING = 0.02
"""Differences below 2 % of a quantity, or of all work, are called none: replications vary more than that."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A candidate: size, builds per instance (0: auto-scaling off), one project or one per target."""

    size: str
    builds_per_instance: int
    projects: str

    @property
    def flags(self) -> tuple[str, ...]:
        """As `--set` flags."""
        scaling = (
            f"farm.autoscaling.builds_per_instance={self.builds_per_instance}"
            if self.builds_per_instance
            else "farm.autoscaling=off"
        )
        return (f"farm.size={self.size}", scaling, f"projects={self.projects}")

    @property
    def label(self) -> str:
        """In words."""
        scaling = f"auto-scaling {self.builds_per_instance}" if self.builds_per_instance else "no auto-scaling"
        return f"{self.size}, {scaling}, {'one project' if self.projects == 'one' else 'a project per target'}"


QUICK = (
    Setting("default", 0, "one"),
    Setting("large", 0, "one"),
    Setting("xlarge", 0, "one"),
    Setting("default", 1, "one"),
    Setting("default", 2, "one"),
    Setting("default", 3, "one"),
    Setting("default", 0, "per_target"),
    Setting("default", 2, "per_target"),
)
FULL = tuple(
    Setting(size, limit, projects)
    for projects in ("one", "per_target")
    for size in ("default", "large", "xlarge")
    for limit in (0, 1, 2, 3, 4, 8)
)

Verdict = tuple[bool, list[str]]


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its scenario's folder, what the seed recommends for it and why."""

    number: int
    folder: str
    title: str
    recommended: str
    reason: str
    recommends: Callable[[Setting], bool]
    judge: Callable[[Pairs], Verdict]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidates by setting, for a judge to set side by side."""

    settings: Sequence[Setting]
    comparison: Comparison

    def best(self, wanted: Callable[[Setting], bool]) -> Candidate | None:
        """The best candidate among those wanted."""
        found = [one for setting, one in zip(self.settings, self.comparison.candidates, strict=True) if wanted(setting)]
        return min(found, key=lambda one: one.objective.mean, default=None)


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _lost_to_clones(one: Candidate) -> float:
    """Share of the CPU work that was done again because of clones."""
    return one.measures["clone_repeat_cpu_s"] / one.measures["cpu_s"] if one.measures["cpu_s"] else 0.0


def _cache_use(pairs: Pairs) -> Verdict:
    """Row 1: a larger runner without auto-scaling uses the cache better than clones do."""
    large = pairs.best(_is_larger_without_scaling)
    scaled = pairs.best(lambda one: one.size == "default" and one.builds_per_instance > 0 and one.projects == "one")
    if large is None or scaled is None:
        return False, []
    small = pairs.best(lambda one: one.size == "default" and not one.builds_per_instance and one.projects == "one")
    more = large.measures["hit_share"] - scaled.measures["hit_share"]
    lost = _lost_to_clones(scaled)
    why = [
        f"hits: {_share(large.measures['hit_share'])} of steps on {large.label}, "
        f"{_share(scaled.measures['hit_share'])} on {scaled.label}; clones did {_share(lost)} of its CPU work again."
    ]
    if small is not None and abs(small.measures["hit_share"] - large.measures["hit_share"]) < NOTHING:
        why.append(
            f"the size has no part in it: {small.label} hits {_share(small.measures['hit_share'])} too, and a request takes "
            f"{small.measures['mean_duration']:.1f} s there, {large.measures['mean_duration']:.1f} s on {large.label}."
        )
    return more > NOTHING and lost > NOTHING, why


def _full_resources(pairs: Pairs) -> Verdict:
    """Row 2: with few builds an instance, each build gets the resources that it lacks on a shared runner."""
    scaled = pairs.best(_is_two_or_three)
    shared = pairs.best(lambda one: one.size == "default" and not one.builds_per_instance and one.projects == "one")
    if scaled is None or shared is None:
        return False, []
    before, after = shared.measures["stretch"], scaled.measures["stretch"]
    gain = shared.measures["mean_duration"] / scaled.measures["mean_duration"] - 1
    why = [
        f"contention: steps take {before:.2f} x their time alone on {shared.label}, {after:.2f} x on {scaled.label}.",
        f"a request takes {shared.measures['mean_duration']:.0f} s and {scaled.measures['mean_duration']:.0f} s; "
        f"clones did {_share(_lost_to_clones(scaled))} of the CPU work again, "
        f"boots cost {scaled.measures['boot_s']:.1f} s a build.",
    ]
    return before - after > NOTHING * before and gain > NOTHING, why


def _isolation(pairs: Pairs) -> Verdict:
    """Row 3: a project per target isolates (less contention) at little cost in shared cache (hits)."""
    apart = pairs.best(lambda one: one.projects == "per_target")
    together = pairs.best(lambda one: one.projects == "one" and one.size == "default" and not one.builds_per_instance)
    if apart is None or together is None:
        return False, []
    calmer = together.measures["stretch"] - apart.measures["stretch"]
    lost = together.measures["hit_share"] - apart.measures["hit_share"]
    why = [
        f"isolation: steps take {together.measures['stretch']:.2f} x their time alone on {together.label}, "
        f"{apart.measures['stretch']:.2f} x on {apart.label}.",
        f"cache: hits fall by {100 * lost:.1f} points of all steps; CPU work changes by "
        f"{100 * (apart.measures['cpu_s'] / together.measures['cpu_s'] - 1):+.0f} %.",
    ]
    return calmer > NOTHING * together.measures["stretch"] and lost < 2 * NOTHING, why


def _dedup_and_resources(pairs: Pairs) -> Verdict:
    """Row 4: auto-scaling or a project per target trades deduplication for resources, and the trade pays."""
    split = pairs.best(lambda one: one.builds_per_instance > 0 or one.projects == "per_target")
    together = pairs.best(lambda one: one.size == "default" and not one.builds_per_instance and one.projects == "one")
    if split is None or together is None:
        return False, []
    extra = split.measures["cpu_s"] / together.measures["cpu_s"] - 1
    calmer = together.measures["stretch"] - split.measures["stretch"]
    why = [
        f"dedup saved {together.measures['dedup_saved_cpu_s']:.0f} core-s on {together.label}, "
        f"{split.measures['dedup_saved_cpu_s']:.0f} on {split.label}; CPU work changes by {100 * extra:+.0f} %.",
        f"resources: steps take {together.measures['stretch']:.2f} x their time alone, then {split.measures['stretch']:.2f} x.",
    ]
    return calmer > NOTHING * together.measures["stretch"] and split.objective.mean < together.objective.mean, why


def _is_larger_without_scaling(one: Setting) -> bool:
    return one.size != "default" and not one.builds_per_instance and one.projects == "one"


def _is_two_or_three(one: Setting) -> bool:
    return one.builds_per_instance in (2, 3) and one.projects == "one"


ROWS = (
    Row(
        1,
        "frequent-small",
        "frequent small builds",
        "a larger runner, no auto-scaling",
        "better cache utilisation",
        _is_larger_without_scaling,
        _cache_use,
    ),
    Row(
        2,
        "resource-intensive",
        "resource-intensive builds",
        "auto-scaling with 2-3 builds per instance",
        "each build gets full resources",
        _is_two_or_three,
        _full_resources,
    ),
    Row(
        3,
        "mixed",
        "mixed workload",
        "a project per target",
        "balance between isolation and cache",
        lambda one: one.projects == "per_target",
        _isolation,
    ),
    Row(
        4,
        "monorepo-bake",
        "monorepo with shared dependencies (bake)",
        "auto-scaling and/or a project per target",
        "balance deduplication with resource needs",
        lambda one: one.builds_per_instance > 0 or one.projects == "per_target",
        _dedup_and_resources,
    ),
)
