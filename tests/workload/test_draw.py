"""The draw: jobs of a push, content, closed clients, re-runs, limits; and that entries never shift each other."""

import os
import subprocess
import sys
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.workload import Content, draw

CHANGES = [{"paths": ["app/package.json"], "share": "20%"}, {"paths": ["app/src/"], "share": "60%"}]


def an_entry(**changed):
    return {"build": ["app"], "arrivals": {"rate": "12/h"}, "changes": CHANGES} | changed


def test_jobs_of_a_push_share_a_commit_and_wait_for_what_they_need(a_scenario, graphs):
    jobs = [
        {"build": ["app"]},
        {"build": ["test"], "after": "5s"},
        {"build": ["test"], "needs": ["app"], "after": "2s"},
    ]
    entry = {"jobs": jobs, "arrivals": {"times": ["0s", "3s"]}, "changes": [{"paths": ["app/src/"], "share": "100%"}]}
    requests = draw(a_scenario(entry), graphs, 1)
    assert [(r.arrived_s, r.asked, r.job, r.needs, r.after_s, r.commit) for r in requests] == [
        (0.0, "app", 0, (), 0.0, 1),
        (0.0, "test", 2, (0,), 2.0, 1),
        (3.0, "app", 0, (), 0.0, 2),
        (5.0, "test", 1, (), 0.0, 1),
        (0.0, "test", 2, (2,), 2.0, 2),
        (8.0, "test", 1, (), 0.0, 2),
    ]
    assert [r.index for r in requests] == list(range(6))
    assert {r.content for r in requests if r.commit == 1} == {Content((("app/src/", 1),))}
    assert {r.content for r in requests if r.commit == 2} == {Content((("app/src/", 2),))}


def test_requests_of_one_time_keep_the_order_of_the_entries(a_scenario, graphs):
    entries = [{"build": [name], "arrivals": {"times": ["1s"]}} for name in ("test", "app", "default")]
    requests = draw(a_scenario(*entries), graphs, 1)
    assert [(r.asked, r.targets) for r in requests] == [
        ("test", ("test",)),
        ("app", ("app",)),
        ("default", ("app", "test")),
    ]


def test_edits_are_seen_from_their_time_on(a_scenario, graphs):
    edits = [
        {"at": "1s", "path": "app/src/a"},
        {"at": "2s", "path": "app/src/a", "content": "same"},
        {"at": "3s", "path": "app/src/a"},
    ]
    entry = {"build": ["app"], "arrivals": {"times": ["0.5s", "1s", "2.5s", "4s", "5s"]}, "checkout": "kept"}
    requests = draw(a_scenario(entry, edits=edits), graphs, 1)
    versions = [dict(r.content.versions).get("app/src/a") for r in requests]
    assert versions[0] is None
    assert versions[1] == versions[2] != versions[3] == versions[4]
    assert [r.touched for r in requests] == [(), ("app/src/a",), ("app/src/a",), ("app/src/a",), ()]
    assert not requests[0].fresh_checkout


def test_a_touch_stands_until_its_path_is_written(a_scenario, graphs):
    edits = [{"at": "1s", "path": "app/src/", "content": "same"}, {"at": "2s", "path": "app/x", "content": "same"}]
    edits += [{"at": "3s", "path": "app/x"}, {"at": "5s", "path": "app/x", "content": "same"}]
    entry = an_entry(arrivals={"times": ["1.5s"]}, changes=[{"paths": ["app/src/"], "share": "100%"}])
    reader = {"build": ["test"], "arrivals": {"times": ["1s", "2s", "3s", "5s"]}}
    requests = [r for r in draw(a_scenario(reader, entry, edits=edits), graphs, 1) if r.entry == 0]
    assert [r.touches for r in requests] == [(("app/src/", -1),), (("app/x", -2),), (), (("app/x", -4),)]


