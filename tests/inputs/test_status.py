"""Merging events of one build: which start counts, what is another's, when inputs are ready."""

import pytest

from sim.inputs import BuildFacts, Owners, Vertices, align, step_rows
from sim.inputs.status import NS_PER_S, as_ns
from sim.trace import STEPS

T0 = as_ns("2026-01-01T00:00:00Z")


def at(seconds):
    return None if seconds is None else T0 + round(seconds * NS_PER_S)


def vertex(name, *spans, digest=None, inputs=(), announced=True, cached=False, error=""):
    """The events of a vertex: announced, then started and completed for each span."""
    told = {"digest": digest or f"sha256:{abs(hash(name)):064x}", "name": name, "inputs": list(inputs)}
    events = [told] if announced else []
    for started, completed in spans:
        events.append(told | {"started": at(started)})
        if completed is not None:
            events.append(told | {"started": at(started), "completed": at(completed), "cached": cached, "error": error})
    return events


def a_build(*vertices, transfers=()):
    build = Vertices()
    build.feed({"vertexes": [event for events in vertices for event in events], "statuses": list(transfers)})
    return build


def steps_of(*builds):
    """Rows of all builds as dicts, build by build."""
    owners = Owners()
    for number, build in enumerate(builds):
        owners.add(number, None, build)
    rows = [step_rows(BuildFacts(number, number), build, owners, T0) for number, build in enumerate(builds)]
    return [[dict(zip(STEPS, row, strict=True)) for row in of_build] for of_build in rows]


def the_step(*builds, build=0, name=""):
    (found,) = (step for step in steps_of(*builds)[build] if name in step["step"])
    return found


DEFINITION = vertex("[internal] load build definition from Dockerfile", (0, 0.1))


def test_a_context_begins_at_its_last_start():
    step = the_step(a_build(vertex("[internal] load build context", (0, 0.001), (3, 4))))
    assert (step["ready_s"], step["started_s"], step["completed_s"]) == (0, 3, 4)


def test_a_pull_goes_from_its_first_piece_to_its_last():
    step = the_step(a_build(vertex("[1/2] FROM docker.io/library/alpine", (0, 0.5), (1, 2), (2.05, 3), (3.01, 4))))
    assert (step["started_s"], step["completed_s"]) == (1, 4)


def test_a_later_errand_of_a_source_is_not_part_of_the_first():
    step = the_step(a_build(vertex("[1/2] FROM docker.io/library/alpine", (0, 0.5), (1, 2), (60, 61))))
    assert (step["started_s"], step["completed_s"]) == (60, 61)


def test_an_export_adds_its_push():
    step = the_step(a_build(DEFINITION, vertex("exporting to image", (1, 2), (2.5, 4), announced=False)), name="export")
    assert (step["started_s"], step["completed_s"]) == (1, 4)


def test_a_step_is_ready_when_its_last_input_is_done():
    base, copy = (
        vertex("[1/3] FROM a", (0, 1), digest="sha256:a"),
        vertex("[internal] load build context", (0, 3), digest="sha256:c"),
    )
    run = vertex("[2/3] COPY . .", (5, 6), inputs=["sha256:a", "sha256:c"])
    assert the_step(a_build(base, copy, run), name="COPY")["ready_s"] == 3


def test_equal_names_of_two_platforms_are_two_inputs():
    first = vertex("[context a] load", (0, 1), digest="sha256:1")
    second = vertex("[context a] load", (0, 4), digest="sha256:2")
    build = a_build(
        first,
        second,
        vertex("[linux/amd64 1/2] RUN x", (5, 6), inputs=["sha256:1"]),
        vertex("[linux/386 1/2] RUN x", (5, 6), inputs=["sha256:2"]),
    )
    assert the_step(build, name="amd64")["ready_s"] == 1
    assert the_step(build, name="386")["ready_s"] == 4


def test_a_step_merged_away_after_it_had_started_is_shared():
    owner = a_build(DEFINITION, vertex("[1/2] RUN x", (0, 10), digest="sha256:own"))
    waiter = a_build(
        vertex("[internal] load build definition from Dockerfile", (1, 1.1), digest="sha256:d"),
        vertex("[1/2] RUN x", (1.2, 1.3), error="context canceled"),
        vertex("[1/2] RUN x", (0, 10), digest="sha256:own", announced=False),
    )
    step = the_step(owner, waiter, build=1, name="RUN")
    assert (step["outcome"], step["shared_with"], step["started_s"], step["completed_s"]) == ("shared", 0, 0, 10)


