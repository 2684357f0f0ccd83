"""A validation over a few recorded cases: what is computed, what is written."""

import json
from dataclasses import replace
from math import isnan
from pathlib import Path

import pytest

from sim.cli import main
from sim.fit.measured.cells import named
from sim.fit.measured.clients import client_gap_s
from sim.fit.measured.executions import lost_share
from sim.fit.measured.executions import observe as observation_of
from sim.fit.validate import MAX_MIN, Subject, _with_client, client_bytes, kind_of, sign_test, validate
from sim.fit.validation.observed import measured_runs, observe
from sim.profile import DAEMON, Profile
from sim.profile.cost import CLIENT_PARTS
from sim.report.validation import FILES, validation_lines, validation_markdown, write_validation
from sim.runs import prepare, simulate_case
from sim.scenario import load
from sim.trace import Table

CASES = Path(__file__).parent / "mixed" / "cases"
CORPUS = Path(__file__).parents[1] / "real" / "corpus"
NAMES = ("m7-07", "m7-08", "m7-09")


def a_subject(name, **more):
    return Subject(prepare(load(CASES / name)), tuple(measured_runs(CASES / name)), **more)


@pytest.fixture(scope="module")
def found():
    subjects = [a_subject(name) for name in NAMES]
    searched = replace(a_subject("m7-13"), found="search", notes=("replayed on a busy machine",))
    return validate([*subjects, searched], replications=39, workers=1)


def test_each_class_has_a_key_with_what_the_issue_asks_for(found):
    written = found.to_json()
    wanted = ["makespan_mape", "build_mape", "outcome_accuracy", "coverage", "noise_floor", "n", "maxmin_makespan_mape"]
    assert set(wanted) <= set(written["mixed"])
    assert len(written["cases"]) == 4
    json.dumps(written)


def test_what_the_search_found_counts_for_no_mean(found):
    assert found.classes[0].cases == 3
    assert [one.errors.name for one in found.searched()] == ["m7-13"]
    assert found.signs.better + found.signs.worse + found.signs.ties == 3


def test_true_builds_are_apart():
    found = validate([a_subject("m7-07"), a_subject("m7-09", cause="cost")], replications=3, workers=1)
    assert found.cost is not None
    assert found.cost.cases == 1
    assert found.classes[0].cases == 1


def test_bands_of_an_uncalibrated_daemon_hold_what_is_unknown_of_it(found):
    assert found.classes[0].coverage >= 0.9


def test_a_case_may_get_a_profile_fitted_on_others():
    slow = replace(DAEMON, run_cpu_s=0.5)

    def fitted(subject):
        profile = Profile.of(subject.case.scenario.costs)
        profile.daemon = slow
        return profile

    plain, other = (
        validate([a_subject("m7-07")], replications=2, workers=1, profile_without=one) for one in (None, fitted)
    )
    assert other.judged[0].errors.makespan.predicted_s > plain.judged[0].errors.makespan.predicted_s + 0.3


def replayed(name, **machine):
    """A scenario of the corpus with a run of its own that says this of its machine."""
    case = prepare(load(CORPUS / name))
    trace = simulate_case(case)
    trace = replace(trace, meta=replace(trace.meta, machine=machine))
    return Subject(case, (observe(trace),), traces=(trace,))


def predicted_s(*subjects):
    """Of the first one's makespan."""
    return validate(subjects, replications=2, workers=1).judged[0].errors.makespan.predicted_s


