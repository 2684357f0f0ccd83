"""Runners are servers that come and go: Erlang's B when nobody waits, set-up times when each busy period boots.

In: builds alone on their runner, on farms of two or one. Out: the rule's verdicts.
"""

from dataclasses import replace

import numpy as np
import pytest
from builders import a_farm
from queueing import (
    DETERMINISTIC,
    EXPONENTIAL,
    HYPEREXPONENTIAL,
    check,
    departures,
    erlang_b,
    no_limit,
    no_limit_lengths,
    one_server,
    run_of,
    traffic,
)

from sim.model.site import Site
from sim.pool import Pool

RUNNERS = 2
OFFERED = 3.0
BOOT_S = 1.0
BOOT_SECOND_S2 = {"exponential": 2.0 * BOOT_S**2, "fixed": BOOT_S**2}
ENOUGH = {"deterministic": 22, "hyperexponential": 72, "exponential": 94, "fixed": 25}


def lost(law, replications, seed=41_000):
    """The share of the offered work that finds no runner and, with an acquire time-out of 0, goes away.

    Taken from the mean number of builds on runners, which is what was not lost. Controls: arrivals, their work, and how
    many there would be without a limit.
    """

    def sample(seed):
        given = traffic(seed, OFFERED, law, 400, from_s=15.0)
        farm = a_farm(limit=1, max_instances=RUNNERS, acquire_timeout_s=0.0)
        builds = run_of(given, farm, latency=1.0).builds
        served = builds.equals("outcome", "ok")
        assert np.all(served | builds.equals("outcome", "timed_out"))
        carried = given.number(builds["completed_s"][served], builds["ready_s"][served])
        inside = given.arrivals >= given.from_s
        controls = [np.sum(inside) - OFFERED * (given.until_s - given.from_s), np.sum((given.services - 1.0)[inside])]
        return [1.0 - carried / OFFERED], [*controls, *no_limit_lengths(given, 1, 2, 3, 4), no_limit(given)]

    theory = {"lost": erlang_b(RUNNERS, OFFERED)}
    return check(f"M/{law.name}/{RUNNERS}/{RUNNERS} of runners", range(seed, seed + replications), sample, theory)


@pytest.mark.parametrize("law", [DETERMINISTIC, HYPEREXPONENTIAL], ids=lambda law: law.name)
def test_a_full_farm_loses_builds_as_erlangs_b_says_for_every_law(law):
    verdict = lost(law, ENOUGH[law.name])
    assert verdict.accepted, verdict.detail


def test_twin_fails_when_the_acquire_time_out_is_not_kept(monkeypatch):
    """Broken: whoever gives up stays in the queue of the pool and is served after all."""
    monkeypatch.setattr(Site, "withdraw", lambda site, lease: False)
    assert lost(DETERMINISTIC, 10).refuted


def cold(replications, law, drawn=None, seed=42_000):
    """The mean number of builds when the one runner stops as soon as it is idle and boots for the next: M/M/1/setup.

    E[T] = 1 / (mu - lambda) + (2 E[B] + lambda E[B^2]) / (2 + 2 lambda E[B]) for boots B [Welch 1964]; 1 / alpha more than
    M/M/1 when they are exponential [Gandhi & others 2013]. Controls: the queue without boots, and the lengths of the
    boots and their squares, which have no bias whatever decides how many there are [Wald 1944].
    """
    load = 0.5
    drawn = drawn or law
    farm = replace(a_farm(limit=1, max_instances=1, idle_timeout_s=0.0), boot_s=BOOT_S, boot_law=drawn)

    def sample(seed):
        given = traffic(seed, load, EXPONENTIAL, 450)
        trace = run_of(given, farm, latency=1.0, seed=seed)
        runners = trace.runners
        boots = (runners["ready_s"] - runners["requested_s"])[runners["requested_s"] >= given.from_s]
        per_s = given.until_s - given.from_s
        controls = [np.sum(boots - BOOT_S) / per_s, np.sum(boots**2 - BOOT_SECOND_S2[drawn]) / per_s]
        return [given.number(departures(trace))], [*one_server(given), no_limit(given), *controls]

    more_s = (2 * BOOT_S + load * BOOT_SECOND_S2[law]) / (2 + 2 * load * BOOT_S)
    theory = {"E[N]": load * (1 / (1 - load) + more_s)}
    return check(f"M/M/1 with {law} set-up of a runner", range(seed, seed + replications), sample, theory)


@pytest.mark.parametrize("law", ["exponential", "fixed"])
def test_each_busy_period_boots_as_the_queue_with_setups_says(law):
    verdict = cold(ENOUGH[law], law)
    assert verdict.accepted, verdict.detail


def test_twin_fails_when_a_boot_always_takes_its_mean():
    """Broken: the length of a boot is not drawn, so no long one gathers builds."""
    assert cold(20, "exponential", drawn="fixed").refuted


def test_twin_fails_when_an_idle_runner_stays(monkeypatch):
    """Broken: the pool never stops a runner that is idle, so only the first build waits for a boot."""
    monkeypatch.setattr(Pool, "idle", lambda pool, runner, spell: [])
    assert cold(12, "fixed").refuted
