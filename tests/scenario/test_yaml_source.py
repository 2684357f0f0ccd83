from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.scenario.yaml_source import MAX_FILE_BYTES, apply_set, compose, read


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        compose(text, "s.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e3", 1000.0),
        ("on", "on"),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("017", 17),
        ("0o17", 15),
        ("0x1f", 31),
        ("1.10", 1.1),
        ("true", True),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("1_000", "1_000"),
        ("2001-01-01", "2001-01-01"),
        (".inf", math.inf),
    ],
)
def test_scalars_follow_yaml_1_2(written: str, value: object) -> None:
    assert compose(f"a: {written}", "s.yaml").plain() == {"a": value}


def test_every_value_and_key_knows_its_place() -> None:
    tree = compose("farm:\n  size: large\nlist:\n- a\n-   b\n", "s.yaml")
    assert tree.get("farm", "size").where == "s.yaml:2:9"  # type: ignore[union-attr]
    assert tree.get("farm").where_key("size") == "s.yaml:2:3"  # type: ignore[union-attr]
    assert tree.get("list", 1).where == "s.yaml:5:5"  # type: ignore[union-attr]


def test_a_duplicate_key_is_refused_with_both_lines_and_all_at_once() -> None:
    lines = refused("a: 1\nb: {c: 1, c: 2}\na: 3\n").splitlines()
    assert lines == [
        "s.yaml:2:11: duplicate key 'c', first written at s.yaml:2:5; remove one of the two",
        "s.yaml:3:1: duplicate key 'a', first written at s.yaml:1:1; remove one of the two",
    ]


def test_anchors_aliases_and_merges_work() -> None:
    tree = compose("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: *x\nf: {<<: [{b: 9}, *x]}\n", "s.yaml")
    assert tree.plain() == {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}, "e": {"b": 1, "c": 2}, "f": {"b": 9, "c": 2}}


def test_an_alias_bomb_is_one_line() -> None:
    names = "abcdefghijkl"
    rows = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"{one}: &{one} [{', '.join([f'*{before}'] * 10)}]" for before, one in itertools.pairwise(names)]
    message = refused("\n".join(rows))
    assert "after expanding aliases" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &x [*x]", "no complete anchor"),
        ("[" * 100_000, "nested deeper"),
        ("a: [1,2", "s.yaml:.*not valid YAML"),
        ("a:\n\t- b", "s.yaml:2:1: not valid YAML.*tabs"),
        ("a: \x01", "not valid YAML"),
        ("--- 1\n--- 2", "more than one YAML document"),
        ("? [a]\n: 3", "a key must be a word"),
        ("a: !!python/object:os.system {}", "s.yaml:1:4: unknown tag .*os.system"),
        ("a: !secret x", "unknown tag !secret"),
    ],
)
def test_broken_yaml_is_one_line_with_a_place(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        compose(text, "s.yaml")
    assert "\n" not in str(caught.value)


def test_a_file_of_50_mb_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    with file.open("wb") as out:
        out.truncate(50_000_000)
    with pytest.raises(InputError, match=f"50 MB; a scenario may have {MAX_FILE_BYTES // 1_000_000} MB"):
        read(file, "big.yaml")


def test_other_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe4\n")
    with pytest.raises(InputError, match=r"latin.yaml:2: the file is not UTF-8"):
        read(tmp_path / "latin.yaml", "latin.yaml")
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / "none.yaml", "none.yaml")


TREE = "workload:\n- build: &i [a]\n- build: *i\nfarm: {autoscaling: off, size: large}\n"


@pytest.mark.parametrize(
    ("flag", "path", "value"),
    [
        ("farm.size=xlarge", ("farm", "size"), "xlarge"),
        ("workload.1.arrivals.rate=12/h", ("workload", 1, "arrivals", "rate"), "12/h"),
        ("farm.autoscaling.builds_per_instance=2", ("farm", "autoscaling"), {"builds_per_instance": 2}),
        ("farm.cache.max=5GB", ("farm", "cache"), {"max": "5GB"}),
        ("farm.overrides=[{project: app, size: large}]", ("farm", "overrides", 0), {"project": "app", "size": "large"}),
        ("farm.size=null", ("farm", "size"), None),
        ("start=mon 08:00", ("start",), "mon 08:00"),
    ],
)
def test_set_writes_yaml_into_the_tree(flag: str, path: tuple[str | int, ...], value: object) -> None:
    node = apply_set(compose(TREE, "s.yaml"), flag).get(*path)
    assert node is not None
    assert node.plain() == value


def test_set_leaves_other_users_of_an_alias_alone() -> None:
    tree = apply_set(compose(TREE, "s.yaml"), "workload.0.build.0=z")
    assert tree.plain()["workload"] == [{"build": ["z"]}, {"build": ["a"]}]  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("farm", "not of the form a.b=c"),
        (".=1", "not of the form a.b=c"),
        ("workload.7.build=[a]", "workload is a list of 2; use a number from 0 to 1"),
        ("farm.size.big=1", "farm.size is the single value 'large'"),
        ("farm.size=[", "not valid YAML"),
    ],
)
def test_a_wrong_set_names_the_flag(flag: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        apply_set(compose(TREE, "s.yaml"), flag)
    assert str(caught.value).startswith(f"--set {flag}: ")
