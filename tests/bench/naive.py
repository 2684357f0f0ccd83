"""The peer that SimPy users write first: a process per step, AllOf over its inputs, an interrupt for every new share.

In: `WorkB` or `WorkC`. Out: the mean response in seconds. This is the baseline of `make bench` (`simpy_interrupt` in
simulators.md 1b and 1c) and, as it recomputes each share from the definition, also the oracle of the other two.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import simpy

from tests.bench.work import Build, Step, WorkB, WorkC

Life: TypeAlias = Generator[simpy.Event, object, None]


def run_work_b(work: WorkB) -> float:
    """Mean response (s) of the first `work.completions` jobs."""
    env = simpy.Environment()
    machine = Machine(env, work.cores)
    works_core_s = iter(work.works_core_s)
    responses_s: list[float] = []
    is_over = env.event()
    for cap_cores in work.caps_cores:
        env.process(_client(env, machine, cap_cores, works_core_s, responses_s, work.completions, is_over))
    env.run(until=is_over)
    return sum(responses_s[: work.completions]) / work.completions


def run_work_c(work: WorkC) -> float:
    """Mean response (s) of all builds, from arrival to the end of the last step."""
    env = simpy.Environment()
    machines = [Machine(env, work.cores) for _ in range(work.machines)]
    responses_s: list[float] = []
    env.process(_arrivals(env, machines, work.builds, responses_s))
    env.run()
    return sum(responses_s) / len(responses_s)


def fair_rates(caps_cores: Sequence[float], cores: float) -> list[float]:
    """Max-min fair rates: smallest cap first, each job takes its cap or an even part of what is left."""
    rates = [0.0] * len(caps_cores)
    left_cores = float(cores)
    for taken, index in enumerate(sorted(range(len(caps_cores)), key=caps_cores.__getitem__)):
        rates[index] = min(caps_cores[index], left_cores / (len(caps_cores) - taken))
        left_cores -= rates[index]
    return rates


class Machine:
    """Cores shared by jobs; each job is a process that sleeps until it is done or its rate changes."""

    def __init__(self, env: simpy.Environment, cores: int) -> None:
        self.env = env
        self.cores = cores
        self.jobs: list[_Job] = []

    def run(self, work_core_s: float, cap_cores: int) -> Life:
        """Hold the calling process until its work is done."""
        env = self.env
        assert env.active_process is not None
        job = _Job(env.active_process, cap_cores)
        self.jobs.append(job)
        self._share_again()
        left_core_s = work_core_s
        while True:
            began_s, rate = env.now, job.rate
            try:
                yield env.timeout(left_core_s / rate)
                break
            except simpy.Interrupt:
                left_core_s = max(0.0, left_core_s - rate * (env.now - began_s))
        self.jobs.remove(job)
        self._share_again()

    def _share_again(self) -> None:
        for job, rate in zip(self.jobs, fair_rates([job.cap_cores for job in self.jobs], self.cores), strict=True):
            job.rate = rate
            if job.process is not self.env.active_process:
                job.process.interrupt()


@dataclass(slots=True)
class _Job:
    process: simpy.Process
    cap_cores: int
    rate: float = 0.0


def _client(
    env: simpy.Environment,
    machine: Machine,
    cap_cores: int,
    works_core_s: Iterator[float],
    responses_s: list[float],
    completions: int,
    is_over: simpy.Event,
) -> Life:
    for work_core_s in works_core_s:
        began_s = env.now
        yield from machine.run(work_core_s, cap_cores)
        responses_s.append(env.now - began_s)
        if len(responses_s) == completions:
            is_over.succeed()


def _arrivals(env: simpy.Environment, machines: list[Machine], builds: list[Build], responses_s: list[float]) -> Life:
    for build in builds:
        yield env.timeout(build.arrived_s - env.now)
        env.process(_build(env, machines[build.machine], build, responses_s))


def _build(env: simpy.Environment, machine: Machine, build: Build, responses_s: list[float]) -> Life:
    done: list[simpy.Process] = []
    for step in build.steps:
        done.append(env.process(_step(env, machine, step, [done[given] for given in step.after])))
    yield env.all_of(done)
    responses_s.append(env.now - build.arrived_s)


def _step(env: simpy.Environment, machine: Machine, step: Step, inputs: list[simpy.Process]) -> Life:
    if inputs:
        yield env.all_of(inputs)
    yield from machine.run(step.work_core_s, step.cap_cores)
