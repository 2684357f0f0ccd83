"""What must hold for any farm and workload (hypothesis prints the failing example; runs are deterministic)."""

import os
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from builders import (
    AMD64,
    CONTEXT,
    FILES,
    Handmade,
    a_farm,
    a_request,
    a_rule,
    context,
    copy,
    locked,
    run,
    simulated,
    source,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.graph import Graph
from sim.profile import Profile

TARGETS = ("app", "web", "job")


@st.composite
def graphs(draw):
    """Three targets over one pool of steps, so that they share some; every later step may copy from earlier stages."""
    steps = [source(), context()]
    for number in range(draw(st.integers(1, 9))):
        base = draw(st.sampled_from([at for at, step in enumerate(steps) if step.kind != "context"]))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            steps.append(copy(f"c{number}", base, 1, draw(st.sampled_from(["/src", "/a.txt", "/"]))))
        elif kind == 1 and len(steps) > 3:
            steps.append(copy(f"f{number}", base, draw(st.integers(2, len(steps) - 1)), "/out"))
        else:
            mounts = (locked(),) if draw(st.integers(0, 3)) == 0 else ()
            steps.append(run(f"r{number}", base, mounts=mounts))
    made = {}
    for target in TARGETS:
        result = draw(st.integers(2, len(steps) - 1)) if len(steps) > 2 else 0
        made[target] = Graph(target, (AMD64,), tuple(steps), (result,), "Dockerfile", {CONTEXT: FILES})
    return Handmade(made)


@st.composite
def workloads(draw, with_no_cache=True):
    found, now_s, versions = [], 0.0, {}
    for index in range(draw(st.integers(1, 12))):
        now_s += draw(st.sampled_from([0.0, 0.5, 2.0, 15.0]))
        for path in draw(st.lists(st.sampled_from(["src/c.txt", "a.txt"]), max_size=1)):
            versions[path] = index + 1
        found.append(
            a_request(
                index,
                now_s,
                (draw(st.sampled_from(TARGETS)),),
                versions.items(),
                no_cache=with_no_cache and draw(st.integers(0, 5)) == 0,
                cancel_after_s=draw(st.sampled_from([None, None, None, 0.3, 3.0])),
            )
        )
    return found


FARMS = st.builds(
    lambda cpus, limit, slots, projects, boot: a_farm(
        cpus, TARGETS, limit, max_parallelism=slots, boot_s=boot, idle_timeout_s=5.0, projects=projects
    ),
    st.sampled_from([1.0, 2.0, 8.0]),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([0, 1, 2, 5]),
    st.sampled_from([dict.fromkeys(TARGETS, "main"), {target: target for target in TARGETS}]),
    st.sampled_from([0.0, 1.0]),
)
RULES = [
    a_rule("RUN r1*", cpu=4.0, threads=4.0, spread=0.5),
    a_rule("RUN r2*", latency=1.0, fails=0.2),
    a_rule("RUN r3*", cpu=1.0, same_output=True),
    a_rule("RUN r4*", cpu=1.0, same_output=0.5, serial=0.5),
    a_rule("RUN*", cpu=2.0, latency=0.2),
]


def executions(trace, but=()):
    """By (runner, key), the builds that executed a step of the graph, without the builds in `but`."""
    found = defaultdict(list)
    for row in trace.steps.rows():
        if row[5] == "executed" and row[4] in ("exec", "copy", "merge") and row[0] not in but:
            found[row[12], row[2]].append(row[0])
    return found


@settings(max_examples=150, deadline=None, print_blob=True)
@given(made=graphs(), requests=workloads(with_no_cache=False), farm=FARMS, ideal=st.booleans())
def test_no_step_executes_twice_on_a_runner(made, requests, farm, ideal):
    profile = Profile.ideal(RULES) if ideal else Profile.of(RULES)
    found = executions(simulated(made, requests, profile, farm, seed=7))
    assert {place: builds for place, builds in found.items() if len(builds) > 1} == {}


@settings(max_examples=100, deadline=None, print_blob=True)
@given(made=graphs(), requests=workloads(), farm=FARMS)
def test_beside_no_cache_builds_only_their_own_keys_execute_twice(made, requests, farm):
    """A --no-cache build takes a running step's place in BuildKit's index and empties it when it goes (tests/semantics)."""
    requests = [replace(one, cancel_after_s=None) if one.no_cache else one for one in requests]
    trace = simulated(made, requests, Profile.of(RULES), farm, seed=7)
    no_cache = {row[0] for row in trace.builds.rows() if requests[row[1]].no_cache}
    upset = {row[2] for row in trace.steps.rows() if row[0] in no_cache}
    found = executions(trace, but=no_cache)
    assert {place: builds for place, builds in found.items() if len(builds) > 1 and place[1] not in upset} == {}


@settings(max_examples=100, deadline=None, print_blob=True)
@given(made=graphs(), requests=workloads(), farm=FARMS)
def test_everything_ends_once_and_no_time_runs_backwards(made, requests, farm):
    trace = simulated(made, requests, Profile.of(RULES), farm, seed=7)
    steps, builds = trace.steps, trace.builds
    assert Counter(builds["request"].astype(int).tolist()) == Counter(range(len(requests)))
    began = builds["started_s"] == builds["started_s"]  # who gave up in the queue never began
    assert (builds["completed_s"] >= builds["started_s"] - 1e-9)[began].all()
    ran = steps["outcome"] == "executed"
    assert (steps["completed_s"][ran] >= steps["started_s"][ran] - 1e-9).all()
    assert (steps["started_s"][ran] >= steps["ready_s"][ran] - 1e-9).all()


@settings(max_examples=60, deadline=None, print_blob=True)
@given(made=graphs(), requests=workloads(), farm=FARMS)
def test_never_more_steps_at_once_than_slots(made, requests, farm):
    trace = simulated(made, requests, Profile.of(RULES), farm, seed=7)
    moves = defaultdict(list)
    for row in trace.steps.rows():
        owns = row[11] is None
        if owns and row[5] in ("executed", "failed") and row[4] in ("exec", "copy"):
            moves[row[12]] += [(row[8], 1), (row[9], -1)]
    for changes in moves.values():
        busy = 0
        for _, change in sorted(changes, key=lambda move: (round(move[0], 9), move[1])):
            busy += change
            assert not farm.max_parallelism or busy <= farm.max_parallelism


@settings(max_examples=40, deadline=None, print_blob=True)
@given(made=graphs(), requests=workloads(), farm=FARMS)
def test_the_same_seed_gives_the_same_tables(made, requests, farm):
    profile = Profile.of(RULES)
    first, second = (simulated(made, requests, profile, farm, seed=3) for _ in range(2))
    for kind in ("builds", "steps", "runners"):
        assert list(map(repr, first.table(kind).rows())) == list(map(repr, second.table(kind).rows()))


@settings(max_examples=40, deadline=None, print_blob=True)
@given(made=graphs(), requests=workloads(), farm=FARMS)
def test_what_only_a_clone_did_main_never_has(made, requests, farm):
    """A hit on a runner was executed on that runner, or on main before the runner forked from it."""
    farm = replace(farm, idle_timeout_s=float("inf"))
    trace = simulated(made, requests, Profile.of(RULES), farm, seed=7)
    clone_of = {row[0]: row[4] for row in trace.runners.rows()}
    forked_s = {row[0]: row[6] for row in trace.runners.rows()}
    pool_of = {row[0]: row[1] for row in trace.runners.rows()}
    done = defaultdict(list)
    rows = list(trace.steps.rows())
    for row in rows:
        if row[5] in ("executed", "shared") and row[9] is not None:
            done[row[12], row[2]].append(row[9])
    mains = {pool_of[runner]: runner for runner, main in clone_of.items() if main is None}
    for row in rows:
        if row[5] == "cached":
            runner, key, at_s = row[12], row[2], row[7]
            own = any(end_s <= at_s + 1e-9 for end_s in done[runner, key])
            main = mains[pool_of[runner]]
            forked = clone_of[runner] is not None and any(end_s <= forked_s[runner] + 1e-9 for end_s in done[main, key])
            assert own or forked


def test_results_do_not_depend_on_python_hash_seed():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from builders import a_farm, a_graph, a_request, a_rule, context, copy, run;"
        "from builders import simulated, source; from sim.profile import Profile;"
        "graph = a_graph(source(), context(), copy('s', 0, 1, '/src'), run('a', 2), run('b', 0), copy('o', 3, 4, '/o'));"
        "requests = [a_request(i, i * 1.5, changed=[('src/c.txt', i // 2)]) for i in range(6)];"
        "trace = simulated(graph, requests, Profile.of([a_rule('RUN*', cpu=3.0, spread=0.4)]), a_farm(max_parallelism=1));"
        "print(*map(repr, trace.steps.rows()), sep='\\n')"
    )
    here = str(Path(__file__).parent)
    printed = {
        subprocess.run(
            [sys.executable, "-c", code, here],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(printed) == 1
