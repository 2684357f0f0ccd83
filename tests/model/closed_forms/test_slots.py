"""Slots (`max_parallelism`) are servers of one queue, first come first served over all builds: Erlang's C.

In: RUNs that only wait, exponentially, on a daemon with two slots. Out: the rule's verdicts on the probability to wait, which
makes the mean wait, C / (c mu - lambda), and on the mean number; and every single wait.
"""

import numpy as np
from builders import a_farm
from queueing import (
    EXPONENTIAL,
    check,
    departures,
    erlang_c,
    no_limit,
    number_in_mmc,
    one_server,
    one_server_lengths,
    run_of,
    traffic,
)

from sim.model.buildkit.daemon import Daemon

SLOTS = 2
LOAD = 1.4


def slots(replications, seed=21_000):
    """How often a build finds all slots taken (as Poisson arrivals see time averages), and how many builds there are."""

    def sample(seed):
        given = traffic(seed, LOAD, EXPONENTIAL, 600)
        ended = departures(run_of(given, a_farm(max_parallelism=SLOTS), latency=1.0))
        controls = [*one_server(given, SLOTS), *one_server_lengths(given, SLOTS, 2, 3, 5), no_limit(given)]
        return [*given.share(ended, SLOTS), given.number(ended)], controls

    theory = {"P(wait)": erlang_c(SLOTS, LOAD), "E[N]": number_in_mmc(SLOTS, LOAD)}
    return check(f"M/M/{SLOTS} of slots", range(seed, seed + replications), sample, theory)


def first_come_first_served(arrivals, services):
    """When each ends, with servers that are free at the times in `free` [Kiefer & Wolfowitz 1955]."""
    free = [0.0] * SLOTS
    ended = []
    for arrived, service in zip(arrivals.tolist(), services.tolist(), strict=True):
        free.sort()
        free[0] = max(free[0], arrived) + service
        ended.append(free[0])
    return np.array(ended)


def longest_difference(seed):
    """Of the ends of 500 builds, from those of the queue in ten lines."""
    given = traffic(seed, LOAD, EXPONENTIAL, 500)
    ended = departures(run_of(given, a_farm(max_parallelism=SLOTS), latency=1.0))
    return np.max(np.abs(ended / first_come_first_served(given.arrivals, given.services) - 1.0))


def without_slots(monkeypatch):
    make = Daemon.__init__
    monkeypatch.setattr(Daemon, "__init__", lambda *args, **options: make(*args, **(options | {"slots": 0})))


def last_come_first_served(monkeypatch):
    class Stack(list):
        def popleft(self):
            return self.pop()

    make = Daemon.__init__

    def broken(self, *args, **options):
        make(self, *args, **options)
        self._queue = Stack()

    monkeypatch.setattr(Daemon, "__init__", broken)


def test_a_build_waits_for_a_slot_as_erlangs_c_says():
    verdict = slots(63)
    assert verdict.accepted, verdict.detail


def test_twin_fails_when_slots_have_no_limit(monkeypatch):
    """Broken: the daemon forgets its limit, so every step starts at once."""
    without_slots(monkeypatch)
    assert slots(12).refuted


def test_each_build_ends_when_first_come_first_served_lets_it():
    assert longest_difference(22_000) < 1e-9


def test_twin_fails_when_the_last_comes_first(monkeypatch):
    """Broken: slots go to the step that came last. Erlang's C cannot see that; the ends can."""
    last_come_first_served(monkeypatch)
    assert longest_difference(22_000) > 1e-3
