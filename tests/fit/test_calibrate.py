"""Calibration: what a trace was made with is found again, contention removed; what cannot be found is told."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import yaml

from sim.cli import main
from sim.errors import InputError
from sim.fit import constants_fit
from sim.fit.calibrate import Measured, calibrate
from sim.fit.measured.executions import observe
from sim.fit.measured.schedule import Schedule
from sim.fit.pooling import pooled
from sim.fit.step_costs import fit_costs, fit_schedule
from sim.fit.writing import fields_of, write_profile
from sim.profile import DAEMON, Profile
from sim.runs import prepare, simulate_case
from sim.scenario import load
from sim.scenario.farm import Farm, Runner
from sim.scenario.fields.costs import CostRule

sys.path.insert(0, str(Path(__file__).parent))
from recorded import a_trace, traces

CASES = Path(__file__).parent / "mixed" / "cases"
TWO_CORES = ("m7-00", "m7-03", "m7-07", "m7-09", "m7-12")


def a_case(name):
    return prepare(load(CASES / name), say=lambda text: None)


def guesses(case):
    """The case's rules with every CPU time, and every sleep of a step that only sleeps, forgotten."""
    return [
        rule.model_copy(update={"cpu": 1.0} if rule.cpu else {"latency": 0.5} if rule.latency else {})
        for rule in case.scenario.costs
    ]


def a_run(name, started_s, completed_s, **more):
    return {"step": f"[s 1/2] RUN {name}", "started_s": started_s, "completed_s": completed_s} | more


def fitted(trace, rules=(), **constants):
    profile = Profile.of(rules)
    profile.daemon = replace(DAEMON, run_cpu_s=0.0, **constants)
    return {one.execution.command: one for one in fit_schedule(Schedule(observe(trace)), profile)}


@pytest.mark.parametrize("name", ["m7-00", "m7-02", "m7-03", "m7-04", "m7-12"])
def test_costs_are_found_again_that_a_trace_was_simulated_with(name):
    case = a_case(name)
    schedule = Schedule(observe(simulate_case(case, replication=3)))
    profile = Profile.of(guesses(case))
    steps = 0
    for one, true in zip(fit_schedule(schedule, profile), schedule.stated(case.profile), strict=True):
        if one.execution.kind == "exec":
            steps += 1
            found, wanted = (
                (one.cost.cpu_s, true.cpu_s) if one.unknown == "cpu" else (one.cost.latency_s, true.latency_s)
            )
            assert found == pytest.approx(wanted, rel=0.02, abs=0.002), one.execution.name
    assert steps >= 4


def test_recorded_costs_are_found_beside_their_neighbours():
    """Real BuildKit, CPU time of the threads as told: 0.3 % off in all, 3 % a step in the median; times are in 10 ms."""
    off, found, wanted = [], 0.0, 0.0
    for name in TWO_CORES:
        case, costs = a_case(name), {}
        for trace in traces(case, CASES / name / "truth.json"):
            schedule = Schedule(observe(trace))
            stated = schedule.stated(case.profile)
            for one, true in zip(fit_schedule(schedule, Profile.of(guesses(case))), stated, strict=True):
                if one.execution.kind == "exec" and one.unknown == "cpu" and one.execution.is_ok:
                    costs.setdefault(one.execution.command, ([], true.cpu_s))[0].append(one.cost.cpu_s)
        for values, true_s in costs.values():
            off.append(abs(np.median(values) / true_s - 1))
            found, wanted = found + float(np.median(values)), wanted + true_s
    assert len(off) > 20
    assert np.median(off) < 0.05
    assert found == pytest.approx(wanted, rel=0.03)


def test_a_step_beside_another_gets_its_own_cpu_time():
    """Two threads on one core for 2 s, then one of them alone for 1 s: 1 and 2 core-seconds."""
    found = fitted(a_trace([a_run("a", 0.0, 2.0), a_run("b", 0.0, 3.0)], cpus=1.0))
    assert found["RUN a"].cost.cpu_s + 0.02 == pytest.approx(1.0, rel=1e-3)  # the prior writes 20 MB
    assert found["RUN b"].cost.cpu_s + 0.02 == pytest.approx(2.0, rel=1e-3)


