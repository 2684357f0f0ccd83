"""The slow, obvious twin of `fair_share.py`: progressive filling over single jobs, O(n) a change. A test oracle.

In: a tree of limits whose leaves are jobs, or jobs as (arrival, work, cap). Out: rates, or when each job ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf


@dataclass
class Node:
    """A member of a fair share: a job with its cap, or several members under a limit. Siblings have equal weights."""

    limit: float
    members: list[Node] = field(default_factory=list)
    rate: float = 0.0

    def open_leaves(self) -> list[tuple[Node, float]]:
        """Jobs that can still be raised, and each one's part of what this node is given."""
        if self.rate >= self.limit * (1 - 1e-13):
            return []
        if not self.members:
            return [(self, 1.0)]
        below = [found for member in self.members if (found := member.open_leaves())]
        return [(leaf, part / len(below)) for found in below for leaf, part in found]

    def room(self, flow: dict[int, float]) -> float:
        """How much more can flow into the root before this node or one below it is full."""
        mine = self.flow(flow)
        own = (self.limit - self.rate) / mine if mine > 0 else inf
        return min([own, *(member.room(flow) for member in self.members)])

    def flow(self, flow: dict[int, float]) -> float:
        """This node's part of what flows into the root."""
        return sum(member.flow(flow) for member in self.members) if self.members else flow.get(id(self), 0.0)

    def raise_by(self, amount: float, flow: dict[int, float]) -> None:
        """Let it flow."""
        self.rate += amount * self.flow(flow)
        for member in self.members:
            member.raise_by(amount, flow)


def fill(root: Node) -> None:
    """Max-min fair rates of a tree: raise all open jobs together until each is held by its own limit or one above it."""
    while leaves := root.open_leaves():
        flow = {id(leaf): part for leaf, part in leaves}
        root.raise_by(root.room(flow), flow)


def rates(capacity: float, caps: list[float]) -> list[float]:
    """Max-min fair rates of jobs with caps on one resource."""
    leaves = [Node(cap) for cap in caps]
    fill(Node(capacity, leaves))
    return [leaf.rate for leaf in leaves]


def ends(capacity: float, jobs: list[tuple[float, float, float]]) -> list[float]:
    """When each of the jobs (arrival_s, work, cap) ends on one resource, in seconds."""
    caps = [cap for _, _, cap in jobs]
    return ends_by(lambda running: rates(capacity, [caps[job] for job in running]), jobs)


def ends_by(rates_of: Callable[[list[int]], list[float]], jobs: list[tuple[float, float, float]]) -> list[float]:
    """When each job ends, if `rates_of` gives the rates of those that run, by their numbers."""
    left = [work for _, work, _ in jobs]
    ended = [inf] * len(jobs)
    now = 0.0
    while any(end == inf for end in ended):
        running = [job for job, (arrival, _, _) in enumerate(jobs) if arrival <= now and ended[job] == inf]
        speed = dict(zip(running, rates_of(running), strict=True))
        arrivals = [arrival for arrival, _, _ in jobs if arrival > now]
        finish = min((now + left[job] / speed[job] for job in running), default=inf)
        then = min([*arrivals, finish])
        for job in running:
            left[job] -= speed[job] * (then - now)
            if left[job] <= 1e-12 * max(1.0, jobs[job][1]):
                ended[job] = then
        now = then
    return ended
