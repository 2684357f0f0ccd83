import dataclasses
import json
import random

import pytest

from sim.metrics import objective, summarise
from sim.metrics.steps import Wait
from sim.trace import Prices


def test_requests_end_with_their_last_build(make):
    one = summarise(make())[0]
    assert (one.requests, one.builds) == (3, 4)
    assert one.request_outcomes == {"ok": 2, "failed": 1}
    assert one.failures == {"exit code 1": 1}
    # 70, 35, 40
    assert one.duration_s.mean == pytest.approx(145 / 3)
    assert (one.duration_s.p50, one.duration_s.max) == (40, 70)


def test_booting_is_no_queueing(make):
    one = summarise(make())[0]
    assert one.boot_s.total == 10 + 10 + 5
    assert one.queue_s.total == 10  # build 3 found both runners up and full


def test_a_build_that_gave_up_queued_until_its_end(make, builds):
    one = summarise(make(builds=[*builds, (4, 3, 3, "web", 50, None, 350, "timed_out", "no machine", None)]))[0]
    assert one.queue_s.max == 300
    assert one.money.lease_usd == pytest.approx(0.12)
    assert one.request_outcomes["timed_out"] == 1


def test_dedup_names_who_waited_for_whom(make):
    found = summarise(make())[0].dedup
    assert found.wait_s.total == 25
    assert found.top == (Wait(1, "api", 0, 0, "web", 0, "npm ci", 25.0),)


def test_a_wait_does_not_begin_before_the_build(make, steps):
    steps[2] = (1, "npm ci", 7, "exec", "shared", 5, 5, 40, None, 0, 0, None, None)
    assert summarise(make(steps=steps))[0].dedup.wait_s.total == 30  # from its start at 10


def test_a_shared_failure_is_a_wait_and_no_execution(make, steps):
    more = (2, "test", 8, "exec", "failed", 45, None, 60, None, 3, 1, None, None)
    one = summarise(make(steps=[*steps, more]))[0]
    assert one.dedup.wait_s.total == 25 + 15
    assert one.steps.outcomes["failed"] == 2


def test_steps_by_outcome_leave_overhead_out(make):
    found = summarise(make())[0].steps
    assert found.outcomes == {"executed": 2, "cached": 2, "shared": 1, "failed": 1, "cancelled": 0}
    assert found.misses == {"clone": 1, "cold": 1}
    assert found.clone_repeats == 1


def test_waits_for_slots_and_locks(make):
    one = summarise(make())[0]
    assert one.slot_wait_s.total == 2
    assert one.lock_wait_s.total == 3


def test_utilisation_is_of_the_cpus_that_were_up(make):
    (pool,) = summarise(make())[0].pools
    assert (pool.pool, pool.runners, pool.clones) == ("app linux/amd64", 2, 1)
    assert pool.up_s == 160
    assert pool.utilisation == pytest.approx((1 + 20 + 18 + 5) / (4 * 160))


def test_money_by_lease_and_by_runner(make):
    money = summarise(make())[0].money
    # leases 60 + 30 + 30 s, runners 100 + 60 s, at 0.06 a minute; waiting 145 s at 36 an hour
    assert money.lease_usd == money.minutes_usd == pytest.approx(0.12)
    assert money.runner_usd == pytest.approx(0.16)
    assert money.waiting_usd == pytest.approx(1.45)
    assert money.total_usd == pytest.approx(1.57)
    assert money.per_request_usd == pytest.approx(1.57 / 3)
    assert money.left_out == ("cache",)


def test_money_per_runner_when_runners_are_billed(make):
    prices = Prices({"app linux/amd64": 0.06}, "runner", 0.0, 0.0)
    assert summarise(make(prices=prices))[0].money.total_usd == pytest.approx(0.16)


@pytest.mark.parametrize(("per", "paid_usd"), [("lease", 0.0), ("runner", 3.0)])
def test_standby_is_paid_by_who_pays_for_runners(make, per, paid_usd):
    prices = Prices({"app linux/amd64": 0.06}, per, 0.0, 0.0)
    with_it, without = (make(prices=prices, standby_usd=usd) for usd in (3.0, 0.0))
    money = summarise(with_it)[0].money
    assert money.standby_usd == pytest.approx(paid_usd)
    assert money.total_usd == pytest.approx(summarise(without)[0].money.total_usd + paid_usd)
    assert objective(with_it, "cost_total") == pytest.approx(money.total_usd)
    late = summarise(make(prices=prices, standby_usd=3.0, warmup_s=22.0))[0]
    assert late.money.standby_usd == pytest.approx(paid_usd * (110 - 22) / 110)


def test_targets_split_what_they_use_together(make):
    api, web = summarise(make(), by="target")
    assert (api.group, web.group) == ("api", "web")
    assert (api.requests, web.requests) == (1, 3)
    assert api.duration_s.max == 40
    # lease 0 lasted 60 s, for builds of 60 and 30 s; runner 0 was up 100 s, for 60 + 30 and 30 s
    assert api.lease_minutes == pytest.approx(20 / 60)
    assert web.lease_minutes == pytest.approx((40 + 30 + 30) / 60)
    assert api.runner_minutes == pytest.approx(25 / 60)
    assert web.runner_minutes == pytest.approx((75 + 60) / 60)
    assert api.prior_share is None