def test_one_that_was_killed_costs_what_its_equals_do():
    rows = [a_run("a", 0.0, 2.0), a_run("b", 5.0, 7.5), a_run("a", 5.0, 6.0, outcome="cancelled")]
    found = fitted(a_trace(rows, cpus=1.0))
    assert found["RUN b"].cost.cpu_s + 0.02 == pytest.approx(2.0, rel=1e-3)  # half the core for 1 s, then all of it


def test_measured_cpu_time_leaves_the_waiting():
    found = fitted(a_trace([a_run("npm ci", 0.0, 5.0, cpu_s=2.0)]), [CostRule(step="*npm*", cpu="9s")])
    one = found["RUN npm ci"]
    assert one.cost.cpu_s == 2.0
    assert one.cost.latency_s == pytest.approx(3.0, abs=1e-3)


def test_measured_cpu_time_shows_threads():
    one = fitted(a_trace([a_run("make", 0.0, 2.0, cpu_s=4.0)]), [CostRule(step="*make*", cpu="9s")])["RUN make"]
    assert one.cost.threads == float("inf")
    assert one.missed_s == pytest.approx(0.0, abs=1e-3)


def test_waiting_shows_where_contention_varies():
    """1 s of waiting and 1 core-second, alone and beside up to three others on one core."""
    rows = []
    for at, others in enumerate((0, 1, 2, 3)):
        begun_s = 100.0 * at
        rows.append(a_run("mixed", begun_s, begun_s + 1.0 + 1.02 * (1 + others)))
        rows += [a_run(f"load {n}", begun_s, begun_s + 50.0) for n in range(others)]
    profile = Profile.of()
    profile.daemon = replace(DAEMON, run_cpu_s=0.0)
    found = fit_costs([Schedule(observe(a_trace(rows, cpus=1.0)))], [profile])[0]
    mixed = [one for one in found if one.execution.command == "RUN mixed"]
    assert all(one.is_split for one in mixed)
    assert mixed[0].cost.latency_s == pytest.approx(1.0, rel=0.05)
    assert [one.cost.cpu_s for one in mixed] == pytest.approx([1.0] * 4, rel=0.05)


def test_who_waited_for_a_locked_mount_did_not_work_meanwhile():
    mount = "--mount=type=cache,target=/m,sharing=locked"
    rows = [a_run(f"{mount} a", 0.0, 2.0), a_run(f"{mount} b", 0.5, 4.0)]
    found = observe(a_trace(rows)).executions
    assert [(one.started_s, one.completed_s) for one in found] == [(0.0, 2.0), (2.0, 4.0)]


def test_a_filled_mount_gives_the_warm_share():
    mount = "--mount=type=cache,target=/m"
    rows = [a_run(f"{mount} go build", 0.0, 10.0), a_run(f"{mount} go build", 20.0, 22.0)]
    found = calibrate([Measured.of(a_trace(rows))], replace(DAEMON, run_cpu_s=0.0, run_cores=1.0))
    step = found.steps[0]
    assert step.cost.warm == pytest.approx(0.2, rel=0.05)
    assert step.numbers["warm"].n == 1


def test_memory_in_use_is_shared_out_among_those_who_ran():
    rows = [a_run("go build .", 0, 5), a_run("go build .", 10, 15), a_run("gcc -c a.c", 10, 15)]
    rows += [a_run("make", 20, 21), a_run("go test", 30, 35)]
    idle = {0.0: 20e6}
    used = idle | {1: 320e6, 3: 420e6, 11: 520e6, 13: 220e6, 20.5: 30e6, 31: 9e9, 33: 9e9}
    samples = [{"time_s": time_s, "runner": 0, "memory": memory} for time_s, memory in used.items()]
    fits = fit_schedule(Schedule(observe(a_trace(rows, samples=samples))), Profile.of(()))
    found = {one.pattern: one.cost.memory_bytes for one in pooled(fits)}
    usual = {one.execution.command: one.cost.memory_bytes for one in fits}
    assert found["*] RUN go build ."] == pytest.approx(400e6)  # what it had alone, less what an idle runner has
    assert found["*] RUN gcc -c a.c"] == pytest.approx(100e6)  # the rest
    assert found["*] RUN make"] == usual["RUN make"] > 10e6  # looked at once: its peak may have been missed
    assert found["*] RUN go test"] == usual["RUN go test"] < 9e9  # others may have had that


