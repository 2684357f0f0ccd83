"""The order in which BuildKit deletes: of all that may go, what has been unused for long and was used rarely goes first.

In: items that nothing refers to, with their last use and number of uses. Out: which one goes next. The score is that of
sortDeleteRecords (BuildKit v0.34.2, cache/manager.go 1743-1789): place among the last uses / places + the same of the numbers
of uses, places counted anew for every deletion. Within a number of uses the longest unused has the least score, so only
one of each is looked at; its place among the last uses is a binary search.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable, Sequence
from math import inf

Key = int | tuple[str, Hashable]
"""What names an item: a record's final key, or kind and name of a context copy or cache mount."""

Candidate = tuple[float, int, Key, int]
"""Last use (s), number of the item's insertion, its key, number of uses. No two items have one number: keys never compare."""


class Candidates:
    """All that may go now. Equal scores: fewer uses first, then longer unused, then inserted earlier."""

    __slots__ = ("_at", "_at_time", "_buckets", "_by_uses", "_times", "_uses")

    def __init__(self, by_uses: bool = True) -> None:
        self._by_uses = by_uses  # False: all in one bucket, whose first is the least recently used
        self._at: dict[Key, Candidate] = {}
        self._buckets: dict[int, list[Candidate]] = {}  # by number of uses, each sorted by last use
        self._uses: list[int] = []  # the buckets' numbers, sorted
        self._times: list[float] = []  # all last uses, each once, sorted
        self._at_time: dict[float, int] = {}  # how many have it

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, key: Key) -> bool:
        return key in self._at

    def copy(self) -> Candidates:
        """The same, apart."""
        twin = Candidates(self._by_uses)
        twin._at = self._at.copy()
        twin._buckets = {uses: bucket.copy() for uses, bucket in self._buckets.items()}
        twin._uses = self._uses.copy()
        twin._times = self._times.copy()
        twin._at_time = self._at_time.copy()
        return twin

    def put(self, key: Key, number: int, last_s: float, uses: int) -> None:
        """This item may go, or was used again since."""
        candidate = (last_s, number, key, uses if self._by_uses else 0)
        before = self._at.get(key)
        if before is not None:
            if before == candidate:
                return
            self.discard(key)
        self._at[key] = candidate
        bucket = self._buckets.get(candidate[3])
        if bucket is None:
            self._buckets[candidate[3]] = [candidate]
            insort(self._uses, candidate[3])
        else:
            insort(bucket, candidate)
        count = self._at_time.get(last_s)
        if count is None:
            self._at_time[last_s] = 1
            insort(self._times, last_s)
        else:
            self._at_time[last_s] = count + 1

    def discard(self, key: Key) -> None:
        """This item may not go, or has gone."""
        candidate = self._at.pop(key, None)
        if candidate is None:
            return
        last_s, _, _, uses = candidate
        bucket = self._buckets[uses]
        if len(bucket) == 1:
            del self._buckets[uses]
            del self._uses[bisect_left(self._uses, uses)]
        else:
            del bucket[bisect_left(bucket, candidate)]
        count = self._at_time[last_s] - 1
        if count:
            self._at_time[last_s] = count
        else:
            del self._at_time[last_s]
            del self._times[bisect_left(self._times, last_s)]

    def first(self) -> Key | None:
        """What goes next by BuildKit's score; None: nothing may go."""
        uses_of, times = self._uses, self._times
        if not uses_of:
            return None
        # Both places start at 2 in BuildKit: 1 is for what was never used.
        uses_start = 1 if uses_of[0] == 0 else 2
        uses_places = uses_start + len(uses_of) - 1.0
        time_places = len(times) + 1.0
        least, best = 3.0, None
        for place, uses in enumerate(uses_of, uses_start):
            by_uses = place / uses_places
            if 2.0 / time_places + by_uses >= least:
                break
            head = self._buckets[uses][0]
            score = (bisect_right(times, head[0]) + 1) / time_places + by_uses
            if score < least:
                least, best = score, head[2]
        return best

    def oldest_s(self) -> float:
        """The longest unused one's last use; `inf`: nothing may go."""
        return self._times[0] if self._times else inf

    def unused_since(self, cut_off_s: float) -> list[Candidate]:
        """All whose last use lies no later."""
        found: list[Candidate] = []
        for bucket in self._buckets.values():
            for candidate in bucket:
                if candidate[0] > cut_off_s:
                    break
                found.append(candidate)
        return found

    def oldest(self) -> Key | None:
        """What has been unused for longest."""
        heads = [bucket[0] for bucket in self._buckets.values()]
        return min(heads)[2] if heads else None


def _age(candidate: Candidate) -> tuple[float, int]:
    return candidate[:2]


def by_score(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The obvious twin of `Candidates.first`, and the oracle of its test: sortDeleteRecords as it stands in BuildKit."""
    by_last = sorted(candidates, key=_age)
    last_places, last_place, latest = 1.0, {}, -1.0
    for last_s, _, key, _ in by_last:
        if last_s > latest:
            latest = last_s
            last_places += 1
        last_place[key] = last_places
    by_uses = sorted(by_last, key=lambda candidate: candidate[3])
    uses_places, uses_place, count = 1.0, {}, 0
    for _, _, key, uses in by_uses:
        if uses != count:
            count = uses
            uses_places += 1
        uses_place[key] = uses_places
    return sorted(by_uses, key=lambda one: last_place[one[2]] / last_places + uses_place[one[2]] / uses_places)
