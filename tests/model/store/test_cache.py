"""A clone is a fork: against plain dicts that are copied in full."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sim.model.store.cache import Cache

MOVES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 9)), max_size=60)


@settings(max_examples=200, deadline=None, print_blob=True)
@given(moves=MOVES)
def test_clones_and_base_never_see_each_others_additions(moves):
    base = Cache()
    pairs = [(base, {}, {})]
    for kind, key, value in moves:
        if kind == 0:
            _, records, links = pairs[0]
            pairs.append((base.clone(), dict(records), dict(links)))
        cache, records, links = pairs[value % len(pairs)]
        if kind == 1:
            cache.add_record(key, value)
            records[key] = value
        elif kind == 2:
            cache.add_link(key, value)
            links[key] = value
        for one, expected_records, expected_links in pairs:
            for at in range(6):
                assert one.record(at) == expected_records.get(at)
                assert one.link(at) == expected_links.get(at)


def test_stored_bytes_are_charged_by_time_up_to_the_limit():
    cache = Cache()
    cache.grow(10.0, 100.0, 150.0)
    cache.grow(20.0, 100.0, 150.0)
    cache.grow(30.0, 0.0, 150.0)
    assert cache.byte_s == 100.0 * 10 + 150.0 * 10
