"""Bad, mixed and large input: one line with its place and what to do, never a traceback; text is read line by line."""

import gzip
import io
import json
import tarfile
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.inputs import assemble, read_log
from sim.inputs.formats.lines import clean
from sim.inputs.formats.plain import read_plain
from sim.inputs.formats.rawjson import read_rawjson
from sim.inputs.formats.wire import read_stream


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_line_cut_off_at_the_end_is_a_killed_build(recorded, tmp_path):
    text = (recorded / "pair-a.jsonl").read_text()
    found = read_log(write(tmp_path / "a", text[: len(text) * 2 // 3]))
    trace, notes = assemble(found, "a")
    assert list(trace.builds["outcome"]) == ["cancelled"]
    assert "the log ends" in notes[0]


def test_a_broken_line_in_the_middle_is_told_with_its_place(recorded, tmp_path):
    lines = (recorded / "pair-a.jsonl").read_text().splitlines()
    lines[7] = lines[7][:50]
    with pytest.raises(InputError, match=r"a:8: broken: not JSON; cut the line out"):
        read_log(write(tmp_path / "a", "\n".join(lines)))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"vertexes": 5}', "'vertexes' is no list"),
        ('{"vertexes": [5]}', "'vertexes' holds something else than objects"),
        ('{"vertexes": [{"name": "x"}]}', "a vertex has no digest"),
        ('{"vertexes": [{"digest": "sha256:0", "started": "soon"}]}', "not a time: 'soon'"),
        ('{"vertexes": [{"digest": "sha256:0", "inputs": "a"}]}', "the inputs of a vertex are no list"),
    ],
)
def test_json_that_is_no_status_is_told(recorded, tmp_path, line, what):
    with pytest.raises(InputError, match=f"a:1: broken: {what}"):
        read_log(write(tmp_path / "a", line + "\n" + (recorded / "pair-a.jsonl").read_text()))


def test_lines_of_other_programs_are_passed_over(recorded, tmp_path, imported):
    lines = (recorded / "pair-a.jsonl").read_text().splitlines()
    noise = ["make: building", '{"level": "info", "msg": "x"}', "{", "[]", "", '{"time": 1}']
    mixed = [one for line in lines for one in (line, noise[len(line) % 6])]
    mixed = [line for line in mixed if line != "{"]
    write(tmp_path / "a", "\n".join(mixed))
    assert imported("a", folder=tmp_path).steps == imported("pair-a.jsonl").steps


def test_times_and_colours_of_ci_before_each_line_do_not_matter(recorded, tmp_path, imported):
    lines = (recorded / "pair-a.jsonl").read_text().splitlines()
    write(tmp_path / "a", "\n".join(f"\x1b[36m2026-01-01T00:00:00.1234567Z {line}\x1b[0m\r" for line in lines))
    assert imported("a", folder=tmp_path).steps == imported("pair-a.jsonl").steps


def test_a_file_that_was_appended_to_holds_several_builds(recorded, tmp_path, imported):
    both = "".join((recorded / name).read_text() for name in ("pair-a.jsonl", "cached.jsonl", "no-cache.jsonl"))
    write(tmp_path / "a", both)
    found = imported("a", folder=tmp_path)
    assert [build["request"] for build in found.builds] == [0, 1, 2]
    apart = imported("pair-a.jsonl", "cached.jsonl", "no-cache.jsonl")
    assert [found.outcomes(build) for build in range(3)] == [apart.outcomes(build) for build in range(3)]


def test_two_bakes_in_one_file_are_two_requests(recorded, tmp_path, imported):
    write(tmp_path / "a", "".join((recorded / name).read_text() for name in ("bake.jsonl", "bake-failed.jsonl")))
    found = imported("a", folder=tmp_path)
    assert sorted((build["request"], build["target"]) for build in found.builds) == [
        (0, "app"), (0, "base"), (0, "db"), (1, "broken"), (1, "slow"),
    ]  # fmt: skip


def test_two_plain_builds_in_one_file(recorded, tmp_path, imported):
    write(tmp_path / "a", "".join((recorded / name).read_text() for name in ("plain.log", "plain-cached.log")))
    found = imported("a", folder=tmp_path)
    assert [set(found.outcomes(build).values()) for build in (0, 1)] == [{"executed"}, {"cached"}]


@pytest.mark.parametrize("name", ["pair-a.jsonl", "plain.log", "bake.dockerbuild"])
def test_compressed_files_are_read(recorded, tmp_path, imported, name):
    write(tmp_path / "a.gz", gzip.compress((recorded / name).read_bytes()))
    assert imported("a.gz", folder=tmp_path).steps == imported(name).steps


def test_a_bundle_that_is_unpacked_once_is_read(recorded, tmp_path, imported):
    write(tmp_path / "a.tar", gzip.decompress((recorded / "bake.dockerbuild").read_bytes()))
    assert imported("a.tar", folder=tmp_path).steps == imported("bake.dockerbuild").steps


def changed_bundle(recorded, change):
    """The bundle with some of its files changed or left out (None)."""
    out = io.BytesIO()
    with tarfile.open(recorded / "one.dockerbuild") as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            content = old.extractfile(member)
            data = change(member.name, content.read() if content else b"")
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda name, data: None if name == "index.json" else data,
        lambda name, data: b"{" if name == "index.json" else data,
        lambda name, data: b"[]" if name == "index.json" else data,
        lambda name, data: None if "blobs" in name else data,
        lambda name, data: data[: len(data) // 2],
        lambda name, data: data.replace(b"sha256:", b"sha512:"),
    ],
)
def test_a_broken_bundle_is_told(recorded, tmp_path, change):
    with pytest.raises(InputError, match=r"b: not a bundle|b .*: broken"):
        read_log(write(tmp_path / "b", changed_bundle(recorded, change)))


