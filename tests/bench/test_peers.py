"""The bench's peers equal each other, and closed forms where there are any. Only then do their speeds compare."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import heap_loop, naive
from tests.bench.work import CAPS_CORES, Step, WorkB, WorkC, build, work_b, work_c

PEERS = [naive, heap_loop]


@pytest.mark.parametrize("seed", range(5))
def test_peers_agree_on_random_builds(seed: int) -> None:
    work = work_c(150, seed, machines=3, placement="random")
    assert heap_loop.run_work_c(work) == pytest.approx(naive.run_work_c(work), rel=1e-9)


@pytest.mark.parametrize("clients", [1, 2, 8, 40])
def test_peers_agree_on_a_closed_loop(clients: int) -> None:
    work = work_b(clients, completions=300)
    assert heap_loop.run_work_b(work) == pytest.approx(naive.run_work_b(work), rel=1e-9)


def test_rates_by_class_are_the_rates_of_progressive_filling() -> None:
    random = Random(7)
    for _ in range(200):
        caps_cores = random.choices(CAPS_CORES, k=random.randint(1, 30))
        machine = heap_loop.Machine(random.randint(1, 16))
        for job, cap_cores in enumerate(caps_cores):
            machine.add(heap_loop.CLASS_OF[cap_cores], 1.0, job)
        machine.share(0.0)
        rates = [machine.rates[heap_loop.CLASS_OF[cap_cores]] for cap_cores in caps_cores]
        assert rates == pytest.approx(naive.fair_rates(caps_cores, machine.cores), rel=1e-12), caps_cores


def test_fair_rates_by_hand() -> None:
    # 8 cores for caps 4, 1, 4, 2: the caps of 1 and 2 are met, the others halve the remaining 5.
    assert naive.fair_rates([4, 1, 4, 2], 8) == [2.5, 1, 2.5, 2]


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("cap_cores", CAPS_CORES)
def test_a_job_alone_runs_at_its_cap(peer: ModuleType, cap_cores: int) -> None:
    works_core_s = [3.0, 1.0, 2.0, 9.0]
    assert peer.run_work_b(WorkB(8, [cap_cores], works_core_s, completions=3)) == pytest.approx(2.0 / cap_cores)


@pytest.mark.parametrize("peer", PEERS)
def test_equal_jobs_share_the_cores_evenly(peer: ModuleType) -> None:
    # 16 equal jobs of 1 core-second on 8 cores: each runs at half a core, all end together.
    assert peer.run_work_b(WorkB(8, [1] * 16, [1.0] * 64, completions=48)) == pytest.approx(2.0, rel=1e-9)


@pytest.mark.parametrize("peer", PEERS)
def test_two_builds_share_one_core(peer: ModuleType) -> None:
    # 1 and 2 core-seconds on one core: the short one ends at 2 s, the long one at 3 s.
    builds = [build(0.0, 0, [Step(1.0, 1)]), build(0.0, 0, [Step(2.0, 1)])]
    assert peer.run_work_c(WorkC(1, 1, builds)) == pytest.approx(2.5, rel=1e-12)


@pytest.mark.parametrize("peer", PEERS)
def test_a_late_build_slows_a_running_one(peer: ModuleType) -> None:
    # One core. The first (2 core-s) runs alone for 1 s, then at half a core: it ends at 3 s. The second (1.5 core-s)
    # has 0.5 core-s left by then and the core for itself: it ends at 3.5 s.
    builds = [build(0.0, 0, [Step(2.0, 1)]), build(1.0, 0, [Step(1.5, 1)])]
    assert peer.run_work_c(WorkC(1, 1, builds)) == pytest.approx((3.0 + 2.5) / 2, rel=1e-12)


@pytest.mark.parametrize("peer", PEERS)
def test_enough_cores_give_the_critical_path(peer: ModuleType) -> None:
    work = work_c(1, seed=3, cores=80)
    ends_s: list[float] = []
    for step in work.builds[0].steps:
        began_s = max((ends_s[given] for given in step.after), default=0.0)
        ends_s.append(began_s + step.work_core_s / step.cap_cores)
    assert peer.run_work_c(work) == pytest.approx(max(ends_s), rel=1e-9)


@pytest.mark.parametrize("peer", PEERS)
def test_one_core_gives_the_total_work(peer: ModuleType) -> None:
    work = work_c(1, seed=4, cores=1)
    assert peer.run_work_c(work) == pytest.approx(sum(step.work_core_s for step in work.builds[0].steps), rel=1e-9)


def test_four_cores_at_cap_one_are_an_m_m_4_queue() -> None:
    # Sharing with cap 1 has M/M/4's number of jobs (simulators.md 5). rho 0.5: Erlang C = 0.17391, E[T] = 1 + C/(4-2).
    means_s = []
    for seed in range(20):
        drawn = work_c(2000, seed, steps=1, machines=1, cores=4, utilisation=0.5)
        builds = [build(one.arrived_s, 0, [Step(one.steps[0].work_core_s, 1)]) for one in drawn.builds]
        means_s.append(heap_loop.run_work_c(WorkC(1, 4, builds)))
    # 3.29 sigma: one false alarm in 1,000 seeds (simulators.md 5).
    assert abs(fmean(means_s) - 1.0869565) <= 3.29 * stdev(means_s) / len(means_s) ** 0.5


def test_the_same_seed_draws_the_same_work() -> None:
    assert work_c(20, seed=5) == work_c(20, seed=5)
    assert work_b(4, 20, seed=5) == work_b(4, 20, seed=5)
    assert work_c(20, seed=5) != work_c(20, seed=6)


def test_work_c_keeps_the_machines_as_busy_as_asked() -> None:
    work = work_c(3000, seed=1)
    total_core_s = sum(step.work_core_s for one in work.builds for step in one.steps)
    # 3,000 gaps of cv 1 and 60,000 works of cv 1: sigma of the ratio is 1.9 %.
    assert total_core_s / (work.builds[-1].arrived_s * 16 * 8) == pytest.approx(0.7, rel=3.29 * 0.019)
