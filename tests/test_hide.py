"""What names must not say; both worlds and `buildcast graph` ask the same `Graphs.secrets`."""

import pytest

from sim import simulate
from sim.cli import main
from sim.hide import scrubbed, secret

DOCKERFILE = "FROM alpine\nARG TOKEN\nARG V\nCOPY a /a\nRUN fetch $TOKEN -v $V\n"
SCENARIO = """\
schema: 1
name: hidden
targets:
  app: {dockerfile: Dockerfile, context: ., args: {TOKEN: hunter22, V: "1"}}
farm: {runner: {cpus: 2, memory: 1GB}, platforms: {linux/amd64: native}}
workload:
  - build: [app]
    arrivals: {times: [0s]}
costs:
  - {step: "*", cpu: 1s}
"""


@pytest.fixture
def scenario(tmp_path):
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "a").write_text("a")
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    return tmp_path


def test_no_value_of_an_argument_gets_into_a_simulated_trace(scenario, tmp_path):
    assert main(["run", str(scenario), "-o", str(tmp_path / "out"), "-q"]) == 0
    kept = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"hunter22" not in kept
    trace = simulate(str(scenario))
    assert any(name.endswith("RUN fetch ${TOKEN} -v 1") for name in trace.steps["step"])


@pytest.mark.parametrize("form", [[], ["--json"], ["--dot"]])
def test_nor_into_what_graph_prints(scenario, capsys, form):
    assert main(["graph", str(scenario), *form]) == 0
    out = capsys.readouterr().out
    assert "fetch ${TOKEN} -v 1" in out
    assert "hunter22" not in out


def test_a_short_value_is_no_secret_and_hides_only_as_a_word():
    assert secret({"A": "1", "B": "1234"}) == {"B": "1234"}
    assert scrubbed("sleep 10; v 1", {"A": "1"}, lambda name, value: f"<{name}>") == "sleep 10; v <A>"
