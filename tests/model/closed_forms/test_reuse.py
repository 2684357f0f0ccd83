"""Work that is shared or kept: in-flight dedup as a renewal process, and caches under independent references.

In: `no_cache` requests of one key; items of Zipf popularity, drawn independently. Out: the rule's verdicts.
"""

from dataclasses import replace
from math import exp, inf

import numpy as np
import pytest
from builders import Handmade, a_farm, a_graph, a_request, ideal, run, simulated
from queueing import check, judge

from sim.model.store.cache import Cache
from sim.scenario.farm import CacheLimits

LONG_S = 1.0  # the one RUN takes it, D below
RATE = 1.0
WARM_UP, COUNT = 30, 500


def merged(replications, dedup=True, seed=31_000):
    """What share of `no_cache` requests of one key executes: 1 / (1 + lambda D); how long a request takes.

    An execution starts with an arrival and takes those of the next D seconds along: a renewal process whose cycles last
    D + 1 / lambda. The lambda D that join wait D / 2 on average. Controls: gaps, and
    how many of them, or of two in a row, are longer than some times.
    """
    profile = ideal(("RUN work", {"latency": LONG_S}))

    def sample(seed):
        gaps = np.random.default_rng(seed).exponential(1.0 / RATE, WARM_UP + COUNT)
        requests = [a_request(i, at_s, no_cache=True) for i, at_s in enumerate(np.cumsum(gaps).tolist())]
        trace = simulated(a_graph(run("work")), requests, profile, a_farm(dedup=dedup), seed=seed)
        executed = trace.steps.equals("outcome", "executed") & trace.steps.equals("step", "RUN work")
        executed &= trace.steps["build"] >= WARM_UP  # builds are numbered as they start, here as they arrive
        took_s = (trace.builds["completed_s"] - trace.builds["arrived_s"])[trace.builds["build"] >= WARM_UP]
        gaps = gaps[WARM_UP:]
        controls = [np.mean(gaps) - 1.0 / RATE]
        controls += [np.mean(gaps > wait_s) - exp(-RATE * wait_s) for wait_s in (0.3 * LONG_S, 0.6 * LONG_S, LONG_S)]
        controls += [np.mean(gaps[1:] + gaps[:-1] > LONG_S) - exp(-RATE * LONG_S) * (1 + RATE * LONG_S)]
        return [np.sum(executed) / COUNT, np.mean(took_s)], controls

    joins = RATE * LONG_S
    theory = {"executed": 1 / (1 + joins), "E[T]": LONG_S * (1 + joins / 2) / (1 + joins)}
    return check("dedup in flight", range(seed, seed + replications), sample, theory)


def test_requests_in_flight_are_merged_as_a_renewal_process_says():
    verdict = merged(34)
    assert verdict.accepted, verdict.detail


def test_twin_fails_without_dedup():
    """Broken: `dedup: off`, so each request executes its own."""
    assert merged(8, dedup=False).refuted


# Caches under independent references. All items have one byte.


def zipf(items, exponent=0.8):
    popularity = np.arange(1, items + 1) ** -exponent
    return popularity / popularity.sum()


def hit_ratio(popularity, size, hits):
    """The share of hits, where `hits(x)` is an item's for x expected references in the time T_C, that fills the cache.

    LRU: 1 - exp(-x) [Che, Tung & Wang 2002].
    """
    low, high = 0.0, 1e12
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.sum(hits(popularity * middle)) < size else (low, middle)
    return float(np.sum(popularity * hits(popularity * low)))


def of_lru(x):
    return 1.0 - np.exp(-x)


def through_the_cache(items, times, limits):
    """Whether each reference hits, as a build looks a record up: found, held, let go; or made anew."""
    cache = Cache(limits)
    found = []
    for key, now_s in zip((items + 1).tolist(), times.tolist(), strict=True):
        if cache.needs_collection(now_s):
            cache.collect(now_s)
        found.append(cache.record(key) is not None)
        if not found[-1]:
            cache.add_record(key, 1, now_s, 1.0)
        cache.hold(key)
        cache.release(key, now_s)
    return np.array(found)


def through_the_model(items, times, limits):
    """Whether each build of a target finds its one step; every target has a step of its own."""
    targets = {
        f"item-{item}": a_graph(run(f"item {item}"), target=f"item-{item}") for item in np.unique(items).tolist()
    }
    farm = replace(a_farm(targets=tuple(targets)), cache=limits)
    references = zip(items.tolist(), times.tolist(), strict=True)
    requests = [a_request(place, at_s, (f"item-{item}",)) for place, (item, at_s) in enumerate(references)]
    steps = simulated(Handmade(targets), requests, ideal(("RUN item *", {"write": 1.0})), farm).steps
    found = np.zeros(len(items), dtype=bool)
    found[steps["build"][steps.equals("outcome", "cached") & steps.equals("kind", "exec")].astype(int)] = True
    return found


