"""Adapters that run buildcast's own machine, in SimPy's time, on the bench's works.

In: `WorkB` or `WorkC`. Out: the mean response in seconds, as the peers give it. Set-up that a user pays only once
(imports) stands at the top of the module and is not timed; everything inside the two functions is.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from simpy import Environment
from simpy.events import Event, Timeout

from sim.model.machine.fair_share import Machine
from sim.model.machine.shared import Shared
from tests.bench.work import Build, WorkB, WorkC


def run_work_b(work: WorkB) -> float:
    """Mean response (s) of the first `work.completions` jobs on one machine of the model.

    Client i begins its next job, with the next of `work.works_core_s`, in the callback of its last one's end.
    """
    env = Environment()
    caps = work.caps_cores
    began_s = [0.0] * len(caps)
    works = iter(work.works_core_s)
    total_s, left = 0.0, work.completions

    def ended(client: object) -> None:
        nonlocal total_s, left
        total_s += env._now - began_s[client]
        left -= 1
        if left == 0:
            finished.succeed()
        elif left > 0:
            began_s[client] = env._now
            machine.add(next(works), caps[client], client)

    finished = env.event()
    machine = Shared(env, Machine(work.cores), ended)
    for client, cap in enumerate(caps):
        machine.add(next(works), cap, client)
    env.run(finished)
    return total_s / work.completions


class _Running(NamedTuple):
    """A build in progress: inputs that each step still waits for, and steps that have not ended (a list of one)."""

    build: Build
    waits: list[int]
    left: list[int]


def run_work_c(work: WorkC) -> float:
    """Mean response (s) of all builds on machines of the model: dependency counters, no overheads, caches or slots."""
    env = Environment()
    total_s = 0.0

    def ended(owner: object) -> None:
        nonlocal total_s
        running, index = owner
        build, waits, left = running
        left[0] -= 1
        if not left[0]:
            total_s += env._now - build.arrived_s
            return
        steps, add = build.steps, machines[build.machine].add
        for consumer in build.consumers[index]:
            waits[consumer] -= 1
            if not waits[consumer]:
                step = steps[consumer]
                add(step.work_core_s, step.cap_cores, (running, consumer))

    def arrivals() -> Generator[Event, None, None]:
        for build in work.builds:
            yield Timeout(env, build.arrived_s - env._now)
            running = _Running(build, [len(step.after) for step in build.steps], [len(build.steps)])
            for index, step in enumerate(build.steps):
                if not step.after:
                    machines[build.machine].add(step.work_core_s, step.cap_cores, (running, index))

    machines = [Shared(env, Machine(work.cores), ended) for _ in range(work.machines)]
    env.process(arrivals())
    env.run()
    return total_s / len(work.builds)
