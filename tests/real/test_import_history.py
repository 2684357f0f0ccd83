"""`buildcast import --daemon`: the history of a daemon that runs."""

from __future__ import annotations

import json

from sim.cli import main
from sim.inputs import assemble, read_answers
from sim.trace import read_trace


def test_a_live_daemons_builds_are_imported(a_daemon, build, tmp_path, capsys):
    daemon = a_daemon()
    assert build(daemon, ["sleep", "0.5"]).wait() == 0
    assert build(daemon, ["sleep", "0.5"]).wait() == 0
    assert build(daemon, ["sleep", "0.1"], 'RUN ["/none"]').wait() != 0
    assert main(["import", "--daemon", daemon.address, "--since", "1h", "-o", str(tmp_path / "o"), "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["builds"], found["notes"]) == (3, [])
    trace = read_trace(tmp_path / "o")
    assert list(trace.builds["outcome"]) == ["ok", "ok", "failed"]
    runs = [row[5] for row in trace.steps.rows() if 'RUN ["/step", "sleep", "0.5"]' in str(row[1])]
    assert runs == ["executed", "cached"]
    # The same through a node of the fleet, which may need certificates.
    again, _ = assemble(read_answers(daemon.ask, daemon.address), "again")
    assert list(again.steps.rows()) == list(trace.steps.rows())


def test_a_daemon_without_builds_and_one_that_is_not_there(a_daemon, tmp_path, capsys):
    assert main(["import", "--daemon", a_daemon().address]) == 2
    assert "remembers no such build" in capsys.readouterr().err
    assert main(["import", "--daemon", f"unix://{tmp_path}/none"]) == 3
    said = capsys.readouterr().err
    assert "the daemon says" in said
    assert said.count("\n") == 1
