"""Bad input: clear lines, the right exit code, nothing half-written (issue 4, "What must hold")."""

import json
import os
import subprocess

import pytest

FIVE = """\
schema: 1
name: five
targets: {app: {dockerfile: Dockerfile, context: .}}
farm:
  runner: {cpus: -2, memory: 8GB/s}
  routing: sticki
workload:
  - build: [ap]
    arrivals: {times: [0s, 12]}
"""


def test_five_mistakes_are_five_lines(buildcast, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    file = tmp_path / "scenario.yaml"
    file.write_text(FIVE)
    said = buildcast("check", file)
    assert said.code == 2
    assert [line.split(":")[1] for line in said.complaints] == ["5", "5", "6", "8", "9"]
    assert all(line.startswith(f"{file}:") and ";" in line for line in said.complaints)
    assert "did you mean 'sticky'?" in said.err


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("workload.0.build=[shp]", "did you mean 'shop'?"),
        ("workload=[]", "workload"),
        ("workload.0.arrivals.times=[]", "must not be empty"),
        ("farm.runner.cpus=0", "farm.runner.cpus"),
        ("farm.runner.memory=-1GB", "farm.runner.memory"),
        ("farm.runner.cpus=.nan", "not a finite number"),
        ("warmup=2h", "no request arrives after the warm-up"),
    ],
)
def test_one_mistake_is_one_line(buildcast, pair, flag, complaint):
    said = buildcast("run", pair, "--set", flag, "-o", pair / "out")
    assert said.code == 2
    assert len(said.complaints) == 1
    assert complaint in said.err
    assert not (pair / "out").exists()


def test_a_50_mb_file(buildcast, tmp_path):
    file = tmp_path / "scenario.yaml"
    with file.open("w") as big:
        big.truncate(50_000_000)
    said = buildcast("check", file)
    assert said.code == 2
    assert said.complaints == [
        f"{file}: the file has 50 MB; a scenario may have 5 MB; put long lists of arrivals into a csv"
    ]


def test_deep_nesting_is_one_line(buildcast, pair):
    said = buildcast("run", pair, "--set", "farm=" + "[" * 5000)
    assert said.code == 2
    assert len(said.complaints) == 1


def test_bake_targets_that_link_in_a_circle(buildcast, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY --from=other / /\n")
    (tmp_path / "docker-bake.hcl").write_text(
        'target "a" { contexts = { other = "target:b" } }\ntarget "b" { contexts = { other = "target:a" } }\n'
    )
    (tmp_path / "scenario.yaml").write_text(
        "schema: 1\nbake: docker-bake.hcl\nfarm: {runner: {cpus: 2}}\nworkload: [{build: [a], arrivals: {times: [0s]}}]\n"
    )
    said = buildcast("run", tmp_path, "--quiet")
    assert said.code == 2
    assert len(said.complaints) == 1
    assert not (tmp_path / "graph.lock.json").exists()


def test_a_broken_lock_file(buildcast, pair):
    lock = pair / "graph.lock.json"
    lock.write_text(lock.read_text()[:-200])
    said = buildcast("run", pair)
    assert said.code == 2
    assert len(said.complaints) == 1
    assert "the lock file is broken" in said.err


def test_a_stale_lock_file_names_what_changed(buildcast, pair):
    with (pair / "Dockerfile.admin").open("a") as file:
        file.write("RUN echo more\n")
    said = buildcast("run", pair)
    assert said.code == 2
    assert len(said.complaints) == 1
    assert "Dockerfile.admin has changed since" in said.err
    assert "graph --lock" in said.err or "--lock" in said.err


def test_a_trace_of_another_schema(buildcast, pair):
    buildcast("run", pair, "-o", pair / "out")
    meta = pair / "out" / "trace" / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"schema": 99}))
    said = buildcast("trace", "export", pair / "out")
    assert said.code == 2
    assert len(said.complaints) == 1
    assert "a trace of schema 99" in said.err
    assert not (pair / "out.perfetto.json").exists()


WRITERS = [
    ["run", "-o"],
    ["run", "--replications", "2", "--workers", "1", "-o"],
    ["compare", "--vary", "farm.dedup=on,off", "--replications", "2", "--workers", "1", "-o"],
]


@pytest.mark.parametrize("line", WRITERS)
def test_a_place_below_a_file_cannot_be_written(buildcast, pair, line):
    (pair / "taken").write_text("")
    said = buildcast(line[0], pair, *line[1:], pair / "taken" / "out")
    assert said.code == 3
    assert len(said.complaints) == 1
    assert str(pair / "taken") in said.err
    assert (pair / "taken").read_text() == ""


def test_a_folder_of_other_things_is_not_overwritten(buildcast, pair):
    (pair / "out" / "trace").mkdir(parents=True)
    (pair / "out" / "trace" / "letters.txt").write_text("mine")
    said = buildcast("run", pair, "-o", pair / "out")
    assert said.code == 2
    assert (pair / "out" / "trace" / "letters.txt").read_text() == "mine"


@pytest.fixture
def disk(tmp_path):
    """A disk of one page, or a skip where it may not be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", place]).returncode:
        pytest.skip("mounting is not permitted here")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("line", WRITERS)
def test_a_full_disk_keeps_nothing_by_halves(buildcast, pair, disk, line):
    (disk / "filler").write_text("x" * 4096)
    said = buildcast(line[0], pair, *line[1:], disk / "out")
    assert said.code == 3
    assert len(said.complaints) == 1
    assert "No space left on device" in said.err
    assert not [one for one in disk.rglob("*") if one.is_file() and one.name != "filler"]


def test_a_read_only_disk(buildcast, pair, disk):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    said = buildcast("run", pair, "-o", disk / "out")
    assert said.code == 3
    assert len(said.complaints) == 1
    exported = buildcast("trace", "export", pair, "-o", disk / "out.json")
    assert exported.code == 2  # and there is no trace to export either
