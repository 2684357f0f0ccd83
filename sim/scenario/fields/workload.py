"""The `workload` section: what is built, when it arrives, what changes between commits.

In: YAML values. Out: `Entry`s whose `jobs` are always filled, also where the short form `build: [app]` was written.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sim.scenario.fields.quantities import (
    Bandwidth,
    Names,
    PositiveCount,
    PositiveShare,
    RatePerSecond,
    Seconds,
    Section,
    Share,
    Switch,
    Text,
)

MAX_CV = 100.0  # farm-facts D1: the median repository has 2.7, the tenth-busiest 4.6; beyond 100 it is a typing error
_SLACK = 1e-9  # shares such as 1/3 three times may miss 100 % by rounding


def _variation(written: object) -> float:
    if isinstance(written, bool) or not isinstance(written, int | float) or not 0 < written <= MAX_CV:
        raise ValueError(f"'{written}' is not a coefficient of variation; write a number above 0, as 2.7")
    return float(written)


class JobFields(Section):
    """What a job may say beside its targets. Seconds."""

    after: Seconds = 0.0
    needs: Names = ()
    args: dict[str, Text] = Field(default_factory=dict)
    no_cache: Switch = False
    cancel_after: Seconds | None = None


class Job(JobFields):
    """One command of a push: the targets or groups that it builds; `after` counts from the push or from `needs`."""

    build: Names = Field(min_length=1)


class Arrivals(Section):
    """When pushes arrive. Exactly one of `rate` (per second), `times` (seconds), `csv` (a file), `clients` (a number).

    `rate` is the mean over the pattern's week; `cv` the variation of gaps after time-rescaling; `think` the seconds
    between a client's build and its next.
    """

    rate: RatePerSecond | None = None
    pattern: Literal["flat", "office_hours", "weekly"] = "flat"
    cv: Annotated[float, BeforeValidator(_variation)] = 1.0
    times: tuple[Seconds, ...] | None = Field(default=None, min_length=1)
    csv: str | None = None
    clients: PositiveCount | None = None
    think: Seconds = 0.0

    @model_validator(mode="after")
    def _one_kind(self) -> Arrivals:
        given = [name for name in ("rate", "times", "csv", "clients") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of rate, times, csv, clients (got {found}); write {{rate: 12/h}}")
        wrong: list[tuple[str, str]] = [
            (name, "rate") for name in ("pattern", "cv") if name in self.model_fields_set and given != ["rate"]
        ]
        if "think" in self.model_fields_set and given != ["clients"]:
            wrong.append(("think", "clients"))
        for name, other in wrong:
            raise ValueError(f"{name} goes with {other}, not with {given[0]}; remove it")
        return self


class ChangeRow(Section):
    """A kind of commit: the paths that it changes together (a folder ends in `/`), and its share of all commits."""

    paths: Names
    share: Share


class Changes(Section):
    """What commits change: rows, or the `last` commits of a git history. What rows leave of 100 % changes nothing."""

    rows: tuple[ChangeRow, ...] = ()
    git: str | None = None
    last: PositiveCount = 200

    @model_validator(mode="before")
    @classmethod
    def _list_is_rows(cls, written: object) -> object:
        return {"rows": written} if isinstance(written, list | tuple) else written

    @model_validator(mode="after")
    def _adds_up(self) -> Changes:
        total = sum(row.share for row in self.rows)
        if total > 1 + _SLACK:
            raise ValueError(f"the shares add up to {total * 100:g} %; they must not exceed 100 %")
        if self.rows and self.git is not None:
            raise ValueError("give rows or git, not both; remove one")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        mapping = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [mapping["properties"]["rows"], mapping]}


class Fails(Section):
    """Pushes that fail: `rate` in the long run, `after_failure` right after a failed one (None: no memory)."""

    rate: Share = 0.0
    after_failure: Share | None = None


class Reruns(Section):
    """A share of pushes that build the branch's last commit again, `after` seconds later."""

    share: PositiveShare
    after: Seconds = 0.0


class Output(Section):
    """What a build exports. `cache_to` is an export of the cache beside the runner's own; `cache_from` imports it before."""

    type: Literal["image", "registry", "docker", "oci", "tar", "local", "cacheonly"] = "image"
    push: Switch = False
    compression: Literal["gzip", "zstd", "estargz", "uncompressed"] = "gzip"
    cache_to: Literal["none", "inline", "registry", "local", "gha", "s3", "azblob"] = "none"
    cache_mode: Literal["min", "max"] = "min"
    cache_from: Literal["none", "registry"] = "none"

    @model_validator(mode="after")
    def _goes_together(self) -> Output:
        if self.push and self.type not in ("image", "registry"):
            raise ValueError(f"push goes with type: image, not with type: {self.type}; remove it")
        if self.cache_to == "inline" and self.type not in ("image", "registry", "docker", "oci"):
            raise ValueError(
                f"cache_to: inline is written into an image, and type: {self.type} makes none; use registry"
            )
        if self.cache_mode == "max" and self.cache_to in ("none", "inline"):
            raise ValueError(f"cache_mode: max does not go with cache_to: {self.cache_to}; write cache_to: registry")
        return self


class Entry(JobFields):
    """A source of pushes. `jobs` is the list to read: the fields of a job at this level are short for one job.

    `uplink` is each client's own, in bytes per second (None: unlimited); what a runner shares is its `network`.
    """

    on: Literal["push"] = "push"
    build: Names = ()
    written_jobs: tuple[Job, ...] = Field(default=(), alias="jobs")
    arrivals: Arrivals
    changes: Changes = Changes()
    branches: PositiveCount = 1
    cancel_superseded: Switch = False
    fails: Fails = Fails()
    reruns: Reruns | None = None
    checkout: Literal["fresh", "kept"] = "fresh"
    uplink: Bandwidth | None = None
    output: Output | None = None

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs of a push, in order."""
        if self.written_jobs:
            return self.written_jobs
        given = {name: getattr(self, name) for name in JobFields.model_fields}
        return (Job.model_construct(build=self.build, **given),)

    @model_validator(mode="after")
    def _jobs_or_build(self) -> Entry:
        if bool(self.build) == bool(self.written_jobs):
            raise ValueError("give exactly one of jobs and build; write build: [app] or jobs: [{build: [app]}]")
        at_entry = [name for name in JobFields.model_fields if name in self.model_fields_set]
        if self.written_jobs and at_entry:
            raise ValueError(f"{at_entry[0]} belongs to a job where jobs are given; move it into one")
        return self