def test_a_kept_checkout_is_a_branchs_or_a_closed_clients_and_a_fresh_ones_nobodys(a_scenario, graphs):
    kept = an_entry(checkout="kept", branches=3, uplink="80Mbit/s")
    closed = an_entry(checkout="kept", arrivals={"clients": 2, "think": "10m"})
    requests = draw(a_scenario(an_entry(), kept, kept, closed, horizon="20h"), graphs, 1)
    by_entry = [[r for r in requests if r.entry == entry] for entry in range(4)]
    clients = [{r.client for r in drawn} for drawn in by_entry]
    assert clients[0] == {None}
    assert [len(found) for found in clients] == [1, 3, 3, 2]
    assert len(set.union(*clients)) == 9
    assert {(r.branch, r.client) for r in by_entry[1]} == set(enumerate(sorted(clients[1])))
    assert [{r.uplink_bytes_per_s for r in drawn} for drawn in by_entry] == [{inf}, {10e6}, {10e6}, {inf}]


def test_an_edit_is_touched_for_each_target_once(a_scenario, graphs):
    entries = [{"build": [name], "arrivals": {"times": ["1s", "2s"]}} for name in ("app", "test")]
    requests = draw(a_scenario(*entries, edits=[{"at": "0s", "path": "app/x"}]), graphs, 1)
    assert [(r.asked, r.touched) for r in requests] == [
        ("app", ("app/x",)),
        ("test", ("app/x",)),
        ("app", ()),
        ("test", ()),
    ]


def test_rows_come_with_their_shares(a_scenario, graphs):
    requests = draw(a_scenario(an_entry(), requests=4000), graphs, 5)
    shares = {paths: sum(r.touched == paths for r in requests) / 4000 for paths in {r.touched for r in requests}}
    assert shares == pytest.approx({("app/package.json",): 0.2, ("app/src/",): 0.6, (): 0.2}, abs=0.03), "seed 5"


def test_commits_of_a_branch_build_on_each_other_and_start_from_the_trunk(a_scenario, graphs):
    requests = draw(a_scenario(an_entry(branches=3), requests=300), graphs, 2)
    known: dict[int, dict[str, int]] = {0: {}}
    for request in requests:
        state = known.setdefault(request.branch, dict(known[0]))
        state.update(dict.fromkeys(request.touched, request.commit))
        assert dict(request.content.versions) == state
    assert sorted(known) == [0, 1, 2]


def test_a_nightly_entry_sees_what_pushes_left_on_the_trunk(a_scenario, graphs):
    push = an_entry(arrivals={"times": ["1s"]}, changes=[{"paths": ["app/src/"], "share": "100%"}])
    nightly = {"build": ["default"], "arrivals": {"times": ["0s", "9s"]}}
    before, push, after = draw(a_scenario(push, nightly), graphs, 1)
    assert before.content == Content()
    assert after.content == push.content != Content()


def test_closed_clients_chain_and_think(a_scenario, graphs):
    entry = {"build": ["app"], "arrivals": {"clients": 3, "think": "10m"}}
    requests = draw(a_scenario(entry, horizon="200h"), graphs, 4)
    firsts = [r for r in requests if r.after is None]
    later = [r for r in requests if r.after is not None]
    assert len(firsts) == 3
    assert all(r.arrived_s == 0 and r.after < r.index and r.think_s > 0 for r in later)
    followed = [r.after for r in later]
    assert len(set(followed)) == len(followed)
    thinks = [r.think_s for r in later]
    assert sum(thinks) / len(thinks) == pytest.approx(600, rel=0.1), "seed 4"
    assert len(requests) == pytest.approx(
        3 * 200 * 6, rel=0.1
    )  # as if builds took no time: an upper bound on what comes


def test_reruns_follow_the_former_attempt_on_the_same_commit(a_scenario, graphs):
    requests = draw(a_scenario(an_entry(reruns={"share": "30%", "after": "60s"}), requests=3000), graphs, 3)
    again = [r for r in requests if r.attempt]
    for request in again:
        former = requests[request.after]
        assert (former.commit, former.attempt + 1, former.content) == (request.commit, request.attempt, request.content)
        assert (request.think_s, request.arrived_s) == (60.0, 0.0)
    assert len(again) / len(requests) == pytest.approx(0.3, abs=0.04), "geometric: share of all, seed 3"


def test_a_newer_request_of_the_branch_supersedes(a_scenario, graphs):
    requests = draw(a_scenario(an_entry(branches=2, cancel_superseded=True), an_entry(), requests=200), graphs, 8)
    for request in requests:
        later = [r.index for r in requests[request.index + 1 :] if (r.entry, r.branch) == (0, request.branch)]
        assert request.superseded_by == (later[0] if later and request.entry == 0 else None)


