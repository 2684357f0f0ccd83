"""Samples of running runners: what they say, and that looking on changes nothing."""

import pytest
from builders import Handmade, a_farm, a_graph, a_request, ideal, run, simulated, source
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError

NAMES = ("a", "b")
MADE = Handmade({name: a_graph(source(), *[run(f"{name}{at}", at) for at in range(4)], target=name) for name in NAMES})
COSTS = ideal(("RUN a*", {"cpu": 1.0, "memory": 100.0, "layer": 7.0}), ("RUN *", {"cpu": 2.0, "threads": 2.0}))


def traced(samples_s, *requests, **farm):
    asked = [a_request(index, at_s, (target,)) for index, (at_s, target) in enumerate(requests)]
    return simulated(MADE, asked, COSTS, a_farm(targets=NAMES, **farm), samples_s=samples_s)


def rows(trace):
    return list(trace.samples.rows())


def test_a_row_each_time_for_each_runner_that_is_ready():
    """Main serves from 2 to 6 and stops at 8.5; the clone is up at 4, ready at 5, ends at 9 and stops at 11.5."""
    trace = traced(1.0, (0.0, "a"), (2.0, "b"), limit=1, boot_s=2.0, clone_s=1.0, idle_timeout_s=2.5)
    assert [row[:2] for row in rows(trace)] == [
        *((float(at), 0) for at in (3, 4, 5)),
        *((float(at), runner) for at in (6, 7, 8) for runner in (0, 1)),
        *((float(at), 1) for at in (9, 10, 11)),
    ]
    assert [row[6] for row in rows(trace) if row[1] == 0] == [1, 1, 1, 0, 0, 0]  # leases, after all events of that time


def test_memory_and_cache_are_as_they_are_then():
    trace = traced(1.0, (0.0, "a"))
    assert [(row[0], row[3], row[5]) for row in rows(trace)] == [
        (1.0, 100.0, 7.0),
        (2.0, 100.0, 14.0),
        (3.0, 100.0, 21.0),
        (4.0, 0.0, 28.0),
    ]


def test_busy_cores_add_up_to_the_work_done():
    trace = traced(0.5, (0.0, "a"), (0.2, "b"), idle_timeout_s=1.0)
    done = sum(busy for _, _, busy, *_ in rows(trace)) * 0.5
    assert done == pytest.approx(trace.steps["cpu_s"].sum())


def test_busy_cores_are_even_while_nothing_changes():
    """One RUN b is 2 core-seconds on 2 cores; four of them in a row are busy for 4 s, beside no sample's time."""
    trace = traced(0.3, (0.0, "b"))
    assert [row[2] for row in rows(trace)] == pytest.approx([2.0] * 13)


def test_they_stop_when_all_work_is_done():
    assert rows(traced(100.0, (0.0, "a"))) == []
    assert [row[0] for row in rows(traced(4.0, (0.0, "a")))] == [4.0]


@settings(max_examples=30, deadline=None, print_blob=True)
@given(
    requests=st.lists(st.tuples(st.sampled_from([0.0, 0.7, 3.0, 10.0]), st.sampled_from(NAMES)), max_size=8),
    samples_s=st.sampled_from([0.1, 0.3, 7.0]),
    limit=st.sampled_from([None, 1]),
)
def test_looking_on_changes_nothing(requests, samples_s, limit):
    farm = {"limit": limit, "boot_s": 0.3, "idle_timeout_s": 2.0, "max_parallelism": 2}
    first, second = (traced(every_s, *requests, **farm) for every_s in (None, samples_s))
    for kind in ("builds", "steps", "runners"):
        assert list(map(repr, first.table(kind).rows())) == list(map(repr, second.table(kind).rows()))
    assert first.meta == second.meta


@pytest.mark.parametrize("samples_s", [0.0, -1.0, float("nan")])
def test_a_wrong_interval_is_one_line(samples_s):
    with pytest.raises(InputError, match="samples every"):
        traced(samples_s, (0.0, "a"))
