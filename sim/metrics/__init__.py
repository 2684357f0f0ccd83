"""Numbers that a person asks for, from any trace, simulated or measured.

In: a `Trace`. Out: summaries, per-request arrays, objectives. A metric over nulls is None (n/a), never 0.
"""

from sim.metrics.distribution import Distribution
from sim.metrics.requests import OBJECTIVES, Requests, objective, per_request
from sim.metrics.steps import Dedup, StepCounts, Wait
from sim.metrics.summary import By, Money, Pool, Summary, summarise
from sim.metrics.warmup import Mser5, Warmup, mser5, warmup_of
from sim.metrics.work import Work

__all__ = [
    "OBJECTIVES",
    "By",
    "Dedup",
    "Distribution",
    "Money",
    "Mser5",
    "Pool",
    "Requests",
    "StepCounts",
    "Summary",
    "Wait",
    "Warmup",
    "Work",
    "mser5",
    "objective",
    "per_request",
    "summarise",
    "warmup_of",
]
