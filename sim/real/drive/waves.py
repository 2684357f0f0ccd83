"""Which targets of a lease one client builds together.

In: the parts of a lease. Out: `Wave`s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sim.dispatch.leases import Part


@dataclass(frozen=True, slots=True)
class Wave:
    """Targets of a lease that one client builds: they wait for the same bases of other projects."""

    targets: tuple[str, ...]
    needs: frozenset[str]


def waves(parts: Mapping[str, Part]) -> list[Wave]:
    """The targets of a lease by what they wait for. A target that is linked to waits for all that its base waits for.

    A client that waited for all of it would hold up targets that need nothing of it, and where bases and their consumers
    alternate between projects it would wait for ever.
    """
    needs: dict[str, frozenset[str]] = {}

    def needs_of(target: str) -> frozenset[str]:
        if target not in needs:
            part = parts[target]
            below = (needs_of(base) for base in part.links if base in parts)
            needs[target] = frozenset(part.imports).union(*below)
        return needs[target]

    grouped: dict[frozenset[str], list[str]] = {}
    for target in sorted(parts):
        grouped.setdefault(needs_of(target), []).append(target)
    return [Wave(tuple(targets), needed) for needed, targets in grouped.items()]
