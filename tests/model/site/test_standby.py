"""When a machine is up: boots, so many at once, with a fixed or an exponential time, and machines on standby."""

from dataclasses import replace
from math import exp, inf

import numpy as np
import pytest
from builders import AMD64, Handmade, a_farm, a_graph, a_request, ends, ideal, run, simulated, source
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.dispatch.provider import Provider
from sim.scenario.farm import Override, Price, Runner

ARM64 = "linux/arm64"
KIND = (AMD64, Runner(2.0))
COSTS = ideal(("RUN *", {"latency": 1.0}))


def traced(names, at_s, farm):
    """One request of each target at each time."""
    made = Handmade({name: a_graph(source(), run(name, 0), target=name) for name in names})
    asked = [a_request(index, time_s, (name,)) for index, (name, time_s) in enumerate(zip(names, at_s, strict=True))]
    return simulated(made, asked, COSTS, farm)


def a_project_each(names, **fields):
    return a_farm(targets=names, projects={name: name for name in names}, **fields)


def ready(trace):
    return sorted(trace.builds["ready_s"].tolist())


def test_a_standby_serves_after_its_own_boot_and_is_replaced():
    """At 0 both standbys are taken; the third boots. Both are there again at 25; at 30 one serves."""
    names = ("a", "b", "c", "d")
    farm = a_project_each(names, boot_s=25.0, standby_count=2, standby_boot_s=2.0)
    assert ready(traced(names, (0.0, 0.0, 0.0, 30.0), farm)) == [2.0, 2.0, 25.0, 32.0]


def test_a_standby_that_boots_yet_is_not_waited_for():
    names = ("a", "b")
    farm = a_project_each(names, boot_s=25.0, standby_count=1, standby_boot_s=2.0)
    assert ready(traced(names, (0.0, 24.0), farm)) == [2.0, 49.0]


def test_a_clone_on_a_standby_takes_the_clone_time_too():
    farm = a_farm(targets=("a", "b"), limit=1, boot_s=25.0, clone_s=3.0, standby_count=2, standby_boot_s=2.0)
    made = Handmade({name: a_graph(source(), run(name, 0), target=name) for name in ("a", "b")})
    asked = [a_request(0, 0.0, ("a",)), a_request(1, 0.0, ("b",))]
    assert ready(simulated(made, asked, ideal(("RUN *", {"latency": 60.0})), farm)) == [2.0, 5.0]


def test_each_architecture_and_machine_has_its_standbys():
    large = Runner(8.0)
    farm = a_project_each(("a", "b"), boot_s=25.0, standby_count=1, standby_boot_s=2.0)
    farm = replace(farm, overrides=(Override("b", None, large),), platforms={AMD64: 1.0, ARM64: 1.0, "linux/386": 3.0})
    provider = Provider(farm, 0)
    for kind in ((AMD64, farm.runner), (AMD64, large), (ARM64, farm.runner), (ARM64, large)):
        assert [provider.up_in_s(0.0, kind, "x") for _ in range(2)] == [2.0, 25.0]
    assert provider.up_in_s(0.0, ("linux/386", farm.runner), "x") == 25.0


def test_waiting_machines_cost_what_a_runner_costs():
    """60 s of one machine that nobody takes, and one that is away from 30 to 40: 110 s at 6 dollars a minute."""
    farm = replace(a_farm(boot_s=10.0, standby_count=2), runner=Runner(2.0, price_per_minute=6.0))
    provider = Provider(farm, 0)
    provider.up_in_s(30.0, (AMD64, farm.runner), "x")
    assert provider.standby_usd(60.0) == pytest.approx(11.0)
    with_price = replace(farm, price=Price(per="runner"))
    trace = traced(("app",), (30.0,), replace(with_price, idle_timeout_s=29.0))  # stops, and ends the run, at 60
    assert trace.meta.standby_usd == pytest.approx(11.0)


