import json
import os
import pickle

import numpy as np
import pytest

from sim.errors import EnvironmentMissing, InputError
from sim.scenario.farm import Farm, Override, Price, Runner
from sim.trace import BUILDS, COLUMNS, RUNNERS, STEPS, Meta, Prices, Table, Trace, read_trace

KEY = -(2**62) - 1  # float64 would round it


def a_row(names, **given):
    return tuple(given.get(name) for name in names)


def a_trace(**meta):
    steps = [
        a_row(STEPS, build=0, step="RUN é", key=KEY, inputs=("FROM a", "COPY b"), outcome="executed", started_s=0.1),
        a_row(STEPS, build=1, step="RUN é", inputs=(), outcome="shared", shared_with=0, threads=float("inf")),
        a_row(STEPS, build=1, step="FROM a", key=5, outcome="cached", completed_s=1 / 3),
    ]
    rows = {
        "builds": [a_row(BUILDS, build=0, request=0, platforms=("linux/amd64", "linux/arm64"), commit="3f2a")],
        "steps": steps,
        "runners": [a_row(RUNNERS, runner=0, project="app", platform="linux/amd64", cpus=4.0)],
    }
    return Trace.from_rows(rows, Meta(**{"source": "simulated"} | meta))


def contents(trace):
    return {kind: list(trace.table(kind).rows()) for kind in COLUMNS}


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_what_is_written_is_read_back(tmp_path, format):
    prices = Prices({"app linux/amd64": 0.04}, "runner", 0.2, 100.0)
    trace = a_trace(prices=prices, seed=2**70, scenario={"farm": {"limit": float("inf")}}, origin_s={"prior": 3.0})
    trace.write(tmp_path, format)
    for place in (tmp_path, tmp_path / "trace"):
        found = read_trace(place)
        assert contents(found) == contents(trace)
        assert found.meta.prices == prices
        assert (found.meta.seed, found.meta.origin_s) == (2**70, {"prior": 3.0})


def test_rows_come_back_as_they_were_given():
    steps = a_trace().steps
    first, second, _ = steps.rows()
    assert first == a_row(
        STEPS, build=0, step="RUN é", key=KEY, inputs=("FROM a", "COPY b"), outcome="executed", started_s=0.1
    )
    assert second[STEPS.index("inputs")] == ()
    assert second[STEPS.index("key")] is None


def test_nulls_are_nan_in_numbers_and_none_in_texts():
    steps = a_trace().steps
    np.testing.assert_array_equal(steps["started_s"], [0.1, np.nan, np.nan])
    assert steps["reason"].tolist() == [None, None, None]
    assert steps["inputs"].tolist() == [("FROM a", "COPY b"), (), None]
    assert steps.equals("outcome", "shared").tolist() == [False, True, False]
    assert steps.equals("outcome", "never").tolist() == [False, False, False]


def test_columns_stand_in_the_order_of_the_contract_in_arrow_too():
    assert tuple(a_trace().steps.to_arrow().column_names) == STEPS
    assert list(a_trace().frame("builds").columns) == list(BUILDS)


def test_a_commit_may_be_a_number():
    builds = Table.from_rows("builds", [a_row(BUILDS, build=0, commit=12)])
    assert builds["commit"].tolist() == ["12"]


def test_a_row_of_wrong_length_is_refused():
    with pytest.raises(ValueError, match="takes 9"):
        Table.from_rows("runners", [(1, 2)])


def test_a_trace_travels_between_processes():
    assert contents(pickle.loads(pickle.dumps(a_trace()))) == contents(a_trace())


def test_writing_replaces_an_older_trace_whole(tmp_path):
    a_trace().write(tmp_path, "jsonl")
    a_trace().write(tmp_path, "parquet")
    assert sorted(p.name for p in (tmp_path / "trace").iterdir()) == [
        "builds.parquet",
        "meta.json",
        "runners.parquet",
        "samples.parquet",
        "steps.parquet",
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["trace"]


def test_foreign_files_are_not_overwritten(tmp_path):
    (tmp_path / "trace").mkdir()
    (tmp_path / "trace" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not a trace"):
        a_trace().write(tmp_path)
    assert (tmp_path / "trace" / "thesis.tex").read_text() == "years of work"


def test_a_place_that_cannot_be_written_is_one_line_of_exit_3(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentMissing) as caught:
        a_trace().write(tmp_path / "file")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        with open("/dev/full", "w") as device:
            device.write("x" * 100_000)

    monkeypatch.setattr("sim.trace.run.write_table", full)
    with pytest.raises(EnvironmentMissing, match="No space left"):
        a_trace().write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def change_meta(**given):
    def change(folder):
        path = folder / "meta.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | given))

    return change


def cut(name):
    def change(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:50])

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (change_meta(schema=2), "schema 2; this buildcast reads 1"),
        (change_meta(source="guessed"), "unknown value"),
        (change_meta(prices=[]), "broken"),
        (change_meta(warmup_s="soon"), "broken"),
        (lambda folder: (folder / "meta.json").write_text("{"), "meta.json: broken"),
        (lambda folder: (folder / "meta.json").write_text("[1]"), "meta.json: broken"),
        (lambda folder: (folder / "steps.parquet").unlink(), "table steps is missing"),
        (cut("steps.parquet"), "steps.parquet: broken"),
    ],
)
def test_a_broken_trace_is_one_line(tmp_path, change, says):
    change(a_trace().write(tmp_path))
    with pytest.raises(InputError, match=says) as caught:
        read_trace(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("line", "says"), [("{}\n", "build"), ("{\n", "broken"), ("[1]\n", "broken")])
def test_a_broken_line_is_named(tmp_path, line, says):
    folder = a_trace().write(tmp_path, "jsonl")
    with (folder / "steps.jsonl").open("a") as file:
        file.write(line)
    with pytest.raises(InputError, match=rf"steps.jsonl:4: .*{says}"):
        read_trace(tmp_path)


def test_a_parquet_file_of_another_table_is_refused(tmp_path):
    folder = a_trace().write(tmp_path)
    (folder / "steps.parquet").write_bytes((folder / "runners.parquet").read_bytes())
    with pytest.raises(InputError, match=r"steps.parquet: broken"):
        read_trace(tmp_path)


def test_no_trace_says_what_to_give(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="no trace here"):
            read_trace(place)


def test_prices_of_a_farm_name_each_pool():
    farm = Farm(
        runner=Runner(16, price_per_minute=0.04),
        projects={"web": "app", "api": "app", "db": "db"},
        platforms={"linux/amd64": 1.0},
        overrides=(Override("db", None, Runner(32, price_per_minute=0.08)),),
        price=Price("runner", 0.2, 100.0),
    )
    assert Prices.of(farm) == Prices({"app linux/amd64": 0.04, "db linux/amd64": 0.08}, "runner", 0.2, 100.0)