def test_stages_that_cost_the_same_share_a_rule_and_others_do_not():
    def step(stage, command, begun_s, took_s):
        return {"step": f"[{stage} 2/3] RUN {command}", "started_s": begun_s, "completed_s": begun_s + took_s}

    rows = [
        step("api", "npm ci", 0.0, 4.0),
        step("web", "npm ci", 10.0, 4.1),
        step("api", "make", 20.0, 4.0),
        step("web", "make", 30.0, 9.0),
    ]
    found = calibrate([Measured.of(a_trace(rows))], DAEMON)
    assert [one.pattern for one in found.steps] == ["[*api *] RUN make", "[*web *] RUN make", "*] RUN npm ci"]
    assert found.steps[2].numbers["cpu"].n == 2


def test_platforms_are_told_apart_where_they_differ():
    traces = [
        a_trace([a_run("make", 0.0, took_s)], platform=platform)
        for platform, took_s in (("linux/amd64", 4.0), ("linux/arm64", 7.0))
    ]
    found = calibrate([Measured.of(trace) for trace in traces], DAEMON)
    assert [one.platform for one in found.steps] == ["linux/amd64", "linux/arm64"]


def test_constants_are_found_again_where_costs_are_known():
    true = {"run_cpu_s": 0.11, "copy_cpu_s": 0.02, "tail_cpu_s": 0.08}
    bytes_s = {"write_byte_cpu_s": 0.4e-9, "sync_byte_s": 1.5e-9}
    measured = []
    for name in TWO_CORES:
        case = a_case(name)
        profile = Profile.of(case.scenario.costs)
        profile.daemon = replace(DAEMON, **true, **bytes_s)
        trace = simulate_case(replace(case, profile=profile))
        measured.append(Measured.of(trace, where=name, rules=case.scenario.costs))
    found = {one.name: one for one in calibrate(measured, DAEMON, costs_known=True).constants}
    for name, value in true.items():
        # A COPY's draw has a sigma of 0.4, the others none.
        assert found[name].value == pytest.approx(value, rel=0.3 if name == "copy_cpu_s" else 0.15), name
        assert found[name].n > 5
    assert found["run_cpu_s"].value == pytest.approx(0.11, rel=0.03)
    # Only full cores tell the two apart, and not one execution alone.
    assert sum(found[name].value for name in bytes_s) == pytest.approx(sum(bytes_s.values()), rel=0.1)
    assert found["sync_byte_s"].value == pytest.approx(bytes_s["sync_byte_s"], rel=0.3)


def test_scenarios_that_disagree_about_a_constant_leave_it_as_uncertain_as_unmeasured(monkeypatch):
    """Their jackknife gives 9, which no profile file takes."""
    moves = count()
    monkeypatch.setattr(constants_fit, "_minimum", lambda known, daemon, names, start: start + 3.0 * next(moves))
    cases = [(name, a_case(name)) for name in TWO_CORES]
    measured = [Measured.of(simulate_case(case), where=name, rules=case.scenario.costs) for name, case in cases]
    found = calibrate(measured, DAEMON, costs_known=True)
    assert {one.error for one in found.constants} == {1.5}
    assert found.profile().daemon


@pytest.mark.parametrize(("cpus", "is_seen"), [(1.0, False), (2.0, True)])
def test_how_evenly_cores_are_shared_is_asked_where_there_are_several(cpus, is_seen):
    """Twelve times six steps of 2 core-s at once: those on one core would say that sharing is even."""
    rows = [a_run(f"make {step}", 100.0 * turn, 100.0 * turn + 12.0 / cpus) for turn in range(12) for step in "abcdef"]
    rules = [CostRule(step="*make*", cpu="2s")]
    found = calibrate([Measured.of(a_trace(rows, cpus=cpus), rules=rules)], DAEMON, costs_known=True)
    assert ("core_share" in found.seen) == is_seen


