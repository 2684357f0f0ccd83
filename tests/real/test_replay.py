"""Replays on real daemons: what the pool decides, what clients do, what is written down, and what is left."""

from __future__ import annotations

import subprocess
import sys

import pytest
from replays import HEAD, World, costs, outcomes, rows, workload

from sim.errors import InputError
from sim.real.cgroups import Group
from sim.real.measured.memory import BACKED_BYTES, back

pytestmark = pytest.mark.usefixtures("machine")

ONE = {"Dockerfile": "FROM alpine:3.20\nCOPY a.txt /\nRUN first\nRUN second\n", "a.txt": "a\n"}
APP = "targets: {app: {dockerfile: Dockerfile, context: .}}\n"


def job(build: str, *times: str, more: str = "") -> str:
    return f"build: [{build}], arrivals: {{times: [{', '.join(times)}]}}{more}"


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "s", tmp_path / "f")


def test_an_equal_build_in_flight_waits_and_shares(world):
    trace = world.replay(HEAD + APP + workload(job("app", "0s", "0.5s")) + costs(first="1s", second="0.3s"), ONE)

    assert outcomes(trace, "RUN first") == {0: "executed", 1: "shared"}
    first, second = rows(trace, "builds")
    assert (first["outcome"], second["outcome"]) == ("ok", "ok")
    assert abs(first["completed_s"] - second["completed_s"]) < 0.2
    shared = next(row for row in rows(trace, "steps") if row["outcome"] == "shared" and "first" in row["step"])
    assert shared["shared_with"] == 0
    assert shared["step"] == "[3/4] RUN first"
    (runner,) = rows(trace, "runners")
    assert runner["reason"] == "end of run"
    assert {row["runner"] for row in rows(trace, "samples")} == {0}
    assert trace.meta.source == "measured"
    assert trace.meta.versions["buildkit"] == "v0.34.2"


@pytest.mark.alone
def test_a_clone_hits_what_main_had_and_main_comes_back_after_its_idle_stop(world):
    scaling = "  autoscaling: {builds_per_instance: 1, max_instances: 2}\n  idle_timeout: 1s\n  boot: 0.1s\n"
    edit = "edits: [{at: 1.9s, path: a.txt}]\n"
    files = {**ONE, "Dockerfile": "FROM alpine:3.20\nRUN first\nCOPY a.txt /\nRUN second\n"}
    scenario = HEAD + scaling + APP + workload(job("app", "0s", "2.2s", "2.4s", "5.5s")) + edit
    trace = world.replay(scenario + costs(first="0.4s", second="0.8s"), files)

    main, clone, again = rows(trace, "runners")
    assert (main["clone_of"], clone["clone_of"], again["clone_of"]) == (None, 0, None)
    assert (main["reason"], clone["reason"], again["reason"]) == ("idle", "idle", "end of run")
    # Its daemon stands already when the machine is asked for: that it makes a key of 0.02 to 0.2 s is not added to `boot`.
    assert again["ready_s"] - again["requested_s"] == pytest.approx(0.1, abs=0.03)
    assert [row["runner"] for row in rows(trace, "builds")] == [0, 0, 1, 2]
    assert outcomes(trace, "RUN first") == {0: "executed", 1: "cached", 2: "cached", 3: "cached"}
    repeated = next(row for row in rows(trace, "steps") if row["build"] == 2 and "second" in row["step"])
    assert (repeated["outcome"], repeated["miss"]) == ("executed", "clone")


def test_a_farm_can_start_with_the_base_images(world):
    scenario = (
        HEAD + "  cache: {start: images}\n" + APP + workload(job("app", "0s")) + costs(first="0.1s", second="0.1s")
    )
    trace = world.replay(scenario, ONE)
    assert set(outcomes(trace, "FROM").values()) == {"cached"}
    assert set(outcomes(trace, "RUN").values()) == {"executed"}


def test_the_last_writer_s_cache_becomes_the_base(world):
    farm = "  autoscaling: {builds_per_instance: 1, max_instances: 2}\n  idle_timeout: 0.4s\n  boot: 0.1s\n"
    farm += "  write_back: last_write_wins\n"
    targets = "targets:\n" + "".join(f"  {one}: {{dockerfile: {one}.Dockerfile, context: .}}\n" for one in ("a", "b"))
    files = {f"{one}.Dockerfile": f"FROM alpine:3.20\nRUN {word}\n" for one, word in (("a", "first"), ("b", "second"))}
    jobs = workload(job("a", "0s"), job("b", "0.2s", "4s"))
    trace = world.replay(HEAD + farm + targets + jobs + costs(first="0.3s", second="0.8s"), files)

    # b ran on the clone alone, which stopped last; the third runner boots on what it left.
    assert [row["runner"] for row in rows(trace, "builds")] == [0, 1, 2]
    assert outcomes(trace, "RUN second") == {1: "executed", 2: "cached"}


def test_a_cancelled_client_takes_its_step_with_it(world):
    jobs = workload(job("app", "0s", more=", cancel_after: 0.8s"), job("app", "1.2s"))
    trace = world.replay(HEAD + APP + jobs + costs(first="1s", second="0.1s"), ONE)

    assert [row["outcome"] for row in rows(trace, "builds")] == ["cancelled", "ok"]
    assert outcomes(trace, "RUN first") == {0: "cancelled", 1: "executed"}