@pytest.mark.parametrize(
    "content",
    [b"", b"hello\n", b"\x00" * 1000, b"\x1f\x8bnot gzip", gzip.compress(b"x" * 99)[:-4]],
    ids=["empty", "text", "zeros", "magic only", "cut off"],  # not the content: a gzip header holds the time of day
)
def test_what_is_no_log_is_told(tmp_path, content):
    with pytest.raises(InputError, match=r"a: (no build progress in it|cannot read)"):
        read_log(write(tmp_path / "a", content))


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            read_log(str(path))


def test_a_listing_without_its_logs_says_how_to_get_them(recorded, tmp_path):
    text = (recorded / "pair" / "histories.jsonl").read_text()
    with pytest.raises(InputError, match=r"h:1: the log of build \w+ is missing; save it beside: buildctl debug logs"):
        read_log(write(tmp_path / "h", text))


def test_a_listing_reads_no_file_outside_of_its_folder(recorded, tmp_path):
    record = json.loads((recorded / "pair" / "histories.jsonl").read_text().splitlines()[0])
    record["record"]["Ref"] = "../secret"
    with pytest.raises(InputError, match="h:1: not a record of a build"):
        read_log(write(tmp_path / "h", json.dumps(record)))


def test_a_status_stream_that_breaks_off_gives_what_stands_before(recorded):
    with tarfile.open(recorded / "one.dockerbuild") as archive:
        blobs = [archive.extractfile(member).read() for member in archive if member.isfile()]
    stream = next(blob for blob in blobs if not blob.startswith(b"{"))
    whole = list(read_stream(stream))
    assert whole[0]["vertexes"][0]["digest"].startswith("sha256:")
    events = read_stream(stream + b"\x05\x00\x00\x00ab")
    assert [next(events) for _ in whole] == whole
    with pytest.raises(ValueError, match="ends within a message"):
        next(events)


@pytest.mark.parametrize(
    ("line", "text", "has_time"),
    [
        ("2026-05-01T10:00:00.1234567Z #1 DONE 0.1s", "#1 DONE 0.1s", True),
        ("[2026-05-01T10:00:00.123Z] #1 DONE 0.1s", "#1 DONE 0.1s", True),
        ("2026-05-01T10:00:00.123456Z 01O #1 DONE 0.1s", "#1 DONE 0.1s", True),
        ("\x1b[0m\x1b[1;32m#1 DONE 0.1s\x1b[0m", "#1 DONE 0.1s", False),
        ("#1 DONE 0.1s\r\n", "#1 DONE 0.1s", False),
        ("2026-99-99T10:00:00Z #1 x", "2026-99-99T10:00:00Z #1 x", False),
    ],
)
def test_what_ci_puts_around_a_line_is_taken_off(line, text, has_time):
    found, at_ns = clean(line)
    assert (found, at_ns is not None) == (text, has_time)


def mangled(draw, text):
    """The text with pieces cut out, doubled, or replaced by noise. JSON can spell half a surrogate pair; a file holds none."""
    for _ in range(draw(st.integers(1, 6))):
        begin = draw(st.integers(0, len(text)))
        end = begin + draw(st.integers(0, 400))
        piece = draw(st.sampled_from(["", text[begin:end] * 2, "\\ud800", "null", "{}", "9" * 30, "\n", '"', "\x00"]))
        text = text[:begin] + piece + text[end:]
    return text


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mangled_logs_give_a_trace_or_one_line(recorded, data):
    name = data.draw(
        st.sampled_from(["pair-b.jsonl", "bake.jsonl", "killed-waiter.jsonl", "plain-bake.log", "plain-timed.log"])
    )
    text = mangled(data.draw, (recorded / name).read_text())
    read = read_plain if name.endswith(".log") else read_rawjson
    try:
        trace, _ = assemble(read(text.splitlines(keepends=True), "x"), "x")
        for kind in ("builds", "steps"):
            trace.table(kind).to_arrow()
    except InputError as error:
        assert "\n" not in str(error)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mangled_bundles_give_a_trace_or_one_line(recorded, tmp_path_factory, data):
    content = bytearray(gzip.decompress((recorded / "one.dockerbuild").read_bytes()))
    for _ in range(data.draw(st.integers(1, 10))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mangled"
    try:
        assemble(read_log(write(path, bytes(content))), "x")
    except InputError as error:
        assert "\n" not in str(error)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_stream_or_a_value_error(stream):
    try:
        for event in read_stream(stream):
            assert set(event) <= {"vertexes", "statuses", "logs"}
    except ValueError as error:
        assert str(error)


def test_a_log_of_50_mb_takes_little_memory(recorded, tmp_path):
    head, tail = (recorded / "pair-a.jsonl").read_text(), (recorded / "cached.jsonl").read_text()
    line = json.dumps(
        {"logs": [{"vertex": "sha256:0", "data": "x" * 400, "timestamp": "2026-01-01T00:00:00Z"}]},
        separators=(",", ":"),
    )
    status = json.dumps(
        {"statuses": [{"id": "y", "vertex": "sha256:0", "current": 1, "timestamp": "2026-01-01T00:00:00Z"}]}
    )
    with (tmp_path / "a").open("w") as file:
        file.write(head)
        for _ in range(10_000):
            file.write((line + "\n") * 10 + status + "\n")
        file.write(tail)
    assert (tmp_path / "a").stat().st_size > 45e6
    tracemalloc.start()
    try:
        found = read_log(str(tmp_path / "a"))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 2
    assert peak_bytes < 20e6