def test_a_hypervisor_takes_of_what_is_used_and_others_of_the_time():
    """Of ten seconds on two cores. A replay that leaves them idle says little of what a busy one loses."""

    def ran(used_s, stolen=0.0, others=0.0):
        during = {"seconds": 10.0, "others": others, "stolen": stolen}
        machine = {"cpus": 2.0, "load": {"during": during}, "runners": {"0": {"cpu_s": used_s}}}
        return replayed("cpu-chain-1", **machine).traces[0]

    assert lost_share([ran(19.8, stolen=0.01)]) == pytest.approx(0.01)
    assert lost_share([ran(4.8, stolen=0.01)]) == pytest.approx(0.04)
    assert lost_share([ran(19.8, stolen=0.01), ran(5.0)]) == pytest.approx(0.01)  # the busy one says it
    assert lost_share([ran(4.8, stolen=0.01), ran(5.0)]) == pytest.approx(0.2 / 10.0)
    assert lost_share([ran(4.8, others=0.03)]) == pytest.approx(0.03)
    assert lost_share([]) == 0.0


def test_what_clients_take_is_read_from_replays_of_the_same_command():
    """Without `alike` in `with_clients` bake's clients would count for buildctl's, and slow it down."""
    subject, plain = replayed("cpu-fork-2"), replayed("cpu-fork-1", clients_cpu_s=0.5)
    heavy = replayed("cpu-bake-1", clients_cpu_s=30.0)
    assert predicted_s(subject, plain, heavy) == predicted_s(subject, plain)
    assert predicted_s(subject, heavy) > predicted_s(subject, plain) + 0.5


def test_what_others_took_of_the_machine_is_missing_there():
    """6 % to others and 4 % stolen: all takes longer, what the cores hold back by a ninth. Without `without` nothing does."""
    subject = replayed("cpu-fork-2")
    quiet, lossy = (
        replayed("cpu-fork-1", load={"during": {"seconds": 9.0, "others": others, "stolen": stolen}})
        for others, stolen in ((0.0, 0.0), (0.06, 0.04))
    )
    full_s, less_s = predicted_s(subject, quiet), predicted_s(subject, lossy)
    assert full_s * 1.03 < less_s < full_s / 0.9 + 1e-9
    assert observation_of(lossy.traces[0]).host.cpus == pytest.approx(1.8)


def test_what_clients_take_for_a_byte_is_read_from_those_that_receive_some():
    """1 core-s each where nothing is exported; 3 where all receive a directory: 2 more for its 2.6 MB."""
    plain, receiving = replayed("cpu-fork-1", clients_cpu_s=5.0), replayed("mixed-export-2", clients_cpu_s=15.0)
    received_bytes = {one.case.label: client_bytes(one.case) for one in (plain, receiving)}
    daemon = _with_client(Profile.of(()), [plain], received_bytes).daemon
    assert (daemon.client_cpu_s, daemon.client_byte_cpu_s) == (1.0, 0.0)
    daemon = _with_client(Profile.of(()), [plain, receiving], received_bytes).daemon
    assert daemon.client_cpu_s == 1.0
    assert daemon.client_byte_cpu_s == pytest.approx(2.0 / 2.6e6)


def test_clients_that_start_at_once_start_one_after_another():
    """Two at 1.68 s, one 80 ms later, in a replay whose clients are 4 ms apart; where nothing is known, all come at once."""
    plain = replayed("cpu-slots-2")
    starts_s = iter((0.0, 1.684, 1.688, 1.768, 2.85, 4.43, 7.44, 7.444))
    builds = [tuple({**row, "started_s": next(starts_s)}.values()) for row in named(plain.traces[0], "builds")]
    gap_s = client_gap_s([replace(plain.traces[0], builds=Table.from_rows("builds", builds))])
    assert gap_s == pytest.approx(0.004)

    def loads_s(gap_s):
        case = plain.case
        daemon = replace(case.profile.daemon, client_gap_s=gap_s)
        trace = simulate_case(replace(case, profile=case.profile.with_daemon(daemon)))
        rows = [row for row in named(trace, "steps") if "load build definition" in row["step"]]
        return [row["ready_s"] for row in rows if 1.68 <= row["ready_s"] < 1.75]

    at_once, apart = loads_s(0.0), loads_s(gap_s)
    assert at_once[0] == at_once[1]
    assert apart[1] - apart[0] == pytest.approx(gap_s)


