"""A machine's resource as a max-min fair share with caps (processor sharing), in exact virtual time.

Jobs enter with work (core-seconds, bytes) and a cap (cores, bytes/s); each runs at min(cap, level), the level found by
water-filling [Bertsekas & Gallager 1992, 6.5.2]. BuildKit's steps share a CPU so to 1-3 % (buildkit-semantics 13.3);
a weight other than 1 stands for the kernel's unfairness to one step: its share is that much of the others'.

All jobs of one cap and weight run at one rate, so a class of equals needs only a clock that advances at that rate: a job
ends when the clock reaches its start plus its work. A change costs O(classes + log jobs), whatever the number of jobs.
A change is any number of `add`, `remove` and `finish` at one time, then one `settle`.

A `Machine` has two groups that share its capacity, as the cgroups of BuildKit's steps and of its daemon do
(buildkit-semantics 10); a `Host` has several machines. What one leaves unused goes to the others. Where steps, or the daemon's
own threads that compute, want all cores, those that sleep and wake get only `crowded_share` of what they could use, if that
is less.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import Final, Literal

STEPS: Final = 0
DAEMON: Final = 1

DaemonCgroup = Literal["group", "root"]
"""Where a daemon's threads run: in a cgroup that weighs as much as that of all steps, or each for itself beside it."""

Job = list[object]
"""A job in progress: [end in its class's clock, arrival number, owner, class]. The owner of one taken out is None."""


class _Class:
    """All jobs of one cap and weight in a group: a clock, its rate now, and a heap of jobs."""

    __slots__ = ("cap", "clock", "group", "heap", "is_sleepy", "jobs", "level", "rate", "weight")

    def __init__(self, cap: float, weight: float, group: Group, is_sleepy: bool) -> None:
        self.cap = cap
        self.is_sleepy = is_sleepy
        self.weight = weight
        self.level = cap / weight  # of the share of a job of weight 1: above it the cap is what holds it back
        self.group = group
        self.clock = 0.0
        self.rate = 0.0
        self.jobs = 0
        self.heap: list[Job] = []


class Group:
    """Jobs that share an allowance max-min fairly. `work_done` is what they got so far."""

    __slots__ = ("_active", "_by_cap", "_sleepy", "busy", "first", "jobs", "weights", "work_done")

    def __init__(self) -> None:
        self.jobs = 0
        self.weights = 0.0
        self.busy = 0.0
        self.work_done = 0.0
        self.first: _Class | None = None
        self._by_cap: dict[float, _Class] = {}  # of weight 1
        self._sleepy: dict[float, _Class] = {}
        self._active: list[_Class] = []  # with jobs, lowest cap first

    def add(
        self, work: float, cap: float, owner: object, number: int, weight: float = 1.0, is_sleepy: bool = False
    ) -> Job:
        """Start a job."""
        if weight != 1.0:
            kind = _Class(cap, weight, self, is_sleepy)
        else:
            by_cap = self._sleepy if is_sleepy else self._by_cap
            found = by_cap.get(cap)
            if found is None:
                found = by_cap[cap] = _Class(cap, 1.0, self, is_sleepy)
            kind = found
        if not kind.jobs:
            # An empty class starts anew, so that clocks stay small and exact.
            kind.clock = 0.0
            kind.heap.clear()
            self._active.append(kind)
            if len(self._active) > 1:
                self._active.sort(key=_level)
        job: Job = [kind.clock + work, number, owner, kind]
        heappush(kind.heap, job)
        kind.jobs += 1
        self.jobs += 1
        self.weights += weight
        return job

    def leave(self, kind: _Class) -> None:
        """A job of this class has ended or was taken out."""
        kind.jobs -= 1
        self.jobs -= 1
        self.weights = self.weights - kind.weight if self.jobs else 0.0
        if not kind.jobs:
            self._active.remove(kind)

    def demand(self) -> float:
        """What the jobs could use."""
        total = 0.0
        for kind in self._active:
            total += kind.cap * kind.jobs
        return total

    def demand_in_crowd(self, crowded_share: float) -> float:
        """What they could use where other cores are busy: sleepy ones this share."""
        total = 0.0
        for kind in self._active:
            total += kind.cap * kind.jobs * (crowded_share if kind.is_sleepy else 1.0)
        return total

    def caps(self) -> list[float]:
        """The cap of each job."""
        return [kind.cap for kind in self._active for _ in range(kind.jobs)]

    def fill(self, allowance: float) -> float:
        """New rates by water-filling over the classes, lowest cap first; returns in how long the first job ends."""
        free, left, soonest = allowance, self.weights, inf
        for kind in self._active:
            rate = free / left * kind.weight
            if kind.cap < rate:
                rate = kind.cap
            kind.rate = rate
            jobs = kind.jobs
            free -= rate * jobs
            left -= kind.weight * jobs
            heap = kind.heap
            while heap[0][2] is None:
                heappop(heap)
            wait = (heap[0][0] - kind.clock) / rate  # type: ignore[operator]
            if wait < soonest:
                soonest = wait
                self.first = kind
        self.busy = allowance - free
        return soonest

    def fill_crowded(self, allowance: float, crowded_share: float) -> float:
        """As `fill`; where the allowance is short, sleepy jobs get this share of what they could use beside others."""
        kinds = self._active
        if self.demand() <= allowance or len({kind.is_sleepy for kind in kinds}) < 2:
            return self.fill(allowance)
        caps = [kind.cap * crowded_share if kind.is_sleepy else kind.cap for kind in kinds]
        free, left = allowance, self.weights
        for at in sorted(range(len(kinds)), key=lambda at: caps[at] / kinds[at].weight):
            kind = kinds[at]
            kind.rate = min(caps[at], free / left * kind.weight)
            free -= kind.rate * kind.jobs
            left -= kind.weight * kind.jobs
        soonest = inf
        for kind in kinds:
            if kind.is_sleepy and free > 0.0:
                more = min(free / kind.jobs, kind.cap - kind.rate)
                kind.rate += more
                free -= more * kind.jobs
            while kind.heap[0][2] is None:
                heappop(kind.heap)
            wait = (kind.heap[0][0] - kind.clock) / kind.rate  # type: ignore[operator]
            if wait < soonest:
                soonest = wait
                self.first = kind
        self.busy = allowance - free
        return soonest

    def advance(self, elapsed: float) -> None:
        """Time passes at the rates of now."""
        self.work_done += self.busy * elapsed
        for kind in self._active:
            kind.clock += kind.rate * elapsed


