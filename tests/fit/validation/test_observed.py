"""Runs as a comparison sees them: from traces, from recordings."""

import json
from math import inf

import pytest
from measured_builders import a_build, a_run

from sim.errors import InputError
from sim.fit.validation.observed import BuildId, measured_runs, observe, read_truth, shown_name
from sim.trace import BUILDS, STEPS, Meta, Trace


def a_trace(builds, steps=()):
    def rows(columns, given):
        return [tuple(row.get(name) for name in columns) for row in given]

    return Trace.from_rows({"builds": rows(BUILDS, builds), "steps": rows(STEPS, steps)}, Meta(source="measured"))


APP = {"build": 3, "request": 1, "target": "app", "platforms": ("linux/amd64",), "arrived_s": 2.0, "completed_s": 5.0}


def test_a_trace_gives_its_builds_and_their_steps():
    steps = [
        {"build": 3, "step": "[a 1/1] RUN x", "outcome": "executed"},
        {"build": 3, "step": "[internal] load .dockerignore", "outcome": "executed"},
        {"build": 3, "step": "exporting to image", "outcome": "executed"},
    ]
    found = observe(a_trace([APP | {"outcome": "failed"}], steps))
    one = found.builds[a_build(request=1)]
    assert (one.arrived_s, one.ended_s, one.outcome) == (2.0, 5.0, "failed")
    assert one.steps == {"[a 1/1] RUN x": ("executed",)}
    assert found.makespan_s == 3.0


def test_names_of_a_rewritten_dockerfile_are_translated():
    trace = a_trace([APP], [{"build": 3, "step": "[a 1/1] RUN /load 7", "outcome": "cached"}])
    assert set(observe(trace, {"[a 1/1] RUN /load 7": "RUN x"}).builds[a_build(request=1)].steps) == {"RUN x"}


def test_a_build_without_an_end_never_ends():
    assert observe(a_trace([APP | {"completed_s": None}])).builds[a_build(request=1)].ended_s == inf


def test_a_request_ends_with_its_last_build_and_is_as_bad_as_the_worst():
    other = APP | {"build": 4, "platforms": ("linux/386",), "completed_s": 6.0, "outcome": "failed"}
    found = observe(a_trace([APP | {"outcome": "ok"}, other])).by_request()
    one = found.builds[BuildId(1, "", ())]
    assert (one.ended_s, one.outcome) == (6.0, "failed")


def test_names_lose_their_place_in_the_stage():
    assert shown_name("[app build 3/5] RUN npm ci") == "[app build #] RUN npm ci"
    assert shown_name("[2/2] RUN [1/2]") == "[#] RUN [1/2]"


RUN = [
    {
        "request": 0,
        "target": "app",
        "platforms": ["linux/amd64"],
        "outcome": "ok",
        "started_s": 0.0,
        "completed_s": 2.5,
        "steps": {"[1/1] RUN x": {"outcome": "cancelled"}, "[internal] load .dockerignore": {"outcome": "cached"}},
    }
]


def test_a_recording_is_read(tmp_path):
    (tmp_path / "truth.json").write_text(json.dumps({"runs": [RUN, RUN]}))
    runs = measured_runs(tmp_path)
    assert len(runs) == 2
    # Cancelled in a build that went well: merged into another's step just after it had started.
    assert runs[0].builds[a_build()].steps == {"[1/1] RUN x": ("shared",)}


def test_traces_beside_a_scenario_are_read(tmp_path):
    a_trace([APP]).write(tmp_path / "measured" / "1", "jsonl")
    assert [run.makespan_s for run in measured_runs(tmp_path)] == [3.0]


def test_nothing_recorded_is_no_run(tmp_path):
    assert measured_runs(tmp_path) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"runs": []}', '{"runs": [[{"request": 0}]]}', '{"runs": 3}'])
def test_a_broken_recording_is_told_in_one_line(tmp_path, text):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_truth(tmp_path / "truth.json")
    assert str(caught.value).startswith(str(tmp_path / "truth.json"))
    assert "\n" not in str(caught.value)


def test_makespan_counts_from_the_first_arrival():
    assert a_run(5.0, 4.0, arrived_s=[1.0, 3.0]).makespan_s == 4.0
