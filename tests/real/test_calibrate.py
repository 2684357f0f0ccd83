"""The suite on a real daemon: one short round gives every constant it promises, and leaves nothing behind."""

from __future__ import annotations

import pytest
import yaml

from sim.cli import main
from sim.fit.constants_fit import COUNTED
from sim.fit.suite.local import measure_here
from sim.fit.suite.numbers import constants_of, seen
from sim.profile import DAEMON, Profile
from sim.real.cgroups import groups

FOUND = {
    "run_cpu_s",
    "run_cores",
    "copy_cpu_s",
    "copy_file_cpu_s",
    "context_file_cpu_s",
    "context_byte_cpu_s",
    "tail_cpu_s",
}
FOUND |= {
    "definition_cpu_s",
    "dockerignore_cpu_s",
    "write_byte_cpu_s",
    "hash_byte_cpu_s",
    "gzip_byte_cpu_s",
    "stream_byte_cpu_s",
}


@pytest.mark.usefixtures("machine")
def test_a_round_shows_the_constants():
    measured, local = measure_here(rounds=1, say=lambda text: None, force=True)
    found = {one.name: one for one in constants_of(measured, DAEMON)}
    assert found.keys() >= FOUND
    for name, one in found.items():  # tests run beside others: an order of magnitude is all that can be asked
        documented = getattr(DAEMON, name) or 0.005  # some are not documented
        assert documented / 20 < one.value < documented * 20, name
        assert one.n > 0
    assert 0.02 < local["boot_s"].value < 20
    assert local["clone_file_s"].value > 0
    assert 0.5 < local["quota_ratio"].value < 5
    numbers = seen(measured, DAEMON)
    assert 0.005 < numbers["run_cpu_by_accounting_s"].value < 0.5
    counted_s = sum(found[name].value for name in COUNTED)
    assert counted_s == pytest.approx(sum(COUNTED.values()) * numbers["cached_build_cpu_s"].value)
    assert numbers["burn_s"].n == 2
    assert not groups()


@pytest.mark.usefixtures("machine")
def test_the_verb_writes_what_the_suite_found(tmp_path, capsys):
    profile = tmp_path / "here.yaml"
    assert main(["calibrate", "--suite", "--rounds", "1", "--force", "-o", str(profile)]) == 0
    assert "run_cpu_s" in capsys.readouterr().out
    written = yaml.safe_load(profile.read_text())
    assert written["daemon"]["run_cpu_s"].keys() == {"value", "spread", "error", "n", "source"}
    assert written["machine"]["cores"] >= 1
    assert Profile.of((), profile).variation.spreads


def test_a_daemon_that_is_not_there_is_told(can_run_daemons, tmp_path, capsys):
    flags = [
        "calibrate",
        "--suite",
        "--daemon",
        f"unix://{tmp_path}/none.sock",
        "--cpus",
        "2",
        "-o",
        str(tmp_path / "p"),
    ]
    assert main(flags) == 3
    assert "does not answer" in capsys.readouterr().err
