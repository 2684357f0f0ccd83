"""The registry's blobs and caches; pulls: in parallel, unpacked in order, shared, cancelled."""

from dataclasses import replace

import pytest
from export_builders import MB, PUSH, ROUND, World, layers_of

from sim.model.registry import GZIP, NO_CACHE, ZSTD, Blob, CacheRecord, Layer, Manifest, Registry

# A request 10 ms, 100 MB/s to unpack; the network has 100 MB/s.
PULLING = replace(ROUND, unpack_byte_cpu_s=1 / 150e6, write_byte_cpu_s=1 / 300e6)


def lazy(*sizes_mb, first=1):
    """Layers that pack to these sizes and unpack to twice as much."""
    return [Layer(first + at, 2 * size * MB, is_blob=True) for at, size in enumerate(sizes_mb)]


class Pulling(World):
    """Pulls that note (name, time, bytes received, core-seconds) when they end."""

    def __init__(self, **options):
        super().__init__(daemon=PULLING, **options)

    def pull(self, name, layers):
        return self.exporter.pull(
            layers, lambda pull: self.ended.append((name, self.env.now, pull.received_bytes, pull.cpu_s))
        )

    def times(self):
        self.env.run()
        return [(name, pytest.approx(at_s)) for name, at_s, _, _ in self.ended]


def test_what_has_been_pushed_is_there():
    registry = Registry()
    registry.add(1, Blob(ZSTD, 5.0))
    assert registry.has(1, ZSTD)
    assert not registry.has(1, GZIP)
    assert not registry.has(1, ZSTD, "s3")
    assert registry.find(1) == Blob(ZSTD, 5.0)
    assert registry.find(2) is None


def test_a_cache_export_replaces_the_former_under_its_reference():
    registry = Registry()
    old, new = Manifest({1: CacheRecord(11, 5.0)}, {}), Manifest({2: CacheRecord(12, 5.0, (1,), 3.0)}, {5: 2})
    registry.write_cache(("app", "linux/amd64"), old)
    registry.write_cache(("app", "linux/amd64"), new)
    assert registry.cache(("app", "linux/amd64")) == new
    assert registry.cache("other") == NO_CACHE


def test_one_layer_by_hand():
    world = Pulling()
    world.pull("a", lazy(10))
    assert world.times() == [("a", 0.01 + 0.1 + 0.2)]
    assert world.ended[0][2:] == (10 * MB, pytest.approx(0.2))


def test_downloads_share_the_network_and_unpack_base_to_top():
    # 10 and 30 MB over 100 MB/s: the base is there at 0.21, the top at 0.41, when the base is just unpacked (0.2 s).
    world = Pulling()
    world.pull("a", lazy(10, 30))
    assert world.times() == [("a", 0.01 + 0.2 + 0.2 + 0.6)]


def test_a_top_that_comes_first_waits_for_its_base():
    # The top is there at 0.21 s, the base at 0.41; then both are unpacked one after the other.
    world = Pulling()
    world.pull("a", lazy(30, 10))
    assert world.times() == [("a", 0.01 + 0.4 + 0.6 + 0.2)]


def test_two_who_need_a_layer_get_it_once():
    world = Pulling()
    world.pull("a", lazy(10))
    world.pull("b", lazy(10, 0))
    assert world.times() == [("a", 0.31), ("b", 0.31)]
    assert sum(received for _, _, received, _ in world.ended) == 10 * MB


def test_four_connections_are_shared_with_pushes():
    world = Pulling()
    world.pull("a", lazy(0, 0, 0, 0, 0))
    assert world.times() == [("a", 0.02)]
    world = Pulling()
    world.export(0, [Layer(at, 40 * MB, is_blob=True) for at in range(50, 54)], PUSH)
    world.env.run(until=0.2)
    world.pull("a", lazy(0))
    # The push has all four from 0.03 on: requests 0.02, 80 MB 0.8.
    world.env.run(until=0.85)
    assert world.ended == []
    world.env.run()
    assert {name: pytest.approx(at_s) for name, at_s, *_ in world.ended} == {"a": 0.86, 0: 0.86}


def test_no_layers_end_at_once_but_not_before():
    world = Pulling()
    world.pull("a", [])
    assert world.ended == []
    assert world.times() == [("a", 0.0)]


def test_a_cancelled_pull_leaves_what_others_wait_for():
    world = Pulling()
    both = world.pull("both", lazy(10, 30))
    world.pull("base", lazy(10))
    world.env.run(until=0.1)
    both.cancel()
    # Of the base 5.5 MB are missing then, and it has the network for itself.
    received = 0.09 * 50 * MB
    assert world.times() == [("base", 0.1 + (10 * MB - received) / (100 * MB) + 0.2)]


def test_cancelled_pulls_give_their_connections_back():
    world = Pulling()
    pulls = [world.pull(name, lazy(100, 100, 100, first=10 * at)) for at, name in enumerate("ab")]
    world.env.run(until=0.5)
    for pull in pulls:
        pull.cancel()
    world.pull("c", lazy(10, first=90))
    assert world.times() == [("c", 0.5 + 0.31)]


def test_cancelled_while_waiting_for_a_connection():
    world = Pulling()
    world.pull("a", lazy(10, 10, 10, 10))
    waiting = world.pull("b", lazy(10, first=50))
    world.env.run(until=0.1)
    waiting.cancel()
    assert world.times() == [("a", 0.01 + 0.4 + 4 * 0.2)]
    assert waiting.received_bytes == 0


def test_cancelled_while_unpacking_pays_for_it():
    world = Pulling()
    pull = world.pull("a", lazy(10, 10))
    world.env.run(until=0.31)
    pull.cancel()
    world.env.run()
    assert world.ended == []
    assert pull.cpu_s == pytest.approx(world.engine.cpu_s) == pytest.approx(0.1)
    world.pull("a", layers_of(0))
    assert len(world.times()) == 1


def test_the_first_to_get_a_layer_may_cancel_the_second():
    world = Pulling()
    waiting = []
    world.exporter.pull(lazy(10), lambda _: waiting[0].cancel())
    waiting.append(world.pull("b", lazy(10)))
    assert world.times() == []
    assert world.env.now == pytest.approx(0.31)
