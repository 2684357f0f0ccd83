"""The command as a user meets it: exit codes, one clear line, and who waited for whom."""

import json
import subprocess
import sys
from pathlib import Path

from sim.cli import main

SCENARIOS = Path(__file__).parents[2] / "scenarios"
CASE = Path(__file__).parents[1] / "semantics" / "cases" / "dedup-late-join" / "scenario.yaml"


def test_run_names_the_build_that_was_waited_for(capsys):
    assert main(["run", str(SCENARIOS / "dedup-pair" / "scenario.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "request 1 (admin) waited" in printed
    assert "RUN npm ci of request 0 (shop)" in printed


def test_json_is_one_object(capsys):
    assert main(["run", "--json", str(CASE)]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["requests"] == 2


def test_bad_input_is_one_line_and_exit_code_2(capsys):
    assert main(["run", str(CASE), "--set", "farm.runner.cpus=-1"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_trace_export_writes_chrome_json(tmp_path):
    assert main(["run", str(CASE), "-o", str(tmp_path)]) == 0
    assert main(["trace", "export", str(tmp_path), "-o", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["traceEvents"]


def test_help_imports_nothing_heavy():
    code = (
        "import sys, sim.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'pandas', 'pydantic', 'simpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
