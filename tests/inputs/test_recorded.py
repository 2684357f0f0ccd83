"""Logs recorded on BuildKit 0.34.2 (`record.py`): every kind of end, sharing, and every format of the same builds."""

import pytest

TOOLS, DEPS = "RUN sleep 0.4 && echo tools > /tools", "RUN sleep 0.6 && echo deps > /deps"
OUT = "RUN sleep 0.5 && head -c 300000 /dev/urandom > /out"
STEPS = (TOOLS, "COPY package.json /src/", DEPS, "COPY src /src/", OUT, "COPY --from=build /out /out")
LONG, SHORT = "RUN sleep 1.2 && echo long", "RUN sleep 0.3 && echo short"


def test_two_builds_of_the_same_share_each_step(imported):
    pair = imported("pair-a.jsonl", "pair-b.jsonl")
    assert pair.outcomes(0) == dict.fromkeys(STEPS, "executed")
    assert pair.outcomes(1) == dict.fromkeys(STEPS, "shared")
    assert {step["shared_with"] for step in pair.steps[1].values() if step["outcome"] == "shared"} == {0}
    assert [build["outcome"] for build in pair.builds] == ["ok", "ok"]


def test_a_shared_step_has_the_owners_key_and_times(imported):
    pair = imported("pair-a.jsonl", "pair-b.jsonl")
    for name, step in pair.steps[1].items():
        if step["outcome"] == "shared":
            owner = pair.steps[0][name]
            assert [step[one] for one in ("key", "started_s", "completed_s")] == [
                owner[one] for one in ("key", "started_s", "completed_s")
            ]


def test_a_waiter_wants_a_step_when_its_own_inputs_are_asked_for(imported):
    step = imported("pair-a.jsonl", "pair-b.jsonl").step(1, "echo tools")
    assert 0.6 < step["ready_s"] < step["completed_s"]
    assert step["started_s"] < step["ready_s"]  # it ran before this build was there


def test_without_the_owners_log_a_shared_step_has_no_owner(imported):
    alone = imported("pair-b.jsonl")
    assert alone.outcomes(0) == dict.fromkeys(STEPS, "shared")
    assert {step["shared_with"] for step in alone.steps[0].values()} == {None}


def test_inputs_are_names_of_steps(imported):
    step = imported("pair-b.jsonl").step(0, "COPY src")
    assert step["inputs"] == ("[build 2/4] RUN sleep 0.6 && echo deps > /deps", "[internal] load build context")


def test_the_last_start_of_a_source_counts_and_the_first_is_when_it_was_wanted(imported):
    context = imported("pair-a.jsonl").step(0, "load build context")
    assert context["ready_s"] < context["started_s"] < context["completed_s"]
    assert context["received_bytes"] > 20000  # a file of 20000 bytes
    assert context["kind"] == "context"


def test_a_pull_counts_from_its_first_layer_to_the_last_extraction(imported):
    pull = imported("pair-a.jsonl").step(0, "OCI load")
    run = imported("pair-a.jsonl").step(0, "echo tools")
    assert pull["received_bytes"] > 1e6
    assert pull["completed_s"] == pytest.approx(run["started_s"], abs=0.05)
    assert pull["ready_s"] < pull["started_s"] < pull["completed_s"] - 0.02


def test_a_trace_file_of_buildctl_is_read_as_its_rawjson(imported):
    assert imported("pair-a.trace.jsonl").steps == imported("pair-a.jsonl").steps


def test_cached_steps_took_no_time(imported):
    cached = imported("cached.jsonl")
    assert cached.outcomes(0) == dict.fromkeys(STEPS, "cached")
    step = cached.step(0, "echo deps")
    assert step["ready_s"] is not None
    assert step["started_s"] is step["completed_s"] is None


def test_no_cache_executes_all(imported):
    assert imported("no-cache.jsonl").outcomes(0) == dict.fromkeys(STEPS, "executed")


def test_a_killed_owner_is_cancelled_and_its_step_goes_on_for_the_waiter(imported):
    pair = imported("killed-owner.jsonl", "killed-waiter.jsonl")
    assert pair.outcomes(0) == {"COPY package.json /x": "executed", LONG: "cancelled"}
    assert pair.outcomes(1) == {"COPY package.json /x": "shared", LONG: "shared", SHORT: "executed"}
    assert [build["outcome"] for build in pair.builds] == ["cancelled", "ok"]
    waited = pair.step(1, "echo long")
    assert waited["shared_with"] == 0
    assert waited["completed_s"] - waited["started_s"] > 1.2
    assert pair.step(0, "echo long")["completed_s"] is None  # nobody saw the end


