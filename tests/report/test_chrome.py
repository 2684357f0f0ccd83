import json
import random
from collections import defaultdict
from itertools import pairwise

import pytest

from sim.report.chrome import Slice, lanes, to_chrome, write_chrome
from sim.trace import BUILDS, RUNNERS, STEPS, Meta, Trace


def a_row(names, **given):
    return tuple(given.get(name) for name in names)


def a_trace(seed):
    """Builds on a runner and its clone, with overlapping steps; every fourth waits for the step of the build before."""
    draw = random.Random(seed)
    builds, steps, before = [], [], None
    for build in range(60):
        ready_s = build * 2.0 + draw.random()
        runner, ends_s = build % 2, [ready_s]
        for number in range(6):
            begun_s = ready_s + draw.random() * 5
            row = {"build": build, "step": f"RUN {number}", "key": build * 10 + number + 1, "runner": runner}
            row |= {"kind": "exec", "outcome": "executed", "ready_s": begun_s, "started_s": begun_s}
            row |= {"completed_s": begun_s + draw.random() * 5 * draw.choice((0, 1)), "cpu_s": 1.0}
            if number == 0 and before is not None and build % 4 == 0 and before["completed_s"] > ready_s:
                row |= {"key": before["key"], "outcome": "shared", "shared_with": before["build"], "ready_s": ready_s}
                row |= {"completed_s": before["completed_s"], "cpu_s": None, "started_s": None}
            steps.append(row)
            ends_s.append(row["completed_s"])
        before = max((row for row in steps[-6:] if row["outcome"] == "executed"), key=lambda row: row["completed_s"])
        builds.append(
            a_row(
                BUILDS,
                build=build,
                request=build,
                lease=build,
                target="app",
                arrived_s=ready_s - 1,
                ready_s=ready_s,
                started_s=ready_s,
                completed_s=max(ends_s),
                outcome="ok",
                runner=runner,
            )
        )
    pool = {"project": "app", "platform": "linux/amd64", "cpus": 4}
    runners = [
        a_row(RUNNERS, runner=0, requested_s=-3.0, ready_s=0.0, **pool),
        a_row(RUNNERS, runner=1, requested_s=0.0, ready_s=0.0, clone_of=0, **pool),
    ]
    rows = {"builds": builds, "steps": [a_row(STEPS, **row) for row in steps], "runners": runners}
    return Trace.from_rows(rows, Meta("simulated"))


@pytest.fixture(params=[1, random.randrange(10**6)], ids=["fixed", "random"])  # workers of xdist collect alike
def trace(request):
    print("seed", request.param)
    return a_trace(request.param)


def slices(shown):
    return [event for event in shown["traceEvents"] if event["ph"] == "X"]


def test_bars_of_a_lane_never_overlap(trace):
    of_lane = defaultdict(list)
    for event in slices(to_chrome(trace)):
        of_lane[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert len({tid for _, tid in of_lane}) == len(of_lane)
    for spans in of_lane.values():
        spans.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_every_step_and_build_is_drawn_once(trace):
    found = slices(to_chrome(trace))
    assert sum(event["cat"] == "step" for event in found) == len(trace.steps)
    assert sum(event["cat"] == "build" for event in found) == len(trace.builds)
    assert sum(event["cat"] == "queue" for event in found) == len(trace.builds)
    assert sum(event["name"] == "boot" for event in found) == 1


def test_arrows_run_from_the_execution_to_the_waiter(trace):
    shown = to_chrome(trace)
    arrows = defaultdict(dict)
    for event in shown["traceEvents"]:
        if event["ph"] in "sf":
            arrows[event["id"]][event["ph"]] = event

    def under(arrow):
        return [
            bar
            for bar in slices(shown)
            if (bar["pid"], bar["tid"]) == (arrow["pid"], arrow["tid"])
            and bar["ts"] <= arrow["ts"] <= bar["ts"] + bar["dur"]
        ]

    shared = int(trace.steps.equals("outcome", "shared").sum())
    assert len(arrows) == shared > 0
    for ends in arrows.values():
        assert ends["s"]["ts"] <= ends["f"]["ts"]
        (source,), waiters = under(ends["s"]), under(ends["f"])
        waiter = next(bar for bar in waiters if bar["args"]["outcome"] == "shared")
        assert source["args"]["build"] == waiter["args"]["waited_for_build"]
        assert source["args"]["outcome"] == "executed"


def test_processes_are_named_after_runners(trace):
    names = [e["args"]["name"] for e in to_chrome(trace)["traceEvents"] if e["name"] == "process_name"]
    assert names == ["waiting for a runner", "app linux/amd64 #0", "app linux/amd64 #1 (clone of #0)"]


def test_counters_begin_and_end_at_zero_work(trace):
    level = defaultdict(list)
    for event in to_chrome(trace)["traceEvents"]:
        if event["ph"] == "C":
            level[event["pid"], event["name"]].append(event["args"][event["name"]])
    assert set(level) == {(pid, name) for pid in (2, 3) for name in ("leases", "busy cpus")}
    assert all(values[-1] == 0 and min(values) >= 0 for values in level.values())


def test_the_file_is_json(trace, tmp_path):
    write_chrome(trace, tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text()) == json.loads(json.dumps(to_chrome(trace)))


def test_rows_of_unknown_times_are_left_out():
    rows = {"builds": [a_row(BUILDS, build=0, runner=0)], "steps": [a_row(STEPS, build=0, step="RUN", runner=0)]}
    assert slices(to_chrome(Trace.from_rows(rows, Meta("measured")))) == []


def test_lanes_are_as_few_as_the_most_that_overlap():
    spans = [(0, 4), (1, 2), (2, 3), (4, 5), (4, 4)]
    found = lanes([Slice(begin, end, "", "", {}) for begin, end in spans])
    assert len(found) == 2


def test_exports_failures_and_evicted_steps_are_bars_of_their_build():
    common = {"build": 0, "runner": 0, "cpu_s": 1.0}
    steps = [
        {
            "step": "RUN a",
            "kind": "exec",
            "outcome": "executed",
            "miss": "evicted",
            "started_s": 0.0,
            "completed_s": 2.0,
        },
        {"step": "RUN b", "kind": "exec", "outcome": "failed", "reason": "out of memory (exit code 137)"}
        | {"started_s": 1.0, "completed_s": 3.0},
        {"step": "exporting to image", "kind": "export", "outcome": "executed", "started_s": 2.0, "completed_s": 4.0},
    ]
    build = a_row(BUILDS, build=0, request=0, lease=0, arrived_s=0.0, ready_s=0.0, completed_s=4.0, runner=0)
    runner = a_row(RUNNERS, runner=0, requested_s=0.0, ready_s=0.0)
    rows = {"builds": [build], "steps": [a_row(STEPS, **common, **row) for row in steps], "runners": [runner]}
    found = {
        bar["name"]: bar for bar in slices(to_chrome(Trace.from_rows(rows, Meta("simulated")))) if bar["cat"] == "step"
    }
    assert found["RUN a"]["args"]["miss"] == "evicted"
    assert found["RUN b"]["args"]["reason"] == "out of memory (exit code 137)"
    assert found["exporting to image"]["args"]["kind"] == "export"
    assert found["exporting to image"]["tid"] == found["RUN a"]["tid"]  # it begins where that ends
    assert {bar["pid"] for bar in found.values()} == {2}