def _level(kind: _Class) -> float:
    return kind.level


class FairShare:
    """Groups of jobs on one resource. Time only moves forward: every call gives the time now, in seconds."""

    __slots__ = ("_arrivals", "_first", "_groups", "_now", "jobs", "next_end_s")

    def __init__(self, groups: list[Group]) -> None:
        self.jobs = 0
        self.next_end_s = inf
        self._groups = groups
        self._now = 0.0
        self._arrivals = 0
        self._first: Group | None = None

    @property
    def work_done(self) -> float:
        """What all jobs got so far."""
        return sum(group.work_done for group in self._groups)

    def done_by(self, now: float, groups: list[Group]) -> float:
        """What the jobs of some groups got until now; nothing changes by asking."""
        elapsed = now - self._now
        return sum(group.work_done + (group.busy * elapsed if group.jobs else 0.0) for group in groups)

    def add(
        self,
        now: float,
        work: float,
        cap: float,
        owner: object,
        group: int = STEPS,
        weight: float = 1.0,
        is_sleepy: bool = False,
    ) -> Job:
        """Start a job of `work`, at most `cap` at a time."""
        if now > self._now:
            self._advance(now)
        self._arrivals += 1
        self.jobs += 1
        return self._groups[group].add(work, cap, owner, self._arrivals, weight, is_sleepy)

    def remove(self, now: float, job: Job) -> float:
        """Take a job out before its end; returns the work left."""
        if now > self._now:
            self._advance(now)
        kind: _Class = job[3]  # type: ignore[assignment]
        left: float = job[0] - kind.clock  # type: ignore[operator]
        job[2] = None
        kind.group.leave(kind)
        self.jobs -= 1
        return left if left > 0.0 else 0.0

    def finish(self, now: float) -> object:
        """End the job whose end `next_end_s` is; returns its owner. Others that end now have theirs after `settle`."""
        if now > self._now:
            self._advance(now)
        group = self._first
        assert group is not None
        kind = group.first
        assert kind is not None
        job = heappop(kind.heap)
        # The job's end becomes the clock: it drops the rounding of many small advances.
        kind.clock = job[0]  # type: ignore[assignment]
        group.leave(kind)
        self.jobs -= 1
        return job[2]

    def settle(self) -> float:
        """New rates after a change; returns (and keeps) when the next job ends."""
        if not self.jobs:
            self.next_end_s = inf
            return inf
        soonest = self._share_out()
        self.next_end_s = end_s = self._now + soonest if soonest > 0.0 else self._now
        return end_s

    def _share_out(self) -> float:
        """Give each group its allowance; returns in how long the first job ends, and keeps its group as `_first`."""
        raise NotImplementedError

    def _advance(self, now: float) -> None:
        elapsed = now - self._now
        self._now = now
        for group in self._groups:
            if group.jobs:
                group.advance(elapsed)