def test_what_buildx_takes_to_start_is_not_charged_twice():
    """0.1 core-s each, a third of it before the first definition: so much less of the documented 50 ms is waiting."""
    subject = replayed("cpu-bake-1", clients_cpu_s=0.3)
    daemon = _with_client(Profile.of(()), [subject], {subject.case.label: 0.0}).daemon
    assert daemon.client_cpu_s == pytest.approx(0.1)
    assert daemon.bake_latency_s == pytest.approx(DAEMON.bake_latency_s - 0.1 * CLIENT_PARTS.start)


def test_the_sign_test_counts_scenarios(found):
    judged = [one for one in found.judged if one.subject.found == "corpus"]
    signs = sign_test(judged)
    assert (signs.better, signs.worse) == (3, 0)
    assert signs.p == pytest.approx(1 / 8)
    assert signs.beyond_floor == ()
    assert isnan(sign_test([]).p)


def test_kinds():
    assert kind_of(load(CASES / "m7-07")) == "mixed"
    corpus = Path(__file__).parents[1] / "real" / "corpus"
    assert {kind_of(load(one)) for one in corpus.glob("cpu-*")} == {"cpu"}
    assert {kind_of(load(one)) for one in corpus.glob("mixed-*")} == {"mixed"}


def test_lines_and_page_name_what_is_worst_and_what_is_doubtful(found):
    page = "\n".join(validation_markdown(replace(found, command="buildcast validate x")))
    assert "Made by `buildcast validate x`." in page
    assert "## Where it is worst" in page
    assert "m7-13: replayed on a busy machine" in page
    assert "| outcomes | repeated | settled |" in page
    lines = validation_lines(found)
    assert any(line.startswith("  mixed") for line in lines)
    assert any(MAX_MIN in line for line in lines)


def test_files_are_written(found, tmp_path):
    assert [path.name for path in write_validation(found, tmp_path)] == list(FILES)
    assert json.loads((tmp_path / "validation.json").read_text())["schema_version"] == 1


def test_command_reads_what_lies_beside_a_scenario(capsys):
    assert main(["validate", str(CASES / "m7-09"), "--measured", "--replications", "3", "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["mixed"]["cases"] == 1


def test_what_fits_begin_with_is_read_before_anything_is_replayed(capsys, tmp_path):
    """No daemon is started for a file that is not there, nor where nothing is fitted."""
    asked = ["validate", str(CORPUS / "cpu-fork-1"), "-q", "--start"]
    assert main([*asked, str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err
    assert main([*asked, "suite.yaml", "--decisions"]) == 2
    assert "--start: nothing is fitted on other scenarios here" in capsys.readouterr().err


def test_a_search_replays_and_reads_nothing(capsys):
    asked = ["validate", str(CASES / "m7-09"), "-q", "--search", "3"]
    for other in ("--measured", "--decisions"):
        assert main([*asked, other]) == 2
        assert capsys.readouterr().err.startswith("--search: a search makes up scenarios and replays them")


def test_a_report_holds_no_path_of_the_machine(capsys, monkeypatch, tmp_path):
    (tmp_path / "mine.yaml").write_text("schema: 1\n")
    monkeypatch.chdir(tmp_path)
    asked = ["validate", str(CASES / "m7-09"), "--measured", str(CASES), "--replications", "3", "--json", "-q"]
    assert main([*asked, "--profile", "mine.yaml"]) == 0
    assert json.loads(capsys.readouterr().out)["profile"] == "mine.yaml"


def test_command_says_what_is_missing(capsys, tmp_path):
    assert main(["validate", str(CASES / "m7-09"), "--measured", str(tmp_path), "-q"]) == 2
    line = capsys.readouterr().err.strip()
    assert "no measured run of m7-09" in line
    assert "\n" not in line