def test_failing_commits_name_a_step_of_their_own_graphs(a_scenario, graphs):
    entry = an_entry(
        build=None, jobs=[{"build": ["app"]}, {"build": ["test"]}], fails={"rate": "25%", "after_failure": "60%"}
    )
    requests = draw(a_scenario(entry, requests=2000), graphs, 6)
    failing = [r for r in requests if r.job == 0 and (r.failing or requests[r.index + 1].failing)]
    assert len(failing) / 1000 == pytest.approx(0.25, abs=0.06), "seed 6"
    for request in requests:
        own = {s.digest for t in request.targets for p in graphs.platforms(t) for s in graphs.graph(t, (), (p,)).steps}
        assert request.failing <= own
        assert len(request.failing) in (0, len(graphs.platforms(request.asked)))
        if "app/src/" in request.touched and request.failing:
            assert all("npm run build" in digest for digest in request.failing)


def test_horizon_and_number_end_the_draw(a_scenario, graphs):
    within = draw(a_scenario(an_entry(), horizon="10h"), graphs, 1)
    assert max(r.arrived_s for r in within) < 36000
    assert [len(draw(a_scenario(an_entry(), an_entry(), requests=n), graphs, 1)) for n in (1, 7, 300)] == [1, 7, 300]
    assert draw(a_scenario(an_entry(), horizon="20h"), graphs, 1)[: len(within)] == within


def test_job_options_arrive(a_scenario, graphs):
    entry = {
        "build": ["app"],
        "arrivals": {"times": ["0s"]},
        "args": {"V": "1"},
        "no_cache": True,
        "cancel_after": "2s",
    }
    (request,) = draw(a_scenario(entry), graphs, 1)
    assert (request.args, request.no_cache, request.cancel_after_s) == ((("V", "1"),), True, 2.0)


def unplaced(requests, entry):
    """An entry's requests without what others have a part in: places in the list, and the trunk's content."""
    position = {r.index: n for n, r in enumerate(r for r in requests if r.entry == entry)}
    return [
        replace(
            r,
            index=0,
            content=Content(),
            needs=tuple(position[need] for need in r.needs),
            after=None if r.after is None else position[r.after],
            superseded_by=None if r.superseded_by is None else position[r.superseded_by],
        )
        for r in requests
        if r.entry == entry
    ]


ENTRIES = st.fixed_dictionaries(
    {
        "arrivals": st.one_of(
            st.fixed_dictionaries(
                {
                    "rate": st.sampled_from(["1/h", "12/h", "60/h"]),
                    "cv": st.sampled_from([0.5, 1, 2.7]),
                    "pattern": st.sampled_from(["flat", "weekly", "office_hours"]),
                }
            ),
            st.fixed_dictionaries({"clients": st.integers(1, 3), "think": st.just("10m")}),
        ),
        "branches": st.integers(1, 4),
        "reruns": st.sampled_from([None, {"share": "20%", "after": "1m"}]),
        "fails": st.sampled_from([{}, {"rate": "12%", "after_failure": "71%"}]),
        "cancel_superseded": st.booleans(),
        "changes": st.sampled_from([CHANGES, [], CHANGES[:1]]),
        "build": st.sampled_from([["app"], ["test"], ["default"]]),
    }
)


@settings(max_examples=40, deadline=None)
@given(first=ENTRIES, second=ENTRIES, other=ENTRIES, seed=st.integers(0, 2**64))
def test_changing_an_entry_never_shifts_anothers_draws(a_scenario, graphs, first, second, other, seed):
    before = draw(a_scenario(first, second, horizon="5h"), graphs, seed)
    after = draw(a_scenario(first, other, horizon="5h"), graphs, seed)
    alone = draw(a_scenario(first, horizon="5h"), graphs, seed)
    assert unplaced(before, 0) == unplaced(after, 0) == unplaced(alone, 0)
    moved = draw(a_scenario(other, second, horizon="5h"), graphs, seed)
    assert unplaced(before, 1) == unplaced(moved, 1)


