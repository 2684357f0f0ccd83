"""The `farm` section: what a person says of the farm; None is what they left to the preset or to the defaults.

In: YAML values. Out: `FarmSection`. `sim.scenario.resolve` makes the plain `Farm` of it that the model reads.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from sim.scenario.farm import BootLaw, OnFull, Routing, WriteBack
from sim.scenario.fields.quantities import (
    Bandwidth,
    BytesOrUnlimited,
    Cores,
    Count,
    DollarsPerGBMonth,
    DollarsPerHour,
    DollarsPerMinute,
    OrElse,
    PlainSchema,
    PlatformName,
    PositiveBytes,
    PositiveCount,
    Seconds,
    SecondsOrNever,
    Section,
    Switch,
    off_is_none,
)

_OFF = OrElse({"enum": ["off", False]})


def _slowdown(written: object) -> float:
    """`native` is 1; `{emulated: 8}` is 8."""
    if written == "native":
        return 1.0
    if isinstance(written, dict) and list(written) == ["emulated"]:
        factor = written["emulated"]
        if isinstance(factor, int | float) and not isinstance(factor, bool) and 1 < factor < 1e6:
            return float(factor)
        raise ValueError(f"emulated: '{factor}' is not a slow-down; write a number above 1, as {{emulated: 8}}")
    raise ValueError(f"'{written}' is neither native nor emulated; write native or {{emulated: 8}}")


Slowdown = Annotated[
    float,
    BeforeValidator(_slowdown),
    PlainSchema(
        {
            "anyOf": [
                {"const": "native"},
                {
                    "type": "object",
                    "properties": {"emulated": {"type": "number", "exclusiveMinimum": 1}},
                    "required": ["emulated"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class RunnerSection(Section):
    """One machine: cores, bytes, bytes a second."""

    cpus: Cores | None = None
    memory: PositiveBytes | None = None
    disk_read: Bandwidth | None = None
    disk_write: Bandwidth | None = None
    network: Bandwidth | None = None


class AutoscalingSection(Section):
    """When a pool grows: at `builds_per_instance` leases on each of its runners, up to `max_instances` runners."""

    builds_per_instance: PositiveCount = 1
    max_instances: PositiveCount = 20
    on_full: OnFull = "queue"


class StandbySection(Section):
    """Machines that wait, booted, for any project: how many of each architecture, and the seconds until one serves."""

    count: Count | None = None
    boot: Seconds | None = None


class CacheSection(Section):
    """A project's cache on one architecture: bytes, seconds; `warm` starts with one build of everything in it, `images` with
    the base images.
    """

    max: BytesOrUnlimited | None = None
    keep: SecondsOrNever | None = None
    policy: Literal["buildkit", "lru"] | None = None
    start: Literal["cold", "images", "warm"] | None = None


class PriceSection(Section):
    """Dollars: a runner's minute and who pays it, a GB of cache for a month, an hour of a person's waiting."""

    minute: DollarsPerMinute | None = None
    per: Literal["lease", "runner"] | None = None
    cache_gb_month: DollarsPerGBMonth | None = None
    wait_hour: DollarsPerHour | None = None


class OverrideSection(Section):
    """Another machine for a project, a platform, or both."""

    project: str | None = None
    platform: PlatformName | None = None
    size: str | None = None
    runner: RunnerSection | None = None

    @model_validator(mode="after")
    def _says_something(self) -> OverrideSection:
        if self.project is None and self.platform is None:
            raise ValueError("an override needs a project or a platform; name what it is for")
        if self.size is None and self.runner is None:
            raise ValueError("an override needs a size or a runner; say what is different")
        return self


class FarmSection(Section):
    """The farm as written. Durations are seconds; `platforms` holds slow-downs (native: 1).

    `boots_at_once`: further boots queue (0: no limit). `boot_law: exponential` takes `boot` as a mean: for studies.
    `host`: one machine under all runners. `keep_alive_limit`: a multiple of a runner's memory.
    """

    preset: str | None = None
    size: str | None = None
    runner: RunnerSection | None = None
    platforms: dict[PlatformName, Slowdown] | None = None
    max_parallelism: Count | None = None
    autoscaling: Annotated[AutoscalingSection | None, BeforeValidator(off_is_none), _OFF] = None
    boot: Seconds | None = None
    boot_law: BootLaw | None = None
    boots_at_once: Count | None = None
    clone: Seconds | None = None
    standby: Annotated[StandbySection | None, BeforeValidator(off_is_none), _OFF] = None
    idle_timeout: SecondsOrNever | None = None
    acquire_timeout: SecondsOrNever | None = None
    cache: CacheSection | None = None
    write_back: WriteBack | None = None
    routing: Routing | None = None
    dedup: Switch | None = None
    bake_link_barrier: Switch | None = None
    price: PriceSection | None = None
    overrides: tuple[OverrideSection, ...] | None = None
    host: RunnerSection | None = None
    keep_alive_limit: Annotated[float, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _host_has_cores(self) -> FarmSection:
        if self.host is not None and self.host.cpus is None:
            raise ValueError("host.cpus is missing; write host: {cpus: 2}")
        return self

    @model_validator(mode="after")
    def _first_platform_is_native(self) -> FarmSection:
        if self.platforms is not None:
            first = next(iter(self.platforms.items()), None)
            if first is None:
                raise ValueError("platforms is empty; write {linux/amd64: native} or leave it out")
            if first[1] != 1:
                raise ValueError(f"the first platform, {first[0]}, must be native: emulated ones run on its runner")
        return self
