"""Random farms and workloads with everything on: each run ends, and nothing is lost, kept or counted twice.

In: `stress_worlds.worlds`, `stress_invariants.EVERY`. Out: passed, or the example that fails. `make test` takes the same
examples each time; `BUILDCAST_STRESS=2000` takes that many new ones, and prints how to repeat one that fails.
"""

from __future__ import annotations

import os
from dataclasses import replace
from math import inf, nan

import pytest
from builders import Handmade, a_farm, a_graph, a_request, ideal, run, source
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stress_invariants import EVERY
from stress_runs import simulated, whole_run
from stress_worlds import worlds

from sim.errors import InputError
from sim.graph import Link
from sim.model.simulate import simulate
from sim.scenario.farm import Autoscaling, Override

SOAK = int(os.environ.get("BUILDCAST_STRESS", "0"))
EXAMPLES = settings(
    max_examples=SOAK or 100,
    derandomize=not SOAK,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
SPEEDS = ("cpus", "network_bytes_per_s", "disk_read_bytes_per_s", "disk_write_bytes_per_s")


@EXAMPLES
@given(worlds())
def test_whatever_the_farm_every_invariant_holds(drawn):
    ran = whole_run(drawn)
    for holds in EVERY:
        holds(ran)


@EXAMPLES
@given(worlds())
def test_the_same_seed_gives_the_same_tables_with_or_without_steps(drawn):
    first, second, bare, sampled = (simulated(drawn, **how) for how in ({}, {}, {"steps": False}, {"samples_s": 1.7}))
    for kind in ("builds", "steps", "runners"):
        assert shown(first, kind) == shown(second, kind) == shown(sampled, kind)
        if kind != "steps":
            assert shown(first, kind) == shown(bare, kind)


def shown(trace, kind):
    return list(map(repr, trace.table(kind).rows()))


def with_runner(farm, **fields):
    return replace(farm, runner=replace(farm.runner, **fields), overrides=())


def with_first(requests, **fields):
    return [replace(requests[0], **fields), *requests[1:]]


OF_FARMS = {
    **{f"runner.{name}": lambda farm, name=name: with_runner(farm, **{name: 0.0}) for name in SPEEDS},
    **{
        f"host.{name}": lambda farm, name=name: replace(farm, host=replace(farm.runner, **{name: nan}))
        for name in SPEEDS
    },
    **{name: lambda farm, name=name: replace(farm, **{name: inf}) for name in ("boot_s", "clone_s", "standby_boot_s")},
    "override": lambda farm: replace(farm, overrides=(Override(None, None, replace(farm.runner, cpus=0.0)),)),
    "builds_per_instance": lambda farm: replace(farm, autoscaling=Autoscaling(builds_per_instance=0)),
    "max_instances": lambda farm: replace(farm, autoscaling=Autoscaling(max_instances=0)),
    "platforms": lambda farm: replace(farm, platforms={"windows/amd64": 1.0}),
    "slowdown": lambda farm: replace(farm, platforms=dict.fromkeys(farm.platforms, inf)),
    "projects": lambda farm: replace(farm, projects={}),
    "idle_timeout_s": lambda farm: replace(farm, idle_timeout_s=-1.0),
    "acquire_timeout_s": lambda farm: replace(farm, acquire_timeout_s=nan),
}
OF_REQUESTS = {
    "needs itself": lambda requests: with_first(requests, needs=(0,)),
    "after nobody": lambda requests: with_first(requests, after=99),
    "never arrives": lambda requests: with_first(requests, arrived_s=inf),
    "never sends": lambda requests: with_first(requests, uplink_bytes_per_s=0.0),
    "cancelled before": lambda requests: with_first(requests, cancel_after_s=-1.0),
}


@EXAMPLES
@given(worlds(), st.sampled_from([*OF_FARMS, *OF_REQUESTS]))
def test_what_can_never_be_served_is_told_in_one_line(drawn, why):
    if why in OF_FARMS:
        impossible = replace(drawn, farm=OF_FARMS[why](drawn.farm))
    else:
        impossible = replace(drawn, requests=OF_REQUESTS[why](drawn.requests))
    with pytest.raises(InputError) as told:
        whole_run(impossible)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 200


def test_a_consumer_whose_base_nobody_builds_is_told_before_the_run():
    base = a_graph(source(), run("base", 0), target="base")
    app = a_graph(source(), run("base", 0), run("app", 1), target="app", links=(Link("base", 1),))
    made = Handmade({"app": app, "base": base}, {"app": ("base",)}, bake=True)
    farm = a_farm(targets=("app", "base"), projects={"app": "a", "base": "b"})
    with pytest.raises(InputError, match="builds app, which imports base, and not base itself"):
        simulate(farm, [a_request(0)], ideal(), made)