APART = HEAD + "bake: docker-bake.hcl\nprojects: {shared: [base], own: [app, lone]}\n"
LINKED = {
    "docker-bake.hcl": 'group "default" { targets = ["app", "lone"] }\n'
    'target "base" { dockerfile = "base.Dockerfile" }\n'
    'target "app" {\n dockerfile = "app.Dockerfile"\n contexts = { base = "target:base" }\n}\n'
    'target "lone" { dockerfile = "lone.Dockerfile" }\n',
    "base.Dockerfile": "FROM alpine:3.20\nRUN first\n",
    "app.Dockerfile": "FROM base\nRUN second\n",
    "lone.Dockerfile": "FROM alpine:3.20\nRUN third\n",
}


def test_a_base_of_another_project_is_handed_over(world):
    # The first is long: had `lone` to wait for it, that shows on a busy machine too.
    jobs = workload(job("default", "0s")) + costs(first="2.5s", second="0.3s", third="0.3s")
    trace = world.replay(APART + jobs, LINKED)

    ran = {row["step"]: row for row in rows(trace, "steps") if row["outcome"] == "executed" and "RUN" in row["step"]}
    assert set(ran) == {"[base 2/2] RUN first", "[app 1/2] RUN second", "[lone 2/2] RUN third"}
    assert {row["target"]: row["project"] for row in rows(trace, "builds")} == {
        "base": "shared",
        "app": "own",
        "lone": "own",
    }
    assert ran["[app 1/2] RUN second"]["started_s"] > ran["[base 2/2] RUN first"]["completed_s"]
    assert ran["[lone 2/2] RUN third"]["started_s"] < ran["[base 2/2] RUN first"]["completed_s"]


def test_an_equal_base_is_the_same_image_for_later_requests(world):
    """A label for each build would make it another one, and what stands on it would not be shared."""
    jobs = workload(job("default", "0s", "0.5s")) + costs(first="0.3s", second="3s", third="0.1s")
    trace = world.replay(APART + jobs, LINKED)

    assert sorted(outcomes(trace, "RUN second").values()) == ["executed", "shared"]


def test_each_platform_has_its_own_runner(world):
    scenario = (
        HEAD
        + "  platforms: {linux/amd64: native, linux/arm64: native}\n"
        + APP.replace("context: .", "context: ., platforms: [linux/amd64, linux/arm64]")
    )
    trace = world.replay(scenario + workload(job("app", "0s")) + costs(first="0.5s", second="0.1s"), ONE)

    assert [(row["platform"], row["runner"]) for row in rows(trace, "runners")] == [
        ("linux/amd64", 0),
        ("linux/arm64", 1),
    ]
    assert outcomes(trace, "RUN first") == {0: "executed", 1: "executed"}
    assert trace.meta.machine["stands_for"] == {"linux/amd64": "linux/amd64", "linux/arm64": "linux/386"}
    assert trace.meta.machine["memory"]["bytes"] > 0


def test_the_true_dockerfiles_can_be_built(world):
    files = {
        "Dockerfile": "FROM alpine:3.20\nARG WHO\nCOPY a.txt /\nRUN cat /a.txt && echo hello $WHO\n",
        "a.txt": "a\n",
    }
    raw = world.folder.parent / "raw"
    jobs = workload(
        job("app", "0s", more=", args: {WHO: hunter2-secret}"), job("app", "1.5s", more=", args: {WHO: hunter2-secret}")
    )
    trace = world.replay(HEAD + APP + jobs + "edits: [{at: 1s, path: a.txt}]\n", files, as_is=True, raw=raw)

    assert [row["outcome"] for row in rows(trace, "builds")] == ["ok", "ok"]
    assert outcomes(trace, "RUN cat") == {0: "executed", 1: "executed"}
    trace.write(world.folder.parent / "out", "jsonl")
    kept = [path for folder in ("raw", "out") for path in (world.folder.parent / folder).rglob("*") if path.is_file()]
    assert len(kept) >= 7
    assert not [path for path in kept if "hunter2" in path.read_text()]


def test_a_failing_commit_fails_where_it_should(world):
    jobs = workload(
        "build: [app], arrivals: {times: [0s]}, changes: [{paths: [a.txt], share: 100%}], fails: {rate: 100%}"
    )
    trace = world.replay(HEAD + APP + jobs + costs(first="0.2s", second="0.2s"), ONE)

    (build,) = rows(trace, "builds")
    assert build["outcome"] == "failed"
    assert "RUN" in build["reason"]
    assert "exit code 1" in build["reason"]


def test_runners_that_do_not_fit_are_refused_before_anything_starts(world):
    with pytest.raises(InputError, match="64 CPUs of runners do not fit"):
        world.replay(
            HEAD.replace("  host: {cpus: 2}\n", "") + APP + workload(job("app", "0s")), ONE, ["farm.runner.cpus=64"]
        )


@pytest.mark.alone
def test_touching_makes_memory_that_is_there():
    """Each page is touched (50 ns at least, 500 here), and a moment later it costs no more than what was just freed."""
    assert back().bytes == BACKED_BYTES
    after = back()
    assert min(after.first_s, after.again_s) > after.bytes / 4096 * 50e-9
    assert after.first_s < 2.0 * after.again_s


def test_no_more_memory_is_touched_than_our_control_group_leaves():
    group = Group("touching")
    group.create(memory_bytes=256 * 2**20)
    try:
        enter = " && ".join(f"echo $$ > {place}" for place in group.entrances())
        touch = "from sim.real.measured.memory import back; print(back().bytes)"
        done = subprocess.run(["sh", "-c", f"{enter} && exec {sys.executable} -c '{touch}'"], capture_output=True)
        assert 16 * 2**20 < int(done.stdout or 0) <= 64 * 2**20, done.stderr
    finally:
        group.kill()
        group.remove()
