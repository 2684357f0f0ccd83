"""Context copies: what a client sends, each measured fact of buildkit-semantics 13.2 and 5 in bytes; and a slow twin."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.graph.types import Context, Graph, Input, Step
from sim.model.store.cache import Cache
from sim.model.store.contexts import ContextCopies, Selection
from sim.scenario.farm import CacheLimits
from sim.workload.request import Content
from sim.workload.selection import changed_files

KB = 1000
# 13.2: 55.7 MB in all for `COPY .`, 1.2 MB of it for `COPY small`.
FILES = {"big.bin": 50_000 * KB, "large/a": 4_500 * KB, "small/a": 700 * KB, "small/b": 500 * KB}
ALL = 55_700 * KB
APP = Selection(Context("app", FILES), [("/",)])
SMALL = Selection(Context("app", FILES), [("/small",)])
LARGE = Selection(Context("app", FILES), [("/large",)])
OTHER_PROJECT = Selection(Context("db", FILES), [("/",)])
SAME_BASE_NAME = Selection(Context("other/app", FILES), [("/",)])


def a_pool(**options):
    """On a disk whose garbage collection takes whatever was unused for ten seconds."""
    return ContextCopies(Cache(CacheLimits(keep_s=10.0)), **options)


def sizes(copies):
    """The bytes of all copies on the disk."""
    cache = copies._cache
    return [cache.item_bytes("context", number) for number in cache.items("context")]


def held_numbers(copies):
    return {number for _, number in copies._cache._disk.holds}


def a_content(*versions):
    return Content(tuple(sorted(versions)))


START = a_content()


def begin(copies, selection=APP, content=START, client=1, fresh=False, touches=()):
    return copies.take(selection, content, client=client, fresh=fresh, now_s=0.0, touches=touches)


def build(copies, *args, **options):
    """A build from start to end: what its client sent."""
    transfer = begin(copies, *args, **options)
    copies.give_back(transfer.copy, 1.0)
    return transfer.sent_bytes


def test_the_first_build_sends_all_the_next_only_the_list():
    copies = a_pool()
    assert [build(copies) for _ in range(3)] == [ALL, 0, 0]
    assert begin(copies).files == 4


def test_buildx_keeps_projects_apart_and_buildctl_does_not():
    by_buildx, by_buildctl = a_pool(), a_pool(by_client=False)
    for copies, again in ((by_buildx, 0), (by_buildctl, ALL)):
        assert [build(copies), build(copies, OTHER_PROJECT), build(copies)] == [ALL, ALL, again]


def test_a_folder_of_the_same_base_name_evicts():
    copies = a_pool()
    assert [build(copies, one) for one in (APP, SAME_BASE_NAME, APP)] == [ALL, ALL, ALL]
    assert len(sizes(copies)) == 1


def test_a_client_with_another_id_sends_all_but_by_buildctl():
    by_buildx, by_buildctl = a_pool(), a_pool(by_client=False)
    assert [build(by_buildx, client=client) for client in (1, 2, 1, 2)] == [ALL, ALL, 0, 0]
    assert [build(by_buildctl, client=client) for client in (1, 2)] == [ALL, 0]


def test_a_subset_of_the_files_evicts_the_rest():
    copies = a_pool()
    assert [build(copies, one) for one in (APP, SMALL, APP, APP)] == [ALL, 0, 54_500 * KB, 0]
    assert [build(copies, one) for one in (SMALL, LARGE, SMALL)] == [0, 4_500 * KB, 1_200 * KB]
    assert sizes(copies) == [1_200 * KB], "one copy, of the last set's size"


def test_a_bake_of_two_sets_is_stable_with_two_copies():
    copies = a_pool()
    sent = []
    for _ in range(3):
        both = [begin(copies, APP), begin(copies, SMALL)]
        sent.append([transfer.sent_bytes for transfer in both])
        for transfer in both:
            copies.give_back(transfer.copy, 1.0)
    assert sent == [[ALL, 1_200 * KB], [0, 0], [0, 0]]


def test_each_new_maximum_of_builds_at_once_is_one_full_send():
    copies = a_pool()
    full = []
    for at_once in (1, 2, 3, 1, 2, 3, 3, 2, 1, 4):
        transfers = [begin(copies) for _ in range(at_once)]
        full.append(sum(transfer.sent_bytes for transfer in transfers) / ALL)
        for transfer in transfers:
            copies.give_back(transfer.copy, 1.0)
    assert full == [1, 1, 1, 0, 0, 0, 0, 0, 0, 1]
    assert len(sizes(copies)) == 4


def test_a_copy_is_held_until_its_build_ends():
    copies = a_pool()
    first = begin(copies)
    second = begin(copies)
    assert second.copy is not first.copy
    assert second.sent_bytes == ALL
    copies.give_back(first.copy, 5.0)
    third = begin(copies)
    assert (third.copy, third.sent_bytes) == (first.copy, 0)


def test_changed_files_are_sent_and_a_touch_sends_a_file_again():
    copies = a_pool()
    build(copies)
    small = a_content(("app/small/a", 1))
    assert [build(copies, content=small), build(copies, content=small)] == [700 * KB, 0]
    touched = (("app/big.bin", -1),)
    assert [build(copies, content=small, touches=touched) for _ in range(2)] == [50_000 * KB, 0]
    assert build(copies, content=a_content(("app/small/a", 1), ("app/big.bin", -2))) == 50_000 * KB
    assert build(copies, content=a_content(("app/small/a", 1), ("app/big.bin", -2), ("db/x", 3))) == 0


def test_a_copy_that_missed_builds_gets_all_that_they_changed_each_file_once():
    here, elsewhere = a_pool(), a_pool()
    build(here)
    versions = [("app/small/a", 1), ("app/small/", 2), ("app/large/a", 3)]
    for count in (1, 2):
        build(elsewhere, content=a_content(*versions[:count]), touches=(("app/big.bin", -1),))
    assert build(here, content=a_content(*versions), touches=(("app/big.bin", -1),)) == ALL


def test_a_changed_file_that_the_copy_lacks_is_sent_once():
    copies = a_pool()
    build(copies, SMALL)
    assert build(copies, APP, a_content(("app/large/a", 1), ("app/small/b", 1))) == 55_000 * KB


def test_a_collected_copy_means_a_full_send_and_a_held_one_stays():
    copies = a_pool()
    held = begin(copies)
    build(copies)
    copies._cache.collect(100.0)
    assert build(copies) == ALL
    copies.give_back(held.copy, 2.0)
    assert build(copies) == 0


def test_a_fresh_job_leaves_a_copy_that_nobody_takes():
    copies = a_pool()
    assert [build(copies, client=None, fresh=True) for _ in range(3)] == [ALL] * 3
    assert sizes(copies) == [ALL] * 3
    assert held_numbers(copies) == set()


def test_a_fresh_checkout_of_a_known_client_sends_all_into_its_copy():
    copies = a_pool()
    assert [build(copies, fresh=True) for _ in range(3)] == [ALL] * 3
    assert len(sizes(copies)) == 1


def test_a_copy_whose_transfer_fails_is_gone():
    copies = a_pool()
    copies.lose(begin(copies).copy, 1.0)
    assert sizes(copies) == []
    assert build(copies) == ALL
    assert held_numbers(copies) == set()


def test_a_clone_starts_with_the_copies_of_its_base_and_goes_its_own_way():
    base = a_pool()
    held = begin(base)
    clone = base.fork(base._cache.clone())
    changed = a_content(("app/small/a", 1))
    assert [build(clone), build(clone, content=changed)] == [0, 700 * KB]
    base.give_back(held.copy, 1.0)
    assert build(base) == 0
    second = [begin(clone), begin(clone)][1]
    assert second.copy.number == held.copy.number + 1


def test_bytes_of_a_path():
    listed = Selection(Context("app", FILES | {"vendor/": 900 * KB}), [("/small", "/vendor"), ("/small/a",)])
    assert (listed.files, listed.bytes) == (3, 2_100 * KB)
    expected = {"app/small/a": 700, "app/small/": 1_200, "app/": 2_100, "app/big.bin": 0, "small/a": 0, "app/new": 0}
    expected |= {"app/vendor/lib/x.js": 900, "app/vendor/lib/": 900}
    assert {path: listed.bytes_of(path) for path in expected} == {path: size * KB for path, size in expected.items()}


@pytest.mark.parametrize("source", ["local://context", "local://web/context"])
def test_a_selection_is_what_the_copies_of_a_graph_take(source):
    def step(kind, *inputs, source=""):
        return Step(kind, kind, kind, kind, "linux/amd64", inputs, source=source)

    steps = (
        step("context", source=source),
        step("copy", Input(0, True, ("/small",))),
        step("exec", Input(1), Input(0, True, ("/small/a", "/large"))),
    )
    graph = Graph("app", ("linux/amd64",), steps, (2,), contexts={source: Context("app", FILES)})
    selection = Selection.of(graph, 0)
    assert list(selection.sizes) == ["small/a", "small/b", "large/a"]
    assert (selection.name, selection.base_name) == ("context", "app")
    assert Selection.of(Graph("app", ("linux/amd64",), steps, (2,)), 0).bytes == 0


CONTEXTS = (Context("app", FILES), Context("x/app", FILES), Context("db", FILES))
SETS = [Selection(context, [paths]) for context in CONTEXTS for paths in (("/",), ("/small",), ("/large", "/small/b"))]
PATHS = ("app/", "app/small/", "app/small/a", "app/big.bin", "x/app/large/a", "db/small/", "app/new", "db/none/")
STAMPS = st.dictionaries(st.sampled_from(PATHS), st.integers(1, 4), max_size=5)
MOVES = st.lists(
    st.one_of(
        st.tuples(
            st.just("take"), st.integers(0, len(SETS) - 1), STAMPS, STAMPS, st.sampled_from([None, 1, 2]), st.booleans()
        ),
        st.tuples(st.sampled_from(["give back", "lose", "collect"]), st.integers(0, 9)),
    ),
    max_size=40,
)


def stats(selection, stamps):
    """The obvious twin: each selected file, and all that tells one state of it from another."""
    context = selection._context
    found = {
        file: frozenset(one for one in stamps if file in changed_files(context, one[0])) for file in selection.sizes
    }
    return {(context.folder, file): stat for file, stat in found.items()}


@settings(max_examples=300, deadline=None, print_blob=True)
@given(moves=MOVES, by_client=st.booleans())
def test_a_copy_gets_what_it_lacks_file_by_file(moves, by_client):
    copies = a_pool(by_client=by_client)
    held, on_disk = [], {}
    for what, which, *rest in moves:
        if what == "take":
            versions, touches, client, fresh = rest
            selection, stamps = SETS[which], (*versions.items(), *((path, -n) for path, n in touches.items()))
            content, touched = a_content(*versions.items()), tuple(sorted((path, -n) for path, n in touches.items()))
            transfer = begin(copies, selection, content, client, fresh, touched)
            before = {} if fresh else on_disk.get(transfer.copy.number, {})
            there = stats(selection, stamps)
            lacking = sum(FILES[file[1]] for file, stat in there.items() if before.get(file) != stat)
            assert transfer.sent_bytes == lacking
            assert 0 <= transfer.sent_bytes <= selection.bytes
            assert (transfer.copy.selection, transfer.copy.content, transfer.copy.touches) == (
                selection,
                content,
                touched,
            )
            on_disk[transfer.copy.number] = there
            held.append(transfer.copy)
        elif what == "collect":
            copies._cache.collect(100.0)
            left = copies._cache.items("context")
            on_disk = {number: there for number, there in on_disk.items() if number in left}
        elif held:
            copy = held.pop(which % len(held))
            (copies.give_back if what == "give back" else copies.lose)(copy, 1.0)
    assert held_numbers(copies) == {copy.number for copy in held}
