"""The peer without SimPy: one heap of events and a virtual clock per cap class; how fast plain Python can be.

In: `WorkB` or `WorkC`. Out: the mean response in seconds. All jobs of a class run at one rate, so a job is done when
the class's clock reaches (clock at its start + its work); rates by water-filling over the classes (simulators.md 1b).
"""

from __future__ import annotations

from heapq import heappop, heappush

from tests.bench.work import CAPS_CORES, Build, WorkB, WorkC

NEVER_S = float("inf")
CLASS_OF = {cap_cores: index for index, cap_cores in enumerate(CAPS_CORES)}


def run_work_b(work: WorkB) -> float:
    """Mean response (s) of the first `work.completions` jobs."""
    machine = Machine(work.cores)
    classes = [CLASS_OF[cap_cores] for cap_cores in work.caps_cores]
    began_s = [0.0] * len(classes)
    for client, kind in enumerate(classes):
        machine.add(kind, work.works_core_s[client], client)
    machine.share(0.0)
    total_s = 0.0
    # One machine has one next event: its own deadline. No heap of events is needed.
    for work_core_s in work.works_core_s[len(classes) :]:
        now_s = machine.deadline_s
        machine.advance(now_s)
        client = machine.finish()
        total_s += now_s - began_s[client]
        began_s[client] = now_s
        machine.add(classes[client], work_core_s, client)
        machine.share(now_s)
    return total_s / work.completions


def run_work_c(work: WorkC) -> float:
    """Mean response (s) of all builds, from arrival to the end of the last step."""
    builds = work.builds
    machines = [Machine(work.cores) for _ in range(work.machines)]
    width = max(len(build.steps) for build in builds)  # a job is named by build * width + step
    missing: list[list[int]] = [[] for _ in builds]
    steps_left = [len(build.steps) for build in builds]
    # Entries are (time, machine), or (time, -1) for the next arrival: only one arrival waits at a time.
    events = [(builds[0].arrived_s, -1)]
    arrived, total_s = 0, 0.0
    while events:
        now_s, place = heappop(events)
        if place < 0:
            number = arrived
            build = builds[number]
            arrived += 1
            if arrived < len(builds):
                heappush(events, (builds[arrived].arrived_s, -1))
            place = build.machine
            machine = machines[place]
            machine.advance(now_s)
            missing[number] = [len(step.after) for step in build.steps]
            _add_roots(machine, build, number * width)
        else:
            machine = machines[place]
            if now_s != machine.armed_s:
                continue  # a later entry replaced by an earlier one
            machine.armed_s = NEVER_S
            if now_s < machine.deadline_s:
                machine.armed_s = machine.deadline_s
                heappush(events, (machine.deadline_s, place))
                continue  # the deadline had moved later: armed again
            machine.advance(now_s)
            number, index = divmod(machine.finish(), width)
            build = builds[number]
            steps_left[number] -= 1
            if not steps_left[number]:
                total_s += now_s - build.arrived_s
                missing[number] = []
            waiting = missing[number]
            for consumer in build.consumers[index]:
                waiting[consumer] -= 1
                if not waiting[consumer]:
                    step = build.steps[consumer]
                    machine.add(CLASS_OF[step.cap_cores], step.work_core_s, number * width + consumer)
        machine.share(now_s)
        if machine.deadline_s < machine.armed_s:
            machine.armed_s = machine.deadline_s
            heappush(events, (machine.deadline_s, place))
    return total_s / len(builds)


def _add_roots(machine: Machine, build: Build, first_job: int) -> None:
    for index, step in enumerate(build.steps):
        if not step.after:
            machine.add(CLASS_OF[step.cap_cores], step.work_core_s, first_job + index)


class Machine:
    """Cores shared by jobs. A change is: `advance`, then any `finish` and `add`, then `share`."""

    __slots__ = ("armed_s", "changed_s", "clocks", "cores", "deadline_s", "first", "queues", "rates")

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.clocks = [0.0] * len(CAPS_CORES)
        self.rates = [0.0] * len(CAPS_CORES)
        self.queues: list[list[tuple[float, int]]] = [[] for _ in CAPS_CORES]
        self.changed_s = 0.0
        self.deadline_s = NEVER_S  # when the next job is done, and its class
        self.first = 0
        self.armed_s = NEVER_S  # time of the one live entry among the events

    def advance(self, now_s: float) -> None:
        """Move the clocks to `now_s`."""
        elapsed_s = now_s - self.changed_s
        self.changed_s = now_s
        clocks = self.clocks
        for kind, rate in enumerate(self.rates):
            clocks[kind] += rate * elapsed_s

    def add(self, kind: int, work_core_s: float, job: int) -> None:
        """Begin a job of class `kind`."""
        queue = self.queues[kind]
        if not queue:
            self.clocks[kind] = 0.0  # an empty class starts anew, so that clocks stay small and exact
        heappush(queue, (self.clocks[kind] + work_core_s, job))

    def finish(self) -> int:
        """End the job whose deadline it is. Its key becomes the clock, which drops the rounding of `advance`."""
        self.clocks[self.first], job = heappop(self.queues[self.first])
        return job

    def share(self, now_s: float) -> None:
        """New rates by water-filling over the classes, smallest cap first, and the next deadline."""
        left_cores = float(self.cores)
        left_jobs = 0
        for queue in self.queues:
            left_jobs += len(queue)
        soonest_s = NEVER_S
        for kind, queue in enumerate(self.queues):
            if not queue:
                self.rates[kind] = 0.0
                continue
            level = left_cores / left_jobs
            rate = self.rates[kind] = min(CAPS_CORES[kind], level)
            left_cores -= rate * len(queue)
            left_jobs -= len(queue)
            wait_s = (queue[0][0] - self.clocks[kind]) / rate
            if wait_s < soonest_s:
                soonest_s, self.first = wait_s, kind
        self.deadline_s = now_s + max(0.0, soonest_s)