@pytest.mark.parametrize("by", ["project", "platform"])
def test_one_group_is_the_whole(make, by):
    (one,), (whole,) = summarise(make(), by=by), summarise(make())
    assert dataclasses.replace(one, group="hand") == whole


def test_the_warm_up_is_left_out(make):
    one = summarise(make(warmup_s=20.0))[0]
    assert one.requests == 2
    assert one.duration_s.max == 40
    assert one.dedup.wait_s.total == 0
    assert one.steps.outcomes["executed"] == 1
    assert one.lease_minutes == 1.0
    # up from 20 to 110 and from 25 to 85; npm ci ran 20 of its 28 s after the warm-up
    assert one.runner_minutes == pytest.approx((90 + 60) / 60)
    assert one.pools[0].cpu_s == pytest.approx(20 * 20 / 28 + 18 + 5)


def test_a_runner_without_builds_is_paid_by_its_pool(make):
    idle = (2, "app", "linux/amd64", 4, 0, 100, 100, 160, None)
    trace = make(runners=[(0, "app", "linux/amd64", 4, None, 0, 10, 110, None), idle])
    assert summarise(trace)[0].runner_minutes == pytest.approx((100 + 60) / 60)


def test_a_runner_that_never_stopped_is_up_until_the_horizon(make):
    trace = make(runners=[(0, "app", "linux/amd64", 4, None, 0, 10, None, None)], horizon_s=130.0)
    assert summarise(trace)[0].runner_minutes == pytest.approx(2.0)


def test_cache_is_billed_for_the_base_and_not_for_clones(make):
    samples = [
        {"time_s": 0, "runner": 0, "cache_bytes": 1e9},
        {"time_s": 60, "runner": 0, "cache_bytes": 2e9},
        {"time_s": 60, "runner": 1, "cache_bytes": 9e9},
    ]
    prices = Prices({"app linux/amd64": 0.06}, "lease", 0.2, None)
    sampled = summarise(make(samples=samples, prices=prices))[0].money
    stated = summarise(make(cache_byte_s=160e9, prices=prices))[0].money
    # 1 GB for 60 s, then 2 GB until the last runner stops at 110 s: 160 GB s of an average month of 730 h
    assert sampled.cache_usd == stated.cache_usd == pytest.approx(0.2 * 160 / (730 * 3600))
    assert stated.left_out == ("waiting",)


def test_what_a_trace_cannot_know_is_na(make, builds):
    one = summarise(make(steps=(), runners=(), prices=Prices()))[0]
    assert one.steps.outcomes is one.work.cpu_s is one.dedup.wait_s.total is one.work.would_have_s is None
    assert one.slot_wait_s.mean is one.runner_minutes is one.money.total_usd is one.boot_s.mean is None
    assert one.lease_minutes == 2.0
    assert one.duration_s.max == 70


def test_unknown_cpu_makes_sums_na_and_not_small(make, steps):
    steps[1] = (*steps[1][:11], None, "cold")
    one = summarise(make(steps=steps))[0]
    assert one.work.saved_dedup_s is one.work.cpu_s is one.pools[0].utilisation is None


def test_priors_share_of_the_predicted_time(make):
    assert summarise(make(origin_s={"prior": 30.0, "rule": 70.0}))[0].prior_share == pytest.approx(0.3)


def test_an_empty_trace_has_a_summary(make):
    one = summarise(make(builds=(), steps=(), runners=()))[0]
    assert one.requests == 0
    assert one.money.per_request_usd is None


def test_json_holds_plain_values_only(make):
    found = json.loads(json.dumps(summarise(make())[0].to_json(), allow_nan=False))
    assert found["dedup"]["top"][0]["step"] == "npm ci"
    assert found["money"]["cache_usd"] is None


def test_groups_add_up_to_the_whole(make):
    seed = random.randrange(10**6)
    print("seed", seed)
    draw = random.Random(seed)
    rows = []
    for build in range(200):
        ready_s = draw.uniform(0, 1000)
        runner = draw.randrange(2)
        rows.append(
            (
                build,
                build // 3,
                (build // 3) * 2 + runner,
                draw.choice("abc"),
                0.0,
                ready_s,
                ready_s + draw.expovariate(0.01),
                "ok",
                None,
                runner,
            )
        )
    runners = [(0, "app", "linux/amd64", 4, None, 0, 0, None, None), (1, "app", "linux/amd64", 4, 0, 0, 0, None, None)]
    trace = make(builds=rows, steps=(), runners=runners)
    whole, parts = summarise(trace)[0], summarise(trace, by="target")
    for name in ("lease_usd", "runner_usd"):
        assert sum(getattr(part.money, name) for part in parts) == pytest.approx(getattr(whole.money, name))
