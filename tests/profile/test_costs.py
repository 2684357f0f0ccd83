"""The profile: who is believed first, what a COPY and a context cost, what a profile file may say."""

import pickle

import pytest

from sim.errors import InputError
from sim.graph import Context, Graph, Input, Step
from sim.profile import CONSTANTS, DAEMON, IDEAL, Cost, Profile
from sim.profile.constants import CORES
from sim.scenario.fields.costs import CostRule

FILES = {"package.json": 100, "src/a": 1000, "src/b": 2000, "docs/c": 5000}


def a_graph() -> Graph:
    def step(name, kind, *inputs, source=""):
        return Step(name, name, name, kind, "linux/amd64", inputs, source=source)

    steps = (
        step("FROM alpine", "source", source="docker-image://docker.io/library/alpine:3.20"),
        step("load build context", "context", source="local://context"),
        step("COPY package.json /", "copy", Input(0), Input(1, True, ("/package.json",))),
        step("RUN npm ci", "exec", Input(2)),
        step("COPY src /src", "copy", Input(3), Input(1, True, ("/src", "/package.json"))),
        step("COPY --from=x /a /a", "copy", Input(4), Input(3, True, ("/a",))),
        step("LINK COPY", "merge", Input(0), Input(5)),
    )
    return Graph("app", ("linux/amd64",), steps, (6,), contexts={"local://context": Context("app", FILES)})


def test_costs_stand_beside_their_steps():
    source, context, copy, run, copy_src, copy_from, merge = Profile.of().costs(a_graph())
    assert source.download_bytes == 3.6e6
    assert context.cpu_s == pytest.approx(DAEMON.context_cpu_s + 3 * DAEMON.context_file_cpu_s)  # each file once
    assert context.write_bytes == 3100
    assert copy.cpu_s == pytest.approx(DAEMON.copy_cpu_s + DAEMON.copy_file_cpu_s)
    assert copy.write_bytes == 100
    assert run.rule == "npm install"
    assert copy_src.write_bytes == 3100
    assert copy_from.write_bytes == 0
    assert merge.cpu_s == DAEMON.merge_cpu_s


def test_origins():
    rules = [CostRule(step="RUN npm ci", cpu="9s"), CostRule(step="COPY --from*", write="5MB")]
    origins = tuple(cost.origin for cost in Profile.of(rules).costs(a_graph()))
    assert origins == ("prior", "constant", "constant", "rule", "constant", "rule", "constant")
    assert Profile.of().costs(a_graph())[3].origin == "prior"


def test_a_rule_on_a_copy_comes_on_top_of_the_constants():
    cost = Profile.of([CostRule(step="COPY src *", write="5MB", cpu="1s", spread=0)]).costs(a_graph())[4]
    assert cost.write_bytes == 5e6 + 3100
    assert cost.cpu_s == pytest.approx(1 + DAEMON.copy_cpu_s + 3 * DAEMON.copy_file_cpu_s)
    assert cost.spread == 0


def test_an_ideal_profile_costs_what_its_rules_say_and_nothing_else():
    profile = Profile.ideal([CostRule(step="RUN npm ci", cpu="9s", spread=0)])
    costs = profile.costs(a_graph())
    assert profile.daemon == IDEAL
    assert [cost.cpu_s for cost in costs] == [0, 0, 0, 9, 0, 0, 0]
    assert [cost.download_bytes for cost in costs] == [0] * 7
    assert {cost.spread for cost in costs} == {0}


def test_costs_are_kept_for_a_graph_and_survive_pickling():
    profile, graph = Profile.of([CostRule(step="*npm*", cpu="9s")]), a_graph()
    assert profile.costs(graph) is profile.costs(graph)
    assert pickle.loads(pickle.dumps(profile)).costs(a_graph()) == profile.costs(graph)


def test_every_constant_has_a_source_and_a_sane_spread():
    for name, constant in CONSTANTS.items():
        assert constant.source, name
        assert 0 <= constant.spread <= 0.6
        assert 0 <= constant.value < (10 if name in CORES else 1)


def test_a_profile_file_stands_between_rules_and_priors(tmp_path):
    path = tmp_path / "calibrated.yaml"
    path.write_text(
        "schema: 1\ncosts:\n- {step: '*npm ci*', cpu: 7s}\n- {step: 'FROM *', download: 1MB}\n"
        "daemon: {run_cpu_s: 0.09}\n"
    )
    profile = Profile.of([CostRule(step="FROM *", download="2MB")], path)
    costs = profile.costs(a_graph())
    assert (costs[3].cpu_s, costs[3].origin) == (7.0, "profile")
    assert (costs[0].download_bytes, costs[0].origin) == (2e6, "rule")
    assert profile.daemon.run_cpu_s == 0.09
    assert profile.daemon.copy_cpu_s == DAEMON.copy_cpu_s


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("schema: 2\n", "schema"),
        ("costs: [{step: a, cpu: 7}]\n", "costs.0.cpu"),
        ("costs: [{stepp: a}]\n", "costs.0"),
        ("daemon: {run_cpu: 1}\n", "did you mean 'run_cpu_s'"),
        ("daemon: {run_cpu_s: -1}\n", "0 or more"),
        ("daemon: {run_cpu_s: .nan}\n", "0 or more"),
        ("daemon: {run_cpu_s: fast}\n", "daemon.run_cpu_s"),
        ("unknown: 1\n", "unknown"),
        ("[1, 2]\n", "mapping"),
        ("a: [\n", "not YAML"),
        ("", "mapping"),
        (None, "cannot read"),
    ],
)
def test_a_bad_profile_file_says_where_and_what(tmp_path, text, says):
    path = tmp_path / "calibrated.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as raised:
        Profile.of((), path)
    assert says in str(raised.value)
    assert all(line.startswith(str(path)) for line in str(raised.value).splitlines())


def test_a_cost_without_anything_is_nothing():
    assert Cost().cpu_s == 0