@pytest.mark.parametrize(("is_counted", "off"), [(True, (0.0, 0.35)), (False, (0.7, 1.0))])
def test_what_cgroups_counted_tells_work_from_waiting(is_counted, off):
    """27 core-ms of work and 45 ms of waiting take 60 ms where no core is short: durations alone cannot tell them apart."""
    true = {"tail_cpu_s": 0.027, "tail_latency_s": 0.045}
    measured = []
    for name in TWO_CORES:
        case = prepare(load(CASES / name, ["farm.runner.cpus=32"]), say=lambda text: None)
        profile = Profile.of(case.scenario.costs)
        profile.daemon = replace(DAEMON, **true)
        trace = simulate_case(replace(case, profile=profile))
        counted = {}
        for runner, cpu_s in zip(trace.steps["runner"].tolist(), trace.steps["cpu_s"].tolist(), strict=True):
            one = counted.setdefault(str(int(runner)), {"cpu_s": 0.2, "boot_cpu_s": 0.2})
            one["cpu_s"] += cpu_s
        if is_counted:
            trace = replace(trace, meta=replace(trace.meta, machine={"runners": counted}))
        measured.append(Measured.of(trace, where=name, rules=case.scenario.costs))
    found = {one.name: one.value for one in calibrate(measured, DAEMON, costs_known=True).constants}
    assert off[0] < found["tail_cpu_s"] / true["tail_cpu_s"] - 1.0 < off[1]
    took_s = found["tail_cpu_s"] / DAEMON.tail_cores + found["tail_latency_s"]
    assert took_s == pytest.approx(0.06, rel=0.05)


def test_a_profile_file_says_what_was_found_and_predicts_with_it(tmp_path):
    case = a_case("m7-00")
    measured = [Measured.of(trace, rules=guesses(case)) for trace in traces(case, CASES / "m7-00" / "truth.json")]
    found = calibrate(measured, DAEMON)
    write_profile(fields_of(found.constants, found.sources, found.steps, {}, note="a test"), tmp_path / "p.yaml")
    written = yaml.safe_load((tmp_path / "p.yaml").read_text())
    step = next(one for one in written["costs"] if "tag=b.1.0" in one["step"])
    assert step["numbers"]["cpu"]["n"] == 3
    assert {"value", "spread", "source"} <= step["numbers"]["cpu"].keys()
    assert step["numbers"]["threads"]["source"].startswith("rule: ")
    assert {"value", "spread", "error", "n", "source"} == written["daemon"]["tail_cpu_s"].keys()
    read = Profile.of((), tmp_path / "p.yaml")
    assert read.daemon == found.profile().daemon
    assert read.variation.spread("tail_cpu_s") == pytest.approx(written["daemon"]["tail_cpu_s"]["spread"])
    again = Schedule(observe(traces(case, CASES / "m7-00" / "truth.json")[0]))
    assert read.costs(again._graph) == found.profile().costs(again._graph)


def test_replications_differ_as_a_calibrated_machine_does():
    case = a_case("m7-00")
    fields = {
        "schema_version": 1,
        "core_speed": {"value": 1, "spread": 0.02},
        "daemon": {"run_cpu_s": {"value": 0.07, "spread": 0.3}},
    }
    from sim.profile.file import ProfileFile

    profile = Profile.of(case.scenario.costs, ProfileFile.model_validate(fields))
    case = replace(case, profile=profile)

    def lengths(replication):
        steps = simulate_case(case, replication=replication).steps
        runs = steps.equals("kind", "exec") & steps.equals("outcome", "executed")
        return (steps.numbers("completed_s") - steps.numbers("started_s"))[runs]

    assert (lengths(0) == lengths(0)).all()
    assert not np.allclose(lengths(0), lengths(1), rtol=1e-6)
    drawn = [profile.drawn(seed).daemon.tail_cpu_s / profile.daemon.tail_cpu_s for seed in range(400)]
    assert np.std(np.log(drawn)) == pytest.approx(0.02, rel=0.15)
    assert profile.drawn(1).costs(
        next(iter([Schedule(observe(simulate_case(case)))._graph]))
    )  # rules that are exact stay
    assert Profile.of().drawn(5) is not None