def hits(name, through, popularity, limits, theory, *, warm_up, replications, gap_s=1.0, seed=32_000):
    """The hit ratio to 1 % absolute. Controls: items that were asked for in the last so many."""
    count, spans = 1500, [warm_up // 20, warm_up // 10, warm_up // 4, warm_up // 2]
    measured, controls = [], []
    for place in range(replications):
        rng = np.random.default_rng(seed + place)
        items = rng.choice(len(popularity), warm_up + count, p=popularity)
        times = np.cumsum(rng.exponential(gap_s, len(items)))
        measured.append(np.mean(through(items, times, limits)[warm_up:]))
        ago = since_last(items)[warm_up:]
        controls.append([np.mean(ago <= span) - np.sum(popularity * (1 - (1 - popularity) ** span)) for span in spans])
    verdict = judge(name, measured, theory, controls, within=0.01)
    print(f"{verdict.detail}; seeds {seed}-{seed + replications - 1}")
    return verdict


def since_last(items):
    """How many references ago each item was asked for."""
    last, found = {}, []
    for place, item in enumerate(items.tolist()):
        found.append(place - last.get(item, -inf))
        last[item] = place
    return np.array(found)


def lru(through, number, size, replications=12):
    """Che's hit ratio of a cache for `size` of `number` items."""
    popularity = zipf(number)
    theory = hit_ratio(popularity, size, of_lru)
    limits = CacheLimits(float(size), policy="lru")
    name = f"hits of {size} of {number}"
    return hits(name, through, popularity, limits, theory, warm_up=5 * size, replications=replications)


def time_to_live(through, replications=12):
    """The hit ratio when an item goes a time T after its last use: 1 - exp(-lambda T), exactly.

    T is two days, with a reference each quarter of an hour: the minute between two collections is nothing beside it.
    """
    popularity, gap_s, keep_s = zipf(1000), 900.0, 180_000.0
    theory = float(np.sum(popularity * of_lru(popularity * keep_s / gap_s)))
    limits = CacheLimits(keep_s=keep_s, policy="lru")
    options = {"warm_up": 1000, "replications": replications, "gap_s": gap_s}
    return hits("hits by age", through, popularity, limits, theory, **options)


def uses_forgotten(monkeypatch):
    """An item keeps the time at which it was made as its last use."""
    made = {}
    add, release = Cache.add_record, Cache.release

    def add_record(cache, key, result, now_s=0.0, *rest, **named):
        made[id(cache), key] = now_s
        add(cache, key, result, now_s, *rest, **named)

    monkeypatch.setattr(Cache, "add_record", add_record)
    monkeypatch.setattr(
        Cache, "release", lambda cache, key, now_s: release(cache, key, made.get((id(cache), key), now_s))
    )


@pytest.mark.parametrize("size", [100, 1000])
def test_an_lru_cache_of_ten_thousand_items_hits_as_che_says(size):
    verdict = lru(through_the_cache, 10_000, size)
    assert verdict.accepted, verdict.detail


def test_builds_hit_an_lru_cache_as_che_says():
    verdict = lru(through_the_model, 1000, 100, replications=9)
    assert verdict.accepted, verdict.detail


def test_builds_miss_only_what_is_new_when_the_cache_has_room_for_all():
    rng = np.random.default_rng(33_000)
    items = rng.choice(300, 2000, p=zipf(300))
    found = through_the_model(items, np.arange(2000.0), CacheLimits(300.0, policy="lru"))
    assert np.array_equal(found, np.isfinite(since_last(items)))


@pytest.mark.parametrize("through", [through_the_cache, through_the_model])
def test_twin_fails_when_uses_are_forgotten(through, monkeypatch):
    """Broken: a hit does not count as a use, so LRU is FIFO."""
    uses_forgotten(monkeypatch)
    assert lru(through, 1000, 100, replications=8).refuted


@pytest.mark.parametrize("through", [through_the_cache, through_the_model])
def test_items_are_kept_for_a_time_after_their_last_use(through):
    verdict = time_to_live(through)
    assert verdict.accepted, verdict.detail


def test_twin_fails_when_age_counts_from_the_making(monkeypatch):
    """Broken: a hit does not count as a use, so an item goes a fixed time after it was made: lambda T / (1 + lambda T)."""
    uses_forgotten(monkeypatch)
    assert time_to_live(through_the_cache, replications=8).refuted
