"""Random traffic for closed forms, the model's own run of it, twins with known means, and the rule that judges a mean.

In: seeds, rates, laws of service. Out: `Traffic`, traces, control variates, `Verdict`s.

The rule (simulators.md section 5): R independent replications; |mean - theory| <= 3.29 S / sqrt(R), a false alarm in a
thousand, and a half-width of at most 1 % of theory, so that passing means something. What makes 1 % cheap are control
variates [Law 2015, 11.4]: other queues of the same arrivals and services whose means are known exactly (one server,
Pollaczek-Khinchine; no limit, Poisson). No control uses the form under test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, factorial, inf, sqrt
from typing import NamedTuple

import numpy as np
from builders import a_graph, a_rule, context, run, simulated
from numpy.typing import NDArray

from sim.graph import Graph
from sim.model.plan.compiled import Compiled
from sim.profile import Profile
from sim.scenario.farm import Farm
from sim.trace import Trace
from sim.workload import Content, Request

Floats = NDArray[np.float64]
Z = 3.29  # two-sided, p = 0.001
POWER = 0.01
FILE = "a.txt"


# The rule.


class Verdict(NamedTuple):
    """`refuted`: the mean is not the theory's. `accepted`: it may be, and the half-width is small enough to say so."""

    accepted: bool
    refuted: bool
    detail: str


def judge(
    name: str,
    measured: Sequence[float],
    theory: float,
    controls: Sequence[Sequence[float]] = (),
    within: float = 0.0,
) -> Verdict:
    """The rule over replications; `controls` has for each of them what twins measured, less their known means.

    A theory that is itself an approximation is true `within` an absolute error; then the whole interval must be.
    """
    y = np.asarray(measured)
    columns = np.ones((len(y), 1))
    if len(controls):
        columns = np.column_stack((columns, np.asarray(controls)))
    inverse = np.linalg.pinv(columns, rcond=1e-10)
    left = y - columns @ (inverse @ y)
    # The intercept is the mean where all twins are at theirs; its variance counts what the regression costs.
    spread = float(left @ left) / (len(y) - np.linalg.matrix_rank(columns, tol=1e-10)) * float(inverse[0] @ inverse[0])
    mean, half_width = float(inverse[0] @ y), Z * sqrt(spread)
    away = abs(mean - theory)
    refuted = away > within + half_width + 1e-9 * abs(theory)
    accepted = away + half_width <= within if within else not refuted and half_width <= POWER * abs(theory)
    detail = (
        f"{name}: {mean:.5g}, theory {theory:.5g} ({(mean / theory - 1) * 100:+.2f} %,"
        f" half-width {half_width / abs(theory) * 100:.2f} % over {len(y)} replications)"
    )
    return Verdict(accepted, refuted, detail)


def check(
    name: str,
    seeds: range,
    sample: Callable[[int], tuple[Sequence[float], Sequence[float]]],
    theory: dict[str, float],
) -> Verdict:
    """Judge each quantity of `theory`; `sample(seed)` gives their values, in that order, and the excesses of the controls."""
    measured, controls = [], []
    for seed in seeds:
        values, excesses = sample(seed)
        measured.append(values)
        controls.append(excesses)
    verdicts = [
        judge(f"{name} {quantity}", [values[place] for values in measured], value, controls)
        for place, (quantity, value) in enumerate(theory.items())
    ]
    detail = "; ".join(verdict.detail for verdict in verdicts) + f"; seeds {seeds.start}-{seeds.stop - 1}"
    print(detail)
    return Verdict(all(verdict.accepted for verdict in verdicts), any(verdict.refuted for verdict in verdicts), detail)


# Traffic.


@dataclass(frozen=True)
class Law:
    """A service time: with each probability exponential of that mean, or (no phases) always 1; then cut at `limit`."""

    name: str
    phases: tuple[tuple[float, float], ...]
    limit: float = inf

    @property
    def mean_s(self) -> float:
        """Its mean."""
        if not self.phases:
            return min(1.0, self.limit)
        return sum(share * mean * (1.0 - exp(-self.limit / mean)) for share, mean in self.phases)

    @property
    def second_s2(self) -> float:
        """Its second moment."""
        if not self.phases:
            return self.mean_s**2
        if self.limit == inf:
            return sum(share * 2.0 * mean**2 for share, mean in self.phases)
        kept = ((share, mean, exp(-self.limit / mean) * (mean + self.limit)) for share, mean in self.phases)
        return sum(share * 2.0 * mean * (mean - lost) for share, mean, lost in kept)

    def draw(self, rng: np.random.Generator, size: int) -> Floats:
        """Independent service times."""
        if not self.phases:
            return np.ones(size)
        shares, means = zip(*self.phases, strict=True)
        return rng.exponential(np.array(means)[rng.choice(len(means), size, p=shares)])