class Machine(FairShare):
    """One runner's resource of some capacity, shared by a group of steps and a group of the daemon's threads."""

    __slots__ = ("_daemon", "_steps", "capacity", "crowded_share", "daemon_cgroup")

    def __init__(self, capacity: float, daemon_cgroup: DaemonCgroup = "group", crowded_share: float = 1.0) -> None:
        self.capacity = capacity
        self.crowded_share = min(1.0, crowded_share)
        self.daemon_cgroup = daemon_cgroup
        self._steps, self._daemon = Group(), Group()
        super().__init__([self._steps, self._daemon])

    def _share_out(self) -> float:
        return self.share_out(self.capacity)

    def share_out(self, allowance: float) -> float:
        """Split an allowance over the two groups; as `_share_out`."""
        steps, daemon = self._steps, self._daemon
        if not daemon.jobs:
            self._first = steps
            return steps.fill(allowance)
        share = self.crowded_share
        if not steps.jobs:
            self._first = daemon
            return daemon.fill(allowance) if share == 1.0 else daemon.fill_crowded(allowance, share)
        wanted = steps.demand()
        crowded = daemon.demand() if share == 1.0 else daemon.demand_in_crowd(share)
        if self.daemon_cgroup == "group":
            fair = allowance / 2
        else:
            fair = split(allowance, [wanted, *daemon.caps()])[0]
        of_steps = min(wanted, max(fair, allowance - crowded))
        first, of_daemon = steps.fill(of_steps), allowance - of_steps
        second = daemon.fill(of_daemon) if share == 1.0 else daemon.fill_crowded(of_daemon, share)
        self._first = steps if first <= second else daemon
        return first if first <= second else second

    @property
    def groups(self) -> list[Group]:
        """That of the steps and that of the daemon."""
        return self._groups

    @property
    def busy_groups(self) -> bool:
        """Whether anything runs."""
        return self._steps.jobs > 0 or self._daemon.jobs > 0

    def demand(self) -> float:
        """What all its jobs could use together."""
        return min(self.capacity, self._steps.demand() + self._daemon.demand())

    def demand_in_crowd(self) -> float:
        """The same where other machines keep the host busy."""
        return min(self.capacity, self._steps.demand() + self._daemon.demand_in_crowd(self.crowded_share))


class Host(FairShare):
    """Several machines on one: each has its own capacity at most, and an equal share of the host's when that is short."""

    __slots__ = ("_is_crowdable", "_machines", "capacity")

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self._is_crowdable = False
        self._machines: list[Machine] = []
        super().__init__([])

    def attach(self, machine: Machine) -> int:
        """One more machine; returns the number to add to `STEPS` or `DAEMON` for its groups."""
        self._machines.append(machine)
        self._is_crowdable = self._is_crowdable or machine.crowded_share < 1.0
        self._groups += machine.groups
        return len(self._groups) - len(machine.groups)

    def detach(self, machine: Machine) -> None:
        """The machine has stopped. Its groups keep their numbers."""
        self._machines.remove(machine)

    def _share_out(self) -> float:
        busy = [machine for machine in self._machines if machine.busy_groups]
        soonest = inf
        demands = [machine.demand() for machine in busy]
        allowances = self._crowded(busy, demands) if self._is_crowdable else split(self.capacity, demands)
        for machine, allowance in zip(busy, allowances, strict=True):
            wait = machine.share_out(allowance)
            if wait < soonest:
                soonest = wait
                self._first = machine._first
        return soonest

    def _crowded(self, busy: list[Machine], demands: list[float]) -> list[float]:
        """An equal share each, of its daemon's work the crowded part first; what that leaves goes to the rest of it."""
        parts = split(self.capacity, [one.demand_in_crowd() for one in busy])
        left = self.capacity - sum(parts)
        if left <= 0.0:
            return parts
        more = split(left, [wants - has for wants, has in zip(demands, parts, strict=True)])
        return [has + gets for has, gets in zip(parts, more, strict=True)]


def split(capacity: float, demands: list[float]) -> list[float]:
    """Max-min fair parts of a capacity for members of equal weight, none more than it can use."""
    parts = [0.0] * len(demands)
    left = len(demands)
    for member in sorted(range(left), key=demands.__getitem__):
        parts[member] = min(demands[member], capacity / left)
        capacity -= parts[member]
        left -= 1
    return parts
