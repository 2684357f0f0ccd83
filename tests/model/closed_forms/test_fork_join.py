"""A build waits for its slowest part: maxima of exponentials, and the fork-join queue of two servers.

In: steps side by side in a build that is alone; builds of two platforms on native runners with one slot each. Out: the
rule's verdicts.
"""

from dataclasses import dataclass, replace
from math import comb, exp

import numpy as np
from builders import Handmade, a_farm, a_graph, context, run, simulated
from queueing import (
    EXPONENTIAL,
    FILE,
    Law,
    check,
    commit,
    departures,
    drawn,
    no_limit,
    one_server,
    requests_at,
    traffic,
)

from sim.model.buildkit.daemon import Daemon
from sim.model.machine.fair_share import Group
from sim.workload import Request

WIDTH = 8
BY_COMMIT = ((0, (f"/{FILE}",)),)
HARMONIC = sum(1.0 / count for count in range(1, WIDTH + 1))


def fan():
    """A graph of steps side by side, all of which the last one takes."""
    side_by_side = [run(f"part {place}", by_content=BY_COMMIT) for place in range(WIDTH)]
    return a_graph(context(), *side_by_side, run("join", *range(1, WIDTH + 1)))


def alone(replications, count=100, seed=51_000):
    """The mean time of a build alone on enough cores: H_n. Each comes when the one before has ended.

    Controls: the sum, how many parts and how many pairs of parts are longer than some times.
    """
    graph = fan()

    def sample(seed):
        parts = np.random.default_rng(seed).exponential(1.0, (WIDTH, count))
        profile = drawn({f"RUN part {place}": parts[place] for place in range(WIDTH)}, graph, cpu=1.0)
        requests = [
            Request(i, 0.0, "app", ("app",), content=commit(i), after=i - 1 if i else None) for i in range(count)
        ]
        trace = simulated(graph, requests, profile, a_farm(cpus=float(WIDTH)), steps=False)
        controls = [np.mean(parts) - 1.0]
        for time in (0.7, 1.5, 2.5, 3.5, 5.0):
            longer = np.sum(parts > time, axis=0)
            controls += [np.mean(longer) - WIDTH * exp(-time)]
            controls += [np.mean(longer * (longer - 1) / 2) - comb(WIDTH, 2) * exp(-2 * time)]
        return [departures(trace)[-1] / count], controls

    return check(f"{WIDTH} steps side by side", range(seed, seed + replications), sample, {"E[max]": HARMONIC})


LOAD = 0.5


class _LongerOfTwo(Law):
    """The longer of two exponentials of mean 1: 1 + 1/2, and 2 + 2 - 1/2."""

    mean_s, second_s2 = 1.5, 3.5


class _SumOfTwo(Law):
    """The sum of two exponentials of mean 1: 1 + 1, and 2 + 2 + 2."""

    mean_s, second_s2 = 2.0, 6.0


LONGER, BOTH = _LongerOfTwo("longer of two", ()), _SumOfTwo("sum of two", ())
PLATFORMS = ("linux/amd64", "linux/arm64")


def _one_platform(platform):
    work = replace(run(f"work {platform}", by_content=BY_COMMIT), platform=platform)
    return replace(a_graph(context(), work), platforms=(platform,))


@dataclass
class TwoPlatforms(Handmade):
    """Target `app`, built for two platforms; each has a graph of its own."""

    def platforms(self, target):
        return PLATFORMS

    def graph(self, target, args=(), platforms=()):
        return self.graphs[platforms[0]]


def fork_join(replications, seed=52_000):
    """The mean time of a request that ends when both its builds have [Flatto & Hahn 1984]: (12 - rho) / 8 / (mu - lambda).

    Controls: each queue by itself (M/M/1), and one queue whose services are the longer of both, or their sum.
    """
    graphs = TwoPlatforms({platform: _one_platform(platform) for platform in PLATFORMS})
    farm = replace(a_farm(max_parallelism=1), platforms=dict.fromkeys(PLATFORMS, 1.0))

    def sample(seed):
        first = traffic(seed, LOAD, EXPONENTIAL, 500)
        second = np.random.default_rng(seed + 500_000).exponential(1.0, len(first.arrivals))
        services = dict(zip(map("RUN work {}".format, PLATFORMS), (first.services, second), strict=True))
        profile = drawn(services, *graphs.graphs.values(), latency=1.0)
        trace = simulated(graphs, requests_at(first.arrivals), profile, farm, steps=False)
        return [first.number(departures(trace))], _joined(first, replace(first, services=second))

    theory = {"E[N]": LOAD * (12 - LOAD) / 8 / (1 - LOAD)}
    return check("fork-join of two platforms", range(seed, seed + replications), sample, theory)


def _joined(first, second):
    """What the queues of each server, of the longer service and of the sum measure, less their means."""
    longer = replace(first, law=LONGER, services=np.maximum(first.services, second.services))
    both = replace(first, law=BOTH, services=first.services + second.services)
    each = [one + other for one, other in zip(one_server(first), one_server(second), strict=True)]
    return [*each, *one_server(longer), *one_server(both, speed=2.0), no_limit(longer)]


def slots_without_limit(monkeypatch):
    make = Daemon.__init__
    monkeypatch.setattr(Daemon, "__init__", lambda *args, **options: make(*args, **(options | {"slots": 0})))


def test_a_build_alone_takes_as_long_as_its_longest_step():
    verdict = alone(56)
    assert verdict.accepted, verdict.detail


def test_twin_fails_when_steps_run_one_after_the_other(monkeypatch):
    """Broken: the runner's cores serve one step at a time, whatever their number."""
    monkeypatch.setattr(Group, "fill", lambda group, allowance, fill=Group.fill: fill(group, 1.0))
    assert alone(12).refuted


def test_a_build_of_two_platforms_ends_with_the_later_one():
    verdict = fork_join(42)
    assert verdict.accepted, verdict.detail


def test_twin_fails_when_builds_do_not_queue_for_the_slot(monkeypatch):
    """Broken: the daemons forget their limit of one slot."""
    slots_without_limit(monkeypatch)
    assert fork_join(15).refuted