EXPONENTIAL = Law("exponential", ((1.0, 1.0),))
DETERMINISTIC = Law("deterministic", ())
HYPEREXPONENTIAL = Law("hyperexponential", ((0.5, 0.5), (0.5, 1.5)))
LAWS = (EXPONENTIAL, DETERMINISTIC, HYPEREXPONENTIAL)


@dataclass(frozen=True)
class Traffic:
    """Poisson arrivals until `until_s` and their services. Means over time are taken from `from_s` on."""

    rate_per_s: float
    law: Law
    from_s: float
    until_s: float
    arrivals: Floats
    services: Floats

    @property
    def load(self) -> float:
        """Work offered a second."""
        return self.rate_per_s * self.law.mean_s

    def cut(self, limit: float) -> Traffic:
        """The same arrivals with services of at most `limit`."""
        return replace(self, law=replace(self.law, limit=limit), services=np.minimum(self.services, limit))

    def number(self, departures: Floats, arrivals: Floats | None = None) -> float:
        """The mean number in a system between arrivals and departures."""
        arrivals = self.arrivals if arrivals is None else arrivals
        there = np.clip(departures, self.from_s, self.until_s) - np.clip(arrivals, self.from_s, self.until_s)
        return float(np.sum(there)) / (self.until_s - self.from_s)

    def share(self, departures: Floats, *counts: int) -> list[float]:
        """By count, the share of time with at least so many in the system."""
        times = np.concatenate((self.arrivals, departures))
        order = np.argsort(times, kind="stable")
        ones = np.ones(len(departures))
        there = np.cumsum(np.concatenate((ones, -ones))[order])
        edges = np.clip(np.append(times[order], self.until_s), self.from_s, self.until_s)
        spans = np.diff(edges)
        return [float(np.sum(spans[there >= count])) / (self.until_s - self.from_s) for count in counts]


def traffic(seed: int, rate_per_s: float, law: Law, count: int, from_s: float = 60.0) -> Traffic:
    """One replication: about `count` arrivals after a warm-up of `from_s`, many relaxation times of what is tested."""
    rng = np.random.default_rng(seed)
    until_s = from_s + count / rate_per_s
    arrivals = np.sort(rng.uniform(0.0, until_s, rng.poisson(rate_per_s * until_s)))
    return Traffic(rate_per_s, law, from_s, until_s, arrivals, law.draw(rng, len(arrivals)))


# The model's run of it: a commit for each request, and by commit the factor on the cost of its RUN.

WORK = a_graph(context(), run("work", by_content=((0, (f"/{FILE}",)),)))


class Drawn(Profile):
    """An ideal profile that looks up a step's factor by its key: each commit has what was drawn for it."""

    __slots__ = ("factors",)

    factors: dict[int, float]

    def factor(self, seed: int, key: int, attempt: int, spread: float) -> float:  # type: ignore[override]
        """What was drawn for this key."""
        return self.factors[key]


def drawn(services: dict[str, Floats], *graphs: Graph, **amounts: float) -> Drawn:
    """The profile in which a step of the graphs takes `services[name][i]` times the amounts at the i-th commit."""
    profile = Drawn.ideal([a_rule(name, spread=1.0, **amounts) for name in services])
    assert isinstance(profile, Drawn)
    profile.factors = {}
    for graph in graphs:
        compiled = Compiled(graph, profile)
        for index, name in enumerate(compiled.names):
            for place, time in enumerate(services[name].tolist() if name in services else ()):
                profile.factors[compiled.keys(commit(place)).definition[index]] = time
    assert len(profile.factors) == sum(map(len, services.values())), "two steps have one key"
    return profile


def commit(place: int) -> Content:
    """The files as the i-th request has them."""
    return Content(((FILE, place + 1),))


def requests_at(arrivals: Floats) -> list[Request]:
    """Requests of target `app`, each of a commit of its own."""
    return [Request(i, at_s, "app", ("app",), content=commit(i)) for i, at_s in enumerate(arrivals.tolist())]


