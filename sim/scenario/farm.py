"""The farm after presets, sizes and overrides: plain numbers in seconds, bytes, cores and dollars.

In: the validated `farm` section of a scenario. Out: `Farm`, all that the pool and the model know of a configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

OnFull = Literal["queue", "share"]
WriteBack = Literal["discard", "last_write_wins", "fork_commit", "registry"]
Routing = Literal["fill_first", "least_loaded", "sticky", "random"]
BootLaw = Literal["fixed", "exponential"]
CacheStart = Literal["cold", "images", "warm"]


@dataclass(frozen=True, slots=True)
class Runner:
    """One machine of the farm. An unlimited resource is `inf`; `price_per_minute` is dollars."""

    cpus: float
    memory_bytes: float = inf
    disk_read_bytes_per_s: float = inf
    disk_write_bytes_per_s: float = inf
    network_bytes_per_s: float = inf
    price_per_minute: float = 0.0
    size: str = ""


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """At `builds_per_instance` leases on every runner of a pool one more is cloned, up to `max_instances`."""

    builds_per_instance: int = 1
    max_instances: int = 20
    on_full: OnFull = "queue"


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Size and age limits of a project's cache on one architecture; `start`: what it holds at first: nothing, the base images
    of all builds (a machine image that has pulled them), or one build of everything.
    """

    max_bytes: float = inf
    keep_s: float = inf
    policy: Literal["buildkit", "lru"] = "buildkit"
    start: CacheStart = "cold"


@dataclass(frozen=True, slots=True)
class Price:
    """`per`: who pays a runner's minute, each lease on it or the runner once. `wait_hour`: dollars a person's hour."""

    per: Literal["lease", "runner"] = "lease"
    cache_gb_month: float = 0.0
    wait_hour: float = 0.0


@dataclass(frozen=True, slots=True)
class Override:
    """Another runner for a project, a platform, or both (None matches any)."""

    project: str | None
    platform: str | None
    runner: Runner


@dataclass(frozen=True, slots=True)
class Farm:
    """A configuration. `platforms` maps each platform to its slow-down (1: native; k: emulated on the first's runner).

    `projects` maps each target to its project. `boots_at_once` is the whole farm's (0: no limit), `standby_count` that of each
    architecture and machine, shared by the projects. `boot_s` is the mean of `boot_law`. `host`: one machine under all runners.
    When the steps of a runner want more than `keep_alive_limit` times its memory, its daemon stops answering.
    """

    runner: Runner
    projects: Mapping[str, str]
    platforms: Mapping[str, float] = field(default_factory=lambda: {"linux/amd64": 1.0})
    overrides: tuple[Override, ...] = ()
    max_parallelism: int = 0
    autoscaling: Autoscaling | None = None
    boot_s: float = 0.0
    boot_law: BootLaw = "fixed"
    boots_at_once: int = 0
    clone_s: float = 0.0
    standby_count: int = 0
    standby_boot_s: float = 0.0
    idle_timeout_s: float = inf
    acquire_timeout_s: float = inf
    cache: CacheLimits = field(default_factory=CacheLimits)
    write_back: WriteBack = "discard"
    routing: Routing = "fill_first"
    dedup: bool = True
    bake_link_barrier: bool = True
    price: Price = field(default_factory=Price)
    host: Runner | None = None
    keep_alive_limit: float = inf

    def runner_for(self, project: str, platform: str) -> Runner:
        """The runner of a pool: the last override that matches, else the farm's."""
        for override in reversed(self.overrides):
            if override.project in (None, project) and override.platform in (None, platform):
                return override.runner
        return self.runner
