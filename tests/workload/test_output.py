"""Outputs: buildx's words, the scenario's, and which of them holds."""

import pytest

from sim.errors import InputError
from sim.workload import draw
from sim.workload.output import Output, outputs_of, parse


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("type=image", Output()),
        ("push=true,type=image", Output(push=True)),
        ("type=image,push=false", Output()),
        ("type=registry", Output("registry", push=True)),
        ('type=image,"name=a/b,c/d",push=1', Output(push=True)),
        ("type=image,name=a/b,c/d,push=true", Output(push=True)),
        ("type=docker,dest=x.tar", Output("docker")),
        ("type=oci,push=true,compression=zstd", Output("oci", compression="zstd")),
        ("compression=estargz,force-compression=true,oci-mediatypes=true,type=image", Output(compression="estargz")),
        ("type=local,dest=out", Output("local")),
        ("out/bin", Output("local")),
        ("-", Output("tar")),
        ("push=true", Output("local")),  # a folder of that name, to buildx
        ("type=cacheonly", Output("cacheonly")),
    ],
)
def test_words_of_buildx(text, output):
    assert parse(text) == output


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("type=imag", "unknown output type 'imag'"),
        ("type=image,compression=xz", "unknown compression 'xz'"),
        ("push=true,name=x", "unknown output type ''"),
        ("", "unknown output type ''"),
        ("type=image\nx", "not an output"),
    ],
)
def test_words_that_buildx_does_not_know(text, part):
    with pytest.raises(InputError, match=part):
        parse(text)


def test_the_target_s_own_outputs_hold_unless_the_scenario_speaks():
    own = ("type=image,push=true", "out")
    assert outputs_of(None, own) == (Output(push=True), Output("local"))
    assert outputs_of(Output("oci"), own) == (Output("oci"),)


def test_without_an_output_nothing_is_exported():
    assert outputs_of(None, ()) == ()
    assert outputs_of(None, ("type=cacheonly",)) == ()
    assert outputs_of(Output("cacheonly"), ("type=image",)) == ()
    assert outputs_of(Output("cacheonly", cache_to="s3"), ()) == (Output("cacheonly", cache_to="s3"),)


def test_vertices_have_buildkit_s_names():
    assert Output("oci").vertex == "exporting to oci image format"
    assert Output("cacheonly", cache_to="registry").vertex == ""
    assert Output(cache_to="inline").cache_vertex == ""
    assert Output(cache_to="gha").cache_vertex == "exporting to GitHub Actions Cache"


def test_only_what_makes_blobs_or_needs_bytes_says_so():
    assert [Output(kind).makes_blobs for kind in ("image", "oci", "tar", "local")] == [True, True, False, False]
    assert [Output(kind).reads_layers for kind in ("image", "oci", "tar", "local")] == [False, True, True, True]


def test_requests_carry_their_entry_s_output(a_scenario, graphs):
    written = {"type": "registry", "compression": "zstd", "cache_to": "registry", "cache_mode": "max"}
    entries = [
        {"build": ["app"], "arrivals": {"times": ["1s"]}, "output": written},
        {"build": ["test"], "arrivals": {"times": ["2s"]}},
    ]
    first, second = draw(a_scenario(*entries), graphs, 1)
    assert first.output == Output("registry", True, "zstd", "registry", "max")
    assert second.output is None


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ({"type": "local", "push": True}, "push goes with type: image"),
        ({"type": "tar", "cache_to": "inline"}, "cache_to: inline is written into an image"),
        ({"cache_to": "inline", "cache_mode": "max"}, "cache_mode: max does not go with cache_to: inline"),
        ({"cache_mode": "max"}, "cache_mode: max does not go with cache_to: none"),
    ],
)
def test_what_does_not_go_together_is_told(a_scenario, written, part):
    with pytest.raises(ValueError, match=part):
        a_scenario({"build": ["app"], "arrivals": {"times": ["1s"]}, "output": written})


def test_a_bake_target_s_unknown_output_is_told_before_anything_runs(a_scenario, graphs, monkeypatch):
    monkeypatch.setattr(type(graphs), "outputs", lambda _, target: ("type=moby",) if target == "test" else ())
    with pytest.raises(InputError, match="target 'test': unknown output type 'moby'"):
        draw(a_scenario({"build": ["app"], "arrivals": {"times": ["1s"]}}), graphs, 1)