def run_of(given: Traffic, farm: Farm, *, seed: int = 0, steps: bool = False, **amounts: float) -> Trace:
    """The model's run: each request is one RUN that costs the amounts a unit of its service."""
    profile = drawn({"RUN work": given.services}, WORK, **amounts)
    return simulated(WORK, requests_at(given.arrivals), profile, farm, seed=seed, steps=steps)


def departures(trace: Trace) -> Floats:
    """When each request had its answer, by request."""
    ended: Floats = np.zeros(int(trace.builds["request"].max()) + 1)
    np.maximum.at(ended, trace.builds["request"].astype(int), trace.builds["completed_s"])
    return ended


# Twins with known means. Each gives what it measured less its mean.


def waits(arrivals: Floats, services: Floats) -> Floats:
    """Waits in a first-come first-served queue with one server [Lindley 1952]."""
    walk = np.concatenate(([0.0], np.cumsum(services[:-1] - np.diff(arrivals))))
    return walk - np.minimum.accumulate(walk)


def one_server(given: Traffic, speed: float = 1.0) -> list[float]:
    """Number in the system and in service, and work in the system, with one server of some speed [Pollaczek-Khinchine]."""
    busy = given.load / speed
    wait_s = given.rate_per_s * given.law.second_s2 / speed**2 / 2.0 / (1.0 - busy)
    begun = given.arrivals + waits(given.arrivals, given.services / speed)
    ended = begun + given.services / speed
    return [
        given.number(ended) - given.rate_per_s * wait_s - busy,
        given.number(ended, begun) - busy,
        _work(given, begun - given.arrivals, speed) - wait_s,
    ]


def _work(given: Traffic, waited: Floats, speed: float) -> float:
    """The mean of the time that the one server's work would take, over time: an arrival sees it as its wait."""
    full = waited + given.services / speed
    inside = given.arrivals >= given.from_s
    drained = np.minimum(full, np.diff(np.append(given.arrivals, given.until_s)))
    area = float(np.sum((drained * (full - drained / 2.0))[inside]))
    return area / (given.until_s - given.from_s)


def one_server_lengths(given: Traffic, speed: float, *counts: int) -> list[float]:
    """Share of time with at least so many in M/M/1, of load rho: rho^n."""
    ended = given.arrivals + waits(given.arrivals, given.services / speed) + given.services / speed
    shares = given.share(ended, *counts)
    return [share - (given.load / speed) ** count for share, count in zip(shares, counts, strict=True)]


def no_limit(given: Traffic) -> float:
    """The number in M/G/infinity: the load."""
    return given.number(given.arrivals + given.services) - given.load


def no_limit_lengths(given: Traffic, *counts: int) -> list[float]:
    """Share of time with at least so many in M/G/infinity: Poisson."""
    shares = given.share(given.arrivals + given.services, *counts)
    return [share - poisson_tail(given.load, count) for share, count in zip(shares, counts, strict=True)]


def poisson_tail(mean: float, count: int) -> float:
    """The probability of at least so many."""
    return 1.0 - sum(exp(-mean) * mean**less / factorial(less) for less in range(count))


def sharing_controls(given: Traffic, speed: float) -> list[float]:
    """For processor sharing: one server of several speeds, no limit; the same of services cut at several lengths."""
    found = [no_limit(given)]
    for share in (0.75, 1.0, 1.5):
        found += one_server(given, share * speed)
    if given.law.phases:
        for limit in (0.3, 1.0, 2.0, 4.0):
            number, _, work = one_server(given.cut(limit), speed)
            found += [number, work]
        found += [no_limit(given.cut(limit)) for limit in (0.5, 2.0)]
    return found


# The theory.


def erlang_c(servers: int, load: float) -> float:
    """The probability to wait in M/M/c [Erlang 1917]."""
    full = load**servers / factorial(servers) / (1.0 - load / servers)
    return full / (sum(load**count / factorial(count) for count in range(servers)) + full)


def number_in_mmc(servers: int, load: float) -> float:
    """The mean number in M/M/c, and in M/G/c-PS [Kelly 1979; Cohen 1979]."""
    return load + erlang_c(servers, load) * load / (servers - load)


def erlang_b(servers: int, load: float) -> float:
    """The share of arrivals lost in M/G/c/c [Erlang 1917; Sevast'yanov 1957]."""
    lost = 1.0
    for count in range(1, servers + 1):
        lost = load * lost / (count + load * lost)
    return lost
