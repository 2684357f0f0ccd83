"""The two works that every implementation of the bench runs (simulators.md 1b and 1c).

In: a size and a seed. Out: plain lists: `WorkB` (one machine, N clients in a closed loop) or `WorkC` (builds of 20
steps on 16 machines). All draws are made here; so implementations draw nothing and must give the same mean response.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

CAPS_CORES = (1, 2, 4)
"""How many cores a step can use, drawn evenly (simulators.md 1b)."""

MEAN_WORK_CORE_S = 1.0
"""Work is exponential with this mean: 3,000 completions at N=64 then take 379 s on 8 cores (simulators.md 1b)."""

REACH, MAX_INPUTS = 5, 2
"""A step waits for 1 or 2 of the 5 steps before it. With round robin, the naive model then costs 363 kernel events a
build and a response lasts 7.8 s; the anchor has 371 and 8.5 s (simulators.md 1c-final), so the ratios compare."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a build: its work, the cores it can use at most, and the earlier steps that it waits for."""

    work_core_s: float
    cap_cores: int
    after: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Build:
    """A build: all its steps run on one machine. `consumers` is `after` turned round: who waits for each step."""

    arrived_s: float
    machine: int
    steps: tuple[Step, ...]
    consumers: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class WorkC:
    """Work (c): builds, by arrival, on equal machines that share nothing."""

    machines: int
    cores: int
    builds: list[Build]


@dataclass(frozen=True, slots=True)
class WorkB:
    """Work (b): one machine. Client i always asks for `caps_cores[i]` and begins its next job as soon as one is done.

    Jobs take their work from `works_core_s` in the order in which they begin; the run ends after `completions` jobs.
    """

    cores: int
    caps_cores: list[int]
    works_core_s: list[float]
    completions: int


def work_b(clients: int, completions: int, seed: int = 1, cores: int = 8) -> WorkB:
    """One processor-sharing machine, `clients` jobs at any time."""
    random = Random(f"work b {seed}")
    caps_cores = [CAPS_CORES[client % len(CAPS_CORES)] for client in range(clients)]
    works_core_s = [random.expovariate(1 / MEAN_WORK_CORE_S) for _ in range(clients + completions)]
    return WorkB(cores, caps_cores, works_core_s, completions)


def work_c(
    builds: int,
    seed: int = 1,
    *,
    steps: int = 20,
    machines: int = 16,
    cores: int = 8,
    utilisation: float = 0.7,
    placement: Literal["round_robin", "random"] = "round_robin",
) -> WorkC:
    """Poisson arrivals that keep `utilisation` of all cores busy; `placement` chooses each build's machine."""
    random = Random(f"work c {seed}")
    rate_per_s = utilisation * machines * cores / (steps * MEAN_WORK_CORE_S)
    drawn = []
    now_s = 0.0
    for number in range(builds):
        now_s += random.expovariate(rate_per_s)
        machine = number % machines if placement == "round_robin" else random.randrange(machines)
        drawn.append(build(now_s, machine, _random_steps(random, steps)))
    return WorkC(machines, cores, drawn)


def build(arrived_s: float, machine: int, steps: list[Step]) -> Build:
    """A build with its `consumers` filled in. Steps must stand after those they wait for."""
    consumers: list[list[int]] = [[] for _ in steps]
    for index, step in enumerate(steps):
        for given in step.after:
            consumers[given].append(index)
    return Build(arrived_s, machine, tuple(steps), tuple(tuple(found) for found in consumers))


def _random_steps(random: Random, count: int) -> list[Step]:
    steps = []
    for index in range(count):
        near = range(max(0, index - REACH), index)
        inputs = random.sample(near, min(len(near), random.randint(1, MAX_INPUTS)))
        work_core_s = random.expovariate(1 / MEAN_WORK_CORE_S)
        steps.append(Step(work_core_s, random.choice(CAPS_CORES), tuple(sorted(inputs))))
    return steps
