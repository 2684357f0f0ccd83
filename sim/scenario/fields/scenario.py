"""A whole scenario: the top level of the file, and where each part of it was written.

In: YAML values and their tree. Out: `Scenario`, frozen, with parsed sections; the loader adds its path and notes.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, Field, PlainValidator, PrivateAttr

from sim.errors import InputError
from sim.scenario.fields.costs import CostRule
from sim.scenario.fields.farm import FarmSection
from sim.scenario.fields.quantities import (
    PlainSchema,
    PlatformName,
    PositiveCount,
    PositiveSeconds,
    PositiveShare,
    Seconds,
    Section,
    Text,
    WeekSecond,
    literals,
    nearest,
)
from sim.scenario.fields.workload import Entry
from sim.scenario.yaml_source import Node, one_line

MONDAY_EIGHT_S = 8 * 3600.0  # design section 3: `start: mon 08:00`
DEFAULT_DELTA = 0.05  # design section 3: `delta: 5%`, `alpha: 5%`
DEFAULT_ALPHA = 0.05

Objective = Literal[
    "cost_per_request",
    "mean_duration",
    "p50_duration",
    "p90_duration",
    "p95_duration",
    "p99_duration",
    "makespan",
    "runner_minutes",
]
ProjectRule = Literal["one", "per_target", "from_bake"]


def inside(path: str) -> str:
    """A path relative to the scenario's folder that stays in it; a folder keeps its closing `/`."""
    pure = PurePosixPath(path)
    if not path.strip() or pure.is_absolute() or "\\" in path or (len(path) > 1 and path[1] == ":"):
        raise ValueError(f"'{path}' must be relative to the scenario's folder, with /, as src/a.txt")
    if ".." in pure.parts or pure == PurePosixPath("."):
        raise ValueError(f"'{path}' must name something inside the scenario's folder; remove '..'")
    return str(pure) + ("/" if path.endswith("/") else "")


def _projects(written: object) -> ProjectRule | dict[str, tuple[str, ...]]:
    """A rule, or the targets of each project."""
    rules = literals(ProjectRule)
    if isinstance(written, str):
        if written not in rules:
            raise ValueError(f"unknown '{written}'; {nearest(written, rules)} or {{project: [targets]}}")
        return cast(ProjectRule, written)
    if not isinstance(written, dict) or not written:
        raise ValueError(f"'{written}' is not a rule; write one, per_target, from_bake or {{project: [targets]}}")
    groups: dict[str, tuple[str, ...]] = {}
    for project, names in written.items():
        listed = [names] if isinstance(names, str) else names
        if not isinstance(listed, list) or not listed or not all(isinstance(name, str) for name in listed):
            raise ValueError(f"project '{project}' needs a list of targets; write {{{project}: [app]}}")
        groups[str(project)] = tuple(listed)
    return groups


Projects = Annotated[
    ProjectRule | dict[str, tuple[str, ...]],
    PlainValidator(_projects),
    PlainSchema(
        {
            "anyOf": [
                {"enum": list(literals(ProjectRule))},
                {"type": "object", "additionalProperties": {"type": ["array", "string"], "items": {"type": "string"}}},
            ]
        }
    ),
]


class Target(Section):
    """An image to build. Paths are relative to the scenario's folder; no `platforms`: the farm's first one."""

    dockerfile: str = "Dockerfile"
    context: str = "."
    target: str | None = None
    args: dict[str, Text] = Field(default_factory=dict)
    platforms: tuple[PlatformName, ...] = ()


class Edit(Section):
    """A file written at `at` seconds from the start; `same` touches its time only."""

    at: Seconds
    path: Annotated[str, AfterValidator(inside)]
    content: Literal["new", "same"] = "new"


class Slo(Section):
    """The most seconds that a request's duration may have, by statistic."""

    mean: PositiveSeconds | None = None
    p50: PositiveSeconds | None = None
    p90: PositiveSeconds | None = None
    p95: PositiveSeconds | None = None
    p99: PositiveSeconds | None = None

    @property
    def limits(self) -> dict[str, float]:
        """Statistic to seconds, of those that are given."""
        return {name: value for name in Slo.model_fields if (value := getattr(self, name)) is not None}


class Scenario(Section):
    """What a person wrote (design section 3). Seconds from the run's start, but `start`: seconds from Monday 00:00.

    `objective` is None only while loading: the loader fills in cost_per_request where the farm has a price, else
    mean_duration.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: Text = ""
    description: Text = ""
    bake: str | None = None
    targets: dict[str, Target] | None = None
    projects: Projects | None = None
    farm: FarmSection
    workload: tuple[Entry, ...] = Field(min_length=1)
    edits: tuple[Edit, ...] = ()
    costs: tuple[CostRule, ...] = ()
    profile: str | None = None
    start: WeekSecond = MONDAY_EIGHT_S
    horizon: PositiveSeconds | None = None
    requests: PositiveCount | None = None
    warmup: Seconds = 0.0
    objective: Objective | None = None
    slo: Slo | None = None
    delta: PositiveShare = DEFAULT_DELTA
    alpha: PositiveShare = DEFAULT_ALPHA

    _path: Path = PrivateAttr(default=Path("scenario.yaml"))
    _tree: Node = PrivateAttr(default=Node(None, "scenario.yaml"))
    _sha256: str = PrivateAttr(default="")
    _notes: tuple[str, ...] = PrivateAttr(default=())

    @property
    def path(self) -> Path:
        """The file it was read from."""
        return self._path

    @property
    def folder(self) -> Path:
        """What its relative paths start from."""
        return self._path.parent

    @property
    def text_sha256(self) -> str:
        """The digest of the file's bytes; `--set` flags are not in it."""
        return self._sha256

    @property
    def notes(self) -> tuple[str, ...]:
        """What was filled in for the writer and may surprise: scaled prices, a preset's gaps, the objective."""
        return self._notes

    def where(self, *path: str | int) -> str:
        """`scenario.yaml:14:5` of a field, or of the nearest part above it that was written."""
        node = self._tree
        for part in path:
            below = node.get(part)
            if below is None:
                break
            node = below
        return node.where

    def problem(self, path: tuple[str | int, ...], what: str, hint: str = "") -> InputError:
        """An error about a field, for checks that need more than the file, such as target names of a bake file."""
        text = one_line(f"{'.'.join(map(str, path))}: {what}")
        return InputError(text, where=self.where(*path), hint=one_line(hint))
