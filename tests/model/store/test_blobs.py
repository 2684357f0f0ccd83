"""Packed layers: once a daemon, reused whatever is asked for, and draws that belong to the layer."""

import pytest
from export_builders import IMAGE, MB, World, layers_of

from sim.model.registry import GZIP, UNCOMPRESSED, ZSTD, Blob, Layer
from sim.workload.output import Output


def test_a_layer_is_packed_once_for_all_who_ask():
    world = World(cpus=1.0)
    for build in range(3):
        world.export(build, layers_of(20), IMAGE)
    world.env.run()
    assert world.engine.cpu_s == pytest.approx(0.4 + 3 * 0.03)


def test_the_second_compression_reuses_the_first_blob():
    """Without force-compression (buildkit-semantics 7)."""
    world = World()
    world.alone(layers_of(20), IMAGE)
    assert world.alone(layers_of(20), Output(compression="zstd")) == pytest.approx(0.03)
    assert world.exporter.blobs.blob(Layer(1, 20 * MB)) == Blob(GZIP, 10 * MB)


def test_who_joins_another_s_packing_gets_its_compression():
    world = World()
    world.export(0, layers_of(20), Output(compression="uncompressed"))
    world.export(1, layers_of(20), IMAGE)
    world.env.run()
    assert world.exporter.blobs.blob(Layer(1, 20 * MB)) == Blob(UNCOMPRESSED, 20 * MB)


def test_layers_from_a_registry_are_blobs_already():
    world = World()
    assert world.alone([Layer(1, 20 * MB, is_blob=True)], IMAGE) == pytest.approx(0.03)
    world.registry.add(2, Blob(ZSTD, 5 * MB))
    assert world.exporter.blobs.blob(Layer(2, 20 * MB, is_blob=True)) == Blob(ZSTD, 5 * MB)


def test_kept_blobs_outlive_the_daemon_and_new_ones_are_told():
    kept, told = {}, []
    world = World(kept=kept, on_blob=lambda key, packed_bytes: told.append((key, packed_bytes)))
    world.alone(layers_of(20), IMAGE)
    assert told == [(1, 10 * MB)]
    assert World(kept=kept).alone(layers_of(20), IMAGE) == pytest.approx(0.03)
    del kept[1]
    assert World(kept=kept).alone(layers_of(20), IMAGE) == pytest.approx(0.43)


def test_layers_differ_but_each_is_the_same_everywhere():
    worlds = [World(spread=1.0, seed=5), World(spread=1.0, seed=5), World(spread=1.0, seed=6)]
    first, again, other = ([world.alone([Layer(key, 20 * MB)], IMAGE) for key in (1, 2)] for world in worlds)
    assert first == again
    assert len({*first, *other}) == 4


def test_no_layer_grows_by_packing():
    blobs = World(spread=3.0, seed=1).exporter.blobs
    packed = [blobs.expected(Layer(key, 1.0)).packed_bytes for key in range(300)]
    assert max(packed) == 1.0
    assert sorted(packed)[150] == pytest.approx(0.5, rel=0.2)