@pytest.mark.parametrize(
    ("given_up", "gone_on", "is_merged"),
    [
        ("[b s0 2/3] RUN x", "[a s0 2/3] RUN x", True),  # as b loads its base a
        ("[b s0 2/3] RUN x", "[a s1 2/3] RUN x", False),
        ("[b s0 2/3] RUN x", "[a s0 2/3] RUN y", False),
    ],
)
def test_a_linked_targets_step_that_merged_as_it_started_is_the_one_that_went_on(given_up, gone_on, is_merged):
    build = a_build(
        DEFINITION,
        vertex(given_up, (1, 1.001), error="context canceled", digest="sha256:b", announced=False),
        vertex(gone_on, (1.5, 10), digest="sha256:a", announced=False),
        vertex("[b s0 3/3] RUN z", (10, 11), inputs=["sha256:b"]),
    )
    outcomes = {step["step"]: step["outcome"] for step in steps_of(build)[0]}
    assert outcomes.get(given_up) == (None if is_merged else "cancelled")
    assert outcomes[gone_on] == "shared"
    assert the_step(build, name="RUN z")["ready_s"] == 10 or not is_merged


def test_a_step_that_ran_before_it_was_cancelled_stays():
    build = a_build(
        DEFINITION,
        vertex("[b s0 2/3] RUN x", (1, 3), error="context canceled", digest="sha256:b", announced=False),
        vertex("[a s0 2/3] RUN x", (1.5, 10), digest="sha256:a", announced=False),
    )
    assert the_step(build, name="[b")["outcome"] == "cancelled"


def test_of_three_the_one_that_announced_it_owns_it():
    def waiting(number):
        return a_build(
            vertex(
                "[internal] load build definition from Dockerfile", (number, number + 0.1), digest=f"sha256:{number}"
            ),
            vertex("[1/2] RUN x", (3, 10), digest="sha256:own", announced=False),
        )

    owner = a_build(DEFINITION, vertex("[1/2] RUN x", (3, 10), digest="sha256:own"))
    assert [the_step(waiting(1), waiting(2), owner, build=build, name="RUN")["shared_with"] for build in range(3)] == [
        2,
        2,
        None,
    ]


def test_the_same_step_at_another_time_is_another_execution():
    first = a_build(DEFINITION, vertex("[1/2] RUN x", (0, 10), digest="sha256:own"))
    later = a_build(
        vertex("[internal] load build definition from Dockerfile", (99, 100), digest="sha256:d"),
        vertex("[1/2] RUN x", (100, 110), digest="sha256:own", announced=False),
    )
    assert the_step(first, later, build=1, name="RUN")["shared_with"] is None


def test_two_runners_share_nothing():
    first = a_build(DEFINITION, vertex("[1/2] RUN x", (0, 10), digest="sha256:own"))
    second = a_build(DEFINITION, vertex("[1/2] RUN x", (0, 10), digest="sha256:own", announced=False))
    owners = Owners()
    owners.add(0, 7, first)
    owners.add(1, 8, second)
    rows = step_rows(BuildFacts(1, 1, runner=8), second, owners, T0)
    assert [dict(zip(STEPS, row, strict=True))["shared_with"] for row in rows] == [None, None]


def test_look_ups_and_exports_are_always_a_builds_own():
    names = "[internal] load metadata for docker.io/library/alpine", "exporting to image", "[auth] a:pull token"
    build = a_build(DEFINITION, *(vertex(name, (1, 2), announced=False) for name in names))
    assert {step["outcome"] for step in steps_of(build)[0]} == {"executed"}


def test_a_log_without_its_head_knows_of_no_sharing():
    build = a_build(vertex("[1/2] RUN x", (0, 1), announced=False))
    assert the_step(build)["outcome"] == "executed"


