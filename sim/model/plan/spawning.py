"""In which order steps start that become ready together.

In: steps by number, which go as the Dockerfile's lines. Out: the order in which they ask for slots. BuildKit's scheduler spawns a
goroutine a step and Go's run queue decides (runtime/proc.go: the one spawned last runs first; a processor without work steals
from the queue's head and begins with the last that it took). By hand on a 2-core machine: 420 builds of 2 to 6 stages that one
last stage copies from, and those of the corpus (tests/model/test_replayed.py has the counts for four). Where a build comes half
a second after another, less is stolen (nothing in 20 of 60 builds of four stages); that is left out.
"""

from __future__ import annotations

from random import Random
from typing import Final

# Their base was just unpacked: the third and those after it come first, then the first two, now and then in between.
_THIRD: Final = 0.6
_AHEAD: Final = 0.85
# Their base was there: all but the one spawned last are stolen (18 of 20 builds of four stages in the corpus); else some.
_ALL_STOLEN: Final = 0.85


def spawned(ready: list[int], is_fresh: bool, random: Random) -> list[int]:
    """`is_fresh`: what they waited for was just made."""
    steps = sorted(ready)
    n = len(steps)
    if is_fresh:
        first = 2 if n > 2 and random.random() < _THIRD else random.randrange(n)
        return _merged(steps[first:], steps[:first], _AHEAD, random)
    queued = steps[:0:-1]  # spawned from the last line to the first, which the run queue's owner begins with
    stolen = n - 1 if random.random() < _ALL_STOLEN else random.randrange(n)
    taken = [queued[stolen - 1], *queued[: stolen - 1]] if stolen else []
    return _merged([steps[0], *queued[stolen:]], taken, 0.5, random)


def _merged(some: list[int], others: list[int], share: float, random: Random) -> list[int]:
    """Both in their own order; `share`: how often the next is one of `some`."""
    found: list[int] = []
    at, beside = 0, 0
    while at < len(some) and beside < len(others):
        if random.random() < share:
            found.append(some[at])
            at += 1
        else:
            found.append(others[beside])
            beside += 1
    return found + some[at:] + others[beside:]