@pytest.mark.parametrize(
    ("rows", "more", "says"),
    [
        ([], {}, "holds no step with a start and an end"),
        ([{"step": "RUN x", "outcome": "cached"}], {}, "holds no step with a start and an end"),
        ([a_run("x", 0, 1)], {"cpus": None}, "how many cores"),
    ],
)
def test_a_trace_that_says_nothing_is_told(rows, more, says):
    with pytest.raises(InputError, match=says):
        Measured.of(a_trace(rows, **more))


def test_cpu_time_that_the_cores_cannot_give_is_told():
    trace = a_trace([a_run("make", 0.0, 2.0, cpu_s=7.0)])
    with pytest.raises(InputError, match=r"does not explain it.*RUN make.*--cpus"):
        calibrate([Measured.of(trace)], DAEMON)
    assert calibrate([Measured.of(trace, cpus=4)], DAEMON).missed < 0.1


def test_known_costs_need_rules_that_are_right():
    trace = a_trace([a_run("make", 0.0, 2.0), a_run("test", 3.0, 5.0)])
    with pytest.raises(InputError, match=r"no rule says what a step costs: .*RUN test"):
        calibrate([Measured.of(trace, rules=[CostRule(step="*make", cpu="2s")])], DAEMON, costs_known=True)
    wrong = [CostRule(step="*make", cpu="9s"), CostRule(step="*test", cpu="9s")]
    with pytest.raises(InputError, match="does not explain it"):
        calibrate([Measured.of(trace, rules=wrong)], DAEMON, costs_known=True)


def test_a_scaled_replay_has_no_step_costs_of_its_own():
    trace = a_trace([a_run("make", 0.0, 2.0)])
    scaled = replace(trace, meta=replace(trace.meta, machine={"scale": 0.1}))
    with pytest.raises(InputError, match=r"scale 0\.1.*--constants"):
        calibrate([Measured.of(scaled)], DAEMON)
    rules = [CostRule(step="*make", cpu="20s")]
    assert calibrate([Measured.of(scaled, rules=rules)], DAEMON, costs_known=True).missed < 0.1


def test_the_farm_of_the_meta_is_taken():
    farm = Farm(Runner(2.0), {"app": "app"}, host=Runner(cpus=1.0))
    trace = a_trace([a_run("a", 0.0, 2.0), a_run("b", 0.0, 2.0)], cpus=None)
    trace = replace(trace, meta=replace(trace.meta, scenario={"farm": asdict(farm)}))
    found = fitted(trace)  # one core for both, whatever the runner may use
    assert found["RUN a"].cost.cpu_s + 0.02 == pytest.approx(1.0, rel=0.01)


def test_the_verb_writes_a_profile_that_a_scenario_takes(tmp_path, capsys):
    case = a_case("m7-09")
    trace = simulate_case(case)
    trace.write(tmp_path / "out")
    profile = tmp_path / "p.yaml"
    assert main(["calibrate", str(tmp_path / "out"), "--scenario", str(CASES / "m7-09"), "-o", str(profile)]) == 0
    assert "executions" in capsys.readouterr().out
    assert main(["check", str(CASES / "m7-09"), "--set", f"profile={profile}"]) == 0
    (tmp_path / "suite.yaml").write_text("daemon: {tail_cpu_s: {value: 0.01, n: 15}}\n")  # counted: it stays
    flags = ["--scenario", str(CASES / "m7-09"), "--start", str(tmp_path / "suite.yaml")]
    assert main(["calibrate", str(tmp_path / "out"), *flags, "-o", str(profile)]) == 0
    assert Profile.of((), profile).daemon.tail_cpu_s == 0.01


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "nothing to calibrate from"),
        (["--daemon", "unix:///x"], "nothing to calibrate from"),
        (["nowhere"], "no trace here"),
        (["nowhere", "--cpus", "many"], "--cpus"),
        (["--suite", "--start", "suite.yaml"], "a suite measures anew"),
    ],
)
def test_the_verb_tells_bad_usage_in_a_line(tmp_path, capsys, flags, says):
    try:
        code = main(["calibrate", *flags, "-o", str(tmp_path / "p.yaml")])
    except SystemExit as left:
        code = left.code
    assert code == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "p.yaml").exists()