def test_exit_code_137_is_the_memory_unless_another_failed():
    from sim.inputs.rows import without_killed_siblings

    killed = steps_of(a_build(vertex("[1/2] RUN x", (0, 1), error="process did not complete: exit code: 137")))[0]
    failed = steps_of(a_build(vertex("[1/2] RUN y", (0, 1), error="process did not complete: exit code: 2")))[0]
    assert (killed[0]["outcome"], killed[0]["reason"]) == ("failed", "out of memory (exit code 137)")
    rows = [[tuple(step.values()) for step in steps] for steps in (killed, failed)]
    outcome = STEPS.index("outcome")
    assert [row[outcome] for (row,) in without_killed_siblings(rows)] == ["cancelled", "failed"]
    assert without_killed_siblings(rows[:1]) == rows[:1]


def test_the_kernel_s_kill_is_no_sibling_s():
    """As BuildKit says it on control groups of version 2; the exit codes 137 beside it are then bake's."""
    from sim.inputs.rows import without_killed_siblings

    said = 'process "/bin/sh -c x" did not complete successfully: '
    ended = ("cannot allocate memory", "exit code: 137")
    builds = [steps_of(a_build(vertex("[1/2] RUN x", (0, 1), error=said + how)))[0] for how in ended]
    rows = without_killed_siblings([[tuple(step.values()) for step in steps] for steps in builds])
    outcome, reason = STEPS.index("outcome"), STEPS.index("reason")
    assert [(row[outcome], row[reason]) for (row,) in rows] == [("failed", "out of memory"), ("cancelled", None)]
    tells_nothing = 'process "echo : cannot allocate memory" did not complete successfully: exit code: 1'
    assert steps_of(a_build(vertex("[1/2] RUN x", (0, 1), error=tells_nothing)))[0][0]["reason"] == "exit code 1"


def test_an_errors_text_is_not_kept():
    step = the_step(a_build(vertex("[1/2] RUN x", (0, 1), error='process "curl -H secret" failed')))
    assert (step["outcome"], step["reason"]) == ("failed", None)


def test_received_bytes_are_the_last_count_of_each_transfer():
    context = vertex("[internal] load build context", (0, 1), digest="sha256:c")
    counts = [{"vertex": "sha256:c", "id": "transferring context:", "current": count} for count in (0, 500, 700)]
    assert the_step(a_build(context, transfers=counts))["received_bytes"] == 700


def test_circles_in_a_broken_log_do_no_harm():
    build = a_build(
        vertex("[1/2] RUN x", (0, 1), digest="sha256:a", inputs=["sha256:b"]),
        vertex("[2/2] RUN y", (1, 2), digest="sha256:b", inputs=["sha256:a"]),
    )
    assert len(steps_of(build)[0]) == 2


def test_a_chain_of_ten_thousand_steps_is_no_recursion():
    links = [
        vertex(f"[1/2] RUN {n}", (n, n + 1), digest=f"sha256:{n}", inputs=[f"sha256:{n - 1}"]) for n in range(10_000)
    ]
    assert len(a_build(*reversed(links)).steps()) == 10_000


def test_logs_moved_by_their_clients_are_brought_to_the_latest():
    run = vertex("[1/2] RUN x", (5, 6), digest="sha256:r")
    moved = vertex("[1/2] RUN x", (4.7, 5.7), digest="sha256:r", announced=False)
    other = vertex("[1/2] RUN z", (1, 2), digest="sha256:z")
    logs = [a_build(moved), a_build(run), a_build(other)]
    assert [shift / NS_PER_S for shift in align(logs, [True, True, True])] == [pytest.approx(0.3), 0, 0]
    assert logs[0].steps()[0].started_ns == at(5)


def test_a_daemons_own_times_stand_though_a_clients_are_later():
    run = vertex("[1/2] RUN x", (5, 6), digest="sha256:r")
    truth = vertex("[1/2] RUN x", (4.7, 5.7), digest="sha256:r")
    logs = [a_build(run), a_build(truth)]
    assert [shift / NS_PER_S for shift in align(logs, [True, False])] == [pytest.approx(-0.3), 0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T01:00:01.000000001+01:00", 1.000000001),
        ("0001-01-01T00:00:00Z", None),  # Go's time zero
    ],
)
def test_times_as_go_writes_them(text, seconds):
    found = as_ns(text)
    assert found == (None if seconds is None else round(seconds * NS_PER_S))


@pytest.mark.parametrize("text", ["yesterday", "9999-01-01T00:00:00Z", 1.5, "2026-01-01", "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_told(text):
    with pytest.raises(ValueError):
        as_ns(text)
