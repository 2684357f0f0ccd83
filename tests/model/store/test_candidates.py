"""The order of deletion: the fast structure against sortDeleteRecords, read aloud."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sim.model.store.candidates import Candidates, by_score

# Item, last use (few values, so that many are equal), number of uses, and whether it may go.
MOVES = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 12), st.integers(0, 6), st.booleans()), max_size=80)


@settings(max_examples=300, deadline=None, print_blob=True)
@given(moves=MOVES, copied_at=st.integers(0, 80))
def test_deletes_in_the_order_of_buildkits_sort(moves, copied_at):
    fast, slow = Candidates(), {}
    twin, slow_twin = fast.copy(), {}
    for move, (key, last_s, uses, may_go) in enumerate(moves):
        if move == copied_at:
            twin, slow_twin = fast.copy(), slow.copy()
        if may_go:
            fast.put(key, key, float(last_s), uses)
            slow[key] = (float(last_s), key, key, uses)
        else:
            fast.discard(key)
            slow.pop(key, None)
    for candidates, expected in ((fast, slow), (twin, slow_twin)):
        while expected:
            first = by_score(list(expected.values()))[0][2]
            assert candidates.first() == first
            candidates.discard(first)
            del expected[first]
        assert candidates.first() is None
        assert not candidates


@settings(max_examples=100, deadline=None, print_blob=True)
@given(moves=MOVES)
def test_the_oldest_is_the_longest_unused(moves):
    candidates, slow = Candidates(by_uses=False), {}
    for key, last_s, uses, _ in moves:
        candidates.put(key, key, float(last_s), uses)
        slow[key] = (float(last_s), key)
        assert candidates.oldest() == min(slow, key=slow.__getitem__)
        assert candidates.oldest_s() == min(slow.values())[0]


def test_old_and_rarely_used_go_before_new_or_often_used():
    candidates = Candidates()
    for key, (last_s, uses) in {1: (10.0, 5), 2: (20.0, 1), 3: (90.0, 9), 4: (30.0, 1)}.items():
        candidates.put(key, key, last_s, uses)
    order = []
    while (key := candidates.first()) is not None:
        order.append(key)
        candidates.discard(key)
    # 2: place 3 of 5 + 2 of 4. 1: 2 of 5 + 3 of 4. Then 4 alone has one use: 3 of 4 + 2 of 4 against 2 of 4 + 3 of 4.
    assert order == [2, 4, 1, 3]