def test_a_log_that_breaks_off_says_so(imported):
    assert imported("killed-owner.jsonl").notes == [
        f"{imported('killed-owner.jsonl').trace.meta.scenario['imported'][0]}: the log ends while 1 of its steps ran; "
        "the build counts as cancelled, and what came later is missing"
    ]


def test_a_terminated_client_cancels_its_build(imported):
    gone = imported("cancelled.jsonl")
    assert gone.outcomes(0) == {"RUN sleep 3": "cancelled"}
    assert gone.builds[0]["outcome"] == "cancelled"
    assert gone.notes == []


def test_a_failure_is_shared_and_says_its_exit_code(imported):
    pair = imported("failed-a.jsonl", "failed-b.jsonl")
    for build in (0, 1):
        step = pair.step(build, "exit 3")
        assert (step["outcome"], step["reason"]) == ("failed", "exit code 3")
        assert (pair.builds[build]["outcome"], pair.builds[build]["reason"]) == ("failed", "exit code 3")
    assert pair.step(0, "exit 3")["shared_with"] is None
    assert pair.step(1, "exit 3")["shared_with"] == 0


def test_fail_fast_cancels_the_other_target(imported):
    bake = imported("bake-failed.jsonl")
    ends = {build["target"]: (build["outcome"], build["reason"]) for build in bake.builds}
    assert ends == {"broken": ("failed", "exit code 7"), "slow": ("cancelled", None)}
    slow = next(build["build"] for build in bake.builds if build["target"] == "slow")
    assert bake.step(slow, "sleep 5")["outcome"] == "cancelled"


def test_a_bake_of_linked_targets_is_one_request_with_a_build_each(imported):
    bake = imported("bake.jsonl")
    assert sorted(build["target"] for build in bake.builds) == ["app", "base", "db"]
    assert bake.builds[0]["target"] == "base"
    assert {build["request"] for build in bake.builds} == {0}
    assert {build["lease"] for build in bake.builds} == {0}
    base = {"COPY b.txt /": "executed", "RUN sleep 0.7 && echo base": "executed"}
    assert bake.outcomes(0) == base
    shared = dict.fromkeys(base, "shared")
    copied = {"RUN sleep 0.4 && echo own": "executed", "COPY --from=own /bin/busybox /x": "executed"}
    of = {build["target"]: bake.outcomes(build["build"]) for build in bake.builds}
    assert of["app"] == shared | copied | {"RUN sleep 0.3 && echo app": "executed"}
    assert of["db"] == shared | {"RUN sleep 0.5 && echo db": "executed"}


def test_targets_times_are_brought_together_and_the_shift_is_told(imported):
    """buildx moved them by up to 0.35 s (buildkit-semantics 13.1); the daemon's history of the same bake is the truth."""
    client, daemon = imported("bake.jsonl"), imported("bake/histories.jsonl")
    assert "buildx moves the times of each target" in client.notes[0]
    assert client.trace.meta.scenario["notes"] == client.notes
    ran = {name: step for steps in client.steps for name, step in steps.items() if step["outcome"] == "executed"}
    true = {name: step for steps in daemon.steps for name, step in steps.items() if step["outcome"] == "executed"}
    runs = [name for name in true if "RUN" in name or "COPY" in name]
    assert len(runs) == 6
    for name in runs:
        (seen,) = (step for of_client, step in ran.items() if of_client.endswith(name[1:]))
        for column in ("started_s", "completed_s"):
            # Both count from the first start; the daemon's record begins some ms before that.
            assert seen[column] == pytest.approx(true[name][column], abs=0.02), (name, column)


@pytest.mark.parametrize("log", ["pair/histories.jsonl", "killed/histories.jsonl", "failed/histories.jsonl"])
def test_a_daemons_own_count_of_cached_steps_agrees(imported, log):
    assert imported(log).notes == []


def test_a_history_knows_what_a_client_does_not(imported):
    pair, killed = imported("pair/histories.jsonl"), imported("killed/histories.jsonl")
    assert [build["runner"] for build in pair.builds] == [0] * 5
    assert len(pair.trace.runners) == 1
    assert pair.builds[0]["platforms"] == ("linux/amd64",)
    no_cache = [step["miss"] for step in pair.steps[3].values() if step["kind"] in ("exec", "copy")]
    assert no_cache == ["no_cache"] * 6
    assert killed.builds[0]["outcome"] == "cancelled"
    assert killed.step(0, "echo long")["completed_s"] is not None  # the client's log breaks off before


def test_targets_of_a_history_are_one_request_by_their_session(imported):
    assert {build["request"] for build in imported("bake/histories.jsonl").builds} == {0}


