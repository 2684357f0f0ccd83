"""The slow, obvious twin of `machine.py`: progressive filling over single jobs, O(n) a change. A test oracle.

In: jobs as (arrival, work, cap). Out: when each ends.
"""

from __future__ import annotations

from math import inf


def rates(capacity: float, caps: list[float]) -> list[float]:
    """Max-min fair rates: raise all together; who reaches its cap stays there; stop when the capacity is used."""
    given = [0.0] * len(caps)
    open_jobs = set(range(len(caps)))
    free = capacity
    while open_jobs and free > 1e-15 * capacity:
        step = min(free / len(open_jobs), min(caps[job] - given[job] for job in open_jobs))
        for job in open_jobs:
            given[job] += step
        free -= step * len(open_jobs)
        open_jobs = {job for job in open_jobs if given[job] < caps[job] * (1 - 1e-15)}
    return given


def ends(capacity: float, jobs: list[tuple[float, float, float]]) -> list[float]:
    """When each of the jobs (arrival_s, work, cap) ends, in seconds."""
    left = [work for _, work, _ in jobs]
    ended = [inf] * len(jobs)
    now = 0.0
    while any(end == inf for end in ended):
        running = [job for job, (arrival, _, _) in enumerate(jobs) if arrival <= now and ended[job] == inf]
        speed = dict(zip(running, rates(capacity, [jobs[job][2] for job in running]), strict=True))
        arrivals = [arrival for arrival, _, _ in jobs if arrival > now]
        finish = min((now + left[job] / speed[job] for job in running), default=inf)
        then = min([*arrivals, finish])
        for job in running:
            left[job] -= speed[job] * (then - now)
            if left[job] <= 1e-12 * max(1.0, jobs[job][1]):
                ended[job] = then
        now = then
    return ended