@settings(max_examples=20, deadline=None)
@given(entry=ENTRIES, seed=st.integers(0, 2**64))
def test_each_property_has_a_stream_of_its_own(a_scenario, graphs, entry, seed):
    """Failures, re-runs and branches on or off: when pushes come and what they change stays."""

    def pushes(scenario):
        return {r.commit: (r.touched, r.branch) for r in draw(scenario, graphs, seed) if not r.attempt}

    plain = entry | {"fails": {}, "reruns": None, "cancel_superseded": False}
    drawn, without = pushes(a_scenario(entry, horizon="5h")), pushes(a_scenario(plain, horizon="5h"))
    assert drawn.items() <= without.items()
    assert "clients" in entry["arrivals"] or len(drawn) == len(without)  # re-runs hold a client up: it pushes less


@settings(max_examples=20, deadline=None)
@given(first=ENTRIES, second=ENTRIES, seed=st.integers(0, 2**64))
def test_what_a_request_waits_for_stands_before_it(a_scenario, graphs, first, second, seed):
    for request in draw(a_scenario(first, second, horizon="3h"), graphs, seed):
        assert all(need < request.index for need in request.needs)
        assert request.after is None or request.after < request.index
        assert request.superseded_by is None or request.superseded_by > request.index


def test_the_same_seed_draws_the_same_under_another_hash_seed():
    program = """
import hashlib, runpy, sys
from sim.workload import draw
world = runpy.run_path(sys.argv[1])
changes = [{"paths": ["app/src/", "app/a"], "share": "70%"}]
entry = {"build": ["default"], "arrivals": {"rate": "12/h", "cv": 2.7}, "branches": 4, "changes": changes}
scenario = world["make_scenario"](entry | {"fails": {"rate": "20%"}}, requests=200)
drawn = [(r.arrived_s, r.content, r.touched, sorted(r.failing)) for r in draw(scenario, world["make_graphs"](), 9)]
print(hashlib.sha256(repr(drawn).encode()).hexdigest())
"""
    answers = {
        subprocess.run(
            [sys.executable, "-c", program, str(Path(__file__).with_name("conftest.py"))],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "77")
    }
    assert len(answers) == 1
    assert len(answers.pop()) == 65


def test_a_csv_file_gives_times_targets_and_branches(a_scenario, graphs, tmp_path):
    (tmp_path / "log.csv").write_text(
        "time,target,branch\n2026-03-02T08:00:10Z,app,main\n2026-03-02T09:00:00+01:00,app test,fix\n"
        "2026-03-02T08:00:20Z,,fix\n"
    )
    entry = {"build": ["default"], "arrivals": {"csv": "log.csv"}}
    requests = draw(a_scenario(entry, folder=tmp_path), graphs, 1)
    assert [(r.arrived_s, r.asked, r.branch) for r in requests] == [
        (0.0, "app test", 1),
        (10.0, "app", 0),
        (20.0, "default", 1),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "time_s"),
        ("when\n1\n", "time_s"),
        ("time_s\n", "no arrivals"),
        ("time_s\n-1\n", "log.csv:2"),
        ("time_s\n1\nnan\n", "log.csv:3"),
        ("time_s\nsoon\n", "'soon'"),
        ("time\n2026-13-01\n", "ISO"),
        (None, "cannot read"),
    ],
)
def test_a_bad_csv_file_is_one_clear_line(a_scenario, graphs, tmp_path, text, says):
    if text is not None:
        (tmp_path / "log.csv").write_text(text)
    with pytest.raises(InputError) as raised:
        draw(a_scenario({"build": ["app"], "arrivals": {"csv": "log.csv"}}, folder=tmp_path), graphs, 1)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "top"),
    [
        (an_entry(arrivals={"rate": "1000/s"}), {"horizon": "30d"}),
        (an_entry(arrivals={"clients": 4}), {"horizon": "5d"}),
        (an_entry(), {"requests": 2_000_000}),
        (an_entry(fails={"rate": "90%", "after_failure": "10%"}), {"requests": 10}),
        (an_entry(arrivals={"times": ["2h"]}), {"horizon": "1h"}),
        (an_entry(build=["ap"]), {"requests": 10}),
    ],
)
def test_a_workload_that_cannot_be_drawn_is_refused_at_once(a_scenario, graphs, entry, top):
    with pytest.raises(InputError):
        draw(a_scenario(entry, **top), graphs, 1)
