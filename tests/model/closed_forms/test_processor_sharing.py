"""A runner's CPU is processor sharing: the mean number of builds is M/M/c's, whatever the law of the work.

In: one-thread RUNs on one core and on two, with three laws. Out: the rule's verdicts, and those on broken machines.
"""

import pytest
from builders import a_farm
from queueing import (
    EXPONENTIAL,
    HYPEREXPONENTIAL,
    LAWS,
    check,
    departures,
    number_in_mmc,
    run_of,
    sharing_controls,
    traffic,
)

from sim.model.machine.fair_share import Group

# Replications of 450 arrivals that make the half-width 1 %.
ENOUGH = {
    (1, "exponential"): 66,
    (1, "deterministic"): 22,
    (1, "hyperexponential"): 70,
    (2, "exponential"): 75,
    (2, "deterministic"): 22,
    (2, "hyperexponential"): 100,
}


def sharing(cpus, law, replications, slots=0, count=450, seed=11_000):
    """The mean number of builds on a runner at half load."""
    load = 0.5 * cpus

    def sample(seed):
        given = traffic(seed, load, law, count, from_s=50.0)
        trace = run_of(given, a_farm(cpus=float(cpus), max_parallelism=slots), cpu=1.0)
        return [given.number(departures(trace))], sharing_controls(given, float(cpus))

    name = f"M/{law.name}/{cpus}-PS"
    return check(name, range(seed, seed + replications), sample, {"E[N]": number_in_mmc(cpus, load)})


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("cpus", [1, 2])
def test_the_mean_number_of_builds_is_that_of_m_m_c_for_every_law(cpus, law):
    verdict = sharing(cpus, law, ENOUGH[cpus, law.name])
    assert verdict.accepted, verdict.detail


@pytest.mark.parametrize("cpus", [1, 2])
def test_twin_fails_when_builds_do_not_slow_each_other_down(cpus, monkeypatch):
    """Broken: every job runs at its cap, as if the runner had cores without end."""
    fill = Group.fill
    monkeypatch.setattr(Group, "fill", lambda group, allowance: fill(group, group.demand()))
    assert sharing(cpus, EXPONENTIAL, 24, count=150).refuted


def test_twin_fails_when_a_one_thread_step_uses_all_cores(monkeypatch):
    """Broken: the cap of one thread is forgotten, so two cores are one fast one."""
    add = Group.add
    monkeypatch.setattr(Group, "add", lambda group, work, cap, *rest: add(group, work, 2.0, *rest))
    assert sharing(2, EXPONENTIAL, 24, count=150).refuted


def test_twin_fails_when_builds_run_one_after_the_other():
    """Broken: one slot, so the core serves first come first served, which is not insensitive."""
    assert sharing(1, HYPEREXPONENTIAL, 25, slots=1).refuted