def test_a_bundle_says_the_same_as_the_daemon_and_names_targets(imported):
    bundle, daemon = imported("bake.dockerbuild"), imported("bake/histories.jsonl")
    assert sorted(build["target"] for build in bundle.builds) == ["app", "base", "db"]
    assert [step | {"runner": 0} for steps in bundle.steps for step in steps.values()] == [
        step for steps in daemon.steps for step in steps.values()
    ]
    assert len(imported("one.dockerbuild").builds) == 1


def test_values_of_build_args_stay_out_of_histories_and_bundles(imported, recorded):
    assert "hunter2-secret" in (recorded / "failed-a.jsonl").read_text()  # BuildKit itself writes it into the name
    names = list(imported("failed/histories.jsonl").steps[0])
    assert '[1/3] RUN sleep 0.4 && echo "got ${TOKEN}"' in names
    assert not [name for name in names if "hunter2" in name]


def test_another_stage_of_the_same_steps_shares_them_under_the_owners_name(imported):
    pair = imported("renamed-a.jsonl", "renamed-b.jsonl")
    assert pair.outcomes(1) == {TOOLS: "shared"}
    assert pair.step(1, "echo tools")["shared_with"] == 0
    assert pair.builds[1]["outcome"] == "ok"


def test_a_push_is_the_second_half_of_its_export(imported):
    push = imported("push.jsonl")
    step = push.step(0, "exporting to image")
    assert (step["kind"], step["outcome"]) == ("export", "executed")
    assert step["completed_s"] == push.builds[0]["completed_s"]
    assert step["inputs"] == ("[stage-2 1/1] COPY --from=build /out /out",)


def test_a_local_export_counts_its_bytes(imported):
    export = imported("export.jsonl")
    assert export.builds[0]["export_bytes"] == export.step(0, "exporting to client")["sent_bytes"] > 1e6


def test_platforms_of_one_build(imported):
    both = imported("platforms.jsonl")
    assert set(both.builds[0]["platforms"]) == {"linux/amd64", "linux/386"}
    assert [step["outcome"] for name, step in both.steps[0].items() if "RUN sleep" in name] == ["executed"] * 2


def test_what_nobody_measured_is_null(imported):
    pair = imported("pair-a.jsonl")
    step, build = pair.step(0, "echo deps"), pair.builds[0]
    for column in ("cpu_s", "saved_cpu_s", "threads", "lock_wait_s", "memory_peak_bytes", "received_bytes", "miss"):
        assert step[column] is None
    assert build["ready_s"] is build["project"] is build["runner"] is build["commit"] is None


def test_a_plain_log_gives_names_durations_and_hits(imported):
    plain, cached = imported("plain.log"), imported("plain-cached.log")
    assert plain.outcomes(0) == dict.fromkeys(STEPS, "executed")
    step = plain.step(0, "echo deps")
    assert step["completed_s"] - step["started_s"] == pytest.approx(0.7, abs=0.1)
    assert step["inputs"] is step["key"] is None
    assert plain.builds[0]["completed_s"] is None
    assert "without times of day" in plain.notes[0]
    assert cached.outcomes(0) == dict.fromkeys(STEPS, "cached")


def test_a_plain_log_of_ci_has_times(imported):
    timed = imported("plain-timed.log")
    assert timed.notes == []
    assert timed.trace.meta.scenario["started"].startswith("20")
    assert timed.builds[0]["completed_s"] > 1.5  # its three RUNs sleep so long, one after the other
    assert timed.step(0, "load build context")["received_bytes"] == pytest.approx(20110, rel=0.01)


def test_a_plain_log_of_a_failure(imported):
    failed = imported("plain-failed.log")
    assert failed.step(0, "exit 3")["outcome"] == "failed"
    assert (failed.builds[0]["outcome"], failed.builds[0]["reason"]) == ("failed", "exit code 3")


def test_a_plain_log_of_a_bake_is_split_by_target(imported):
    bake = imported("plain-bake.log")
    assert sorted(build["target"] for build in bake.builds) == ["app", "base", "db"]
    app = next(build["build"] for build in bake.builds if build["target"] == "app")
    assert bake.outcomes(app)["RUN sleep 0.3 && echo app"] == "executed"


def test_a_measured_trace_comes_back_as_it_was_written(imported, tmp_path):
    from sim.trace import read_trace

    trace = imported("bake.jsonl").trace
    trace.write(tmp_path)
    again = read_trace(tmp_path)
    assert [list(again.table(kind).rows()) for kind in ("builds", "steps")] == [
        list(trace.table(kind).rows()) for kind in ("builds", "steps")
    ]
    assert again.meta == trace.meta