def test_boots_at_once_wait_first_come_first_served():
    names = tuple("abcde")
    farm = a_project_each(names, boot_s=10.0, boots_at_once=2)
    trace = traced(names, (0.0, 1.0, 2.0, 3.0, 40.0), farm)
    assert ends(trace) == {0: 11.0, 1: 12.0, 2: 21.0, 3: 22.0, 4: 51.0}


def test_half_of_fifty_cold_starts_at_once_wait_six_minutes():
    """farm-facts B: 8 cold starts at once, a fresh daemon takes 90 s; measured with 50 at once: p50 about 6 min."""
    provider = Provider(a_farm(boot_s=90.0, boots_at_once=8), 0)
    assert np.median([provider.up_in_s(0.0, KIND, str(at)) for at in range(50)]) == 360.0


def test_a_queued_boot_takes_a_standby_that_is_up_before_its_turn():
    """One boot at once. Both standbys go at 0, back at 10 and 20. The third would boot from 20 on: it takes the first."""
    provider = Provider(a_farm(boot_s=10.0, boots_at_once=1, standby_count=2, standby_boot_s=1.0), 0)
    assert [provider.up_in_s(0.0, KIND, "x") for _ in range(3)] == [1.0, 1.0, 11.0]


@settings(max_examples=200, deadline=None, print_blob=True)
@given(
    at_once=st.integers(1, 4),
    standby=st.integers(0, 3),
    gaps=st.lists(st.sampled_from([0.0, 0.5, 3.0, 20.0]), max_size=40),
    law=st.sampled_from(["fixed", "exponential"]),
)
def test_never_more_boots_at_once_and_nobody_waits_longer_than_in_a_queue(at_once, standby, gaps, law):
    """Every machine that comes up was booted: those of standby in advance, and no more of them than there are."""
    farm = a_farm(boot_s=5.0, boot_law=law, boots_at_once=at_once, standby_count=standby, standby_boot_s=0.0)
    provider, alone = Provider(farm, 3), Provider(replace(farm, boots_at_once=0, standby_count=0), 3)
    intervals = []
    real = Provider._boot

    def spied(self, now_s, name):
        in_s = real(self, now_s, name)
        takes_s = alone._draw_s(name)
        intervals.append((now_s + in_s - takes_s, now_s + in_s))
        return in_s

    now_s, ups = 0.0, []
    Provider._boot = spied
    try:
        for number, gap_s in enumerate(gaps):
            now_s += gap_s
            ups.append(now_s + provider.up_in_s(now_s, KIND, str(number)))
    finally:
        Provider._boot = real
    assert len(intervals) == len(gaps)
    for begins_s, _ in intervals:
        assert sum(one <= begins_s + 1e-9 and begins_s + 1e-9 < end for one, end in intervals) <= at_once
    booted = sorted([0.0] * standby + [end for _, end in intervals])
    assert all(up >= end - 1e-9 for up, end in zip(sorted(ups), booted, strict=False))


def test_exponential_boots_are_a_function_of_seed_and_runner():
    farm = a_farm(boot_s=20.0, boot_law="exponential")
    first, again, other = (
        [Provider(farm, seed).up_in_s(0.0, KIND, f"main {AMD64} {at}") for at in range(4000)] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert np.mean(first) == pytest.approx(20.0, rel=0.06)  # 3.3 sigma of 4000 draws: 5 %
    for share in (0.25, 0.5, 1.0, 2.0):
        assert np.mean(np.array(first) > 20.0 * share) == pytest.approx(exp(-share), abs=0.03)


def test_a_boot_does_not_shift_the_draws_of_another_project():
    names = ("a", "b")
    farm = a_project_each(names, boot_s=20.0, boot_law="exponential", idle_timeout_s=inf)
    both = traced(names, (0.0, 0.0), farm)
    alone = traced(("b",), (0.0,), a_project_each(("b",), boot_s=20.0, boot_law="exponential", idle_timeout_s=inf))
    assert alone.builds["ready_s"][0] in both.builds["ready_s"]
