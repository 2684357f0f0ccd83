"""A runner's memory: the sum of what its steps hold, and who dies when it is short.

In: claims in bytes. Out: victims. Linux kills the largest at once, of equal ones the first (buildkit-semantics 13.5); page
cache is given back first, so only what steps hold themselves counts.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Owner = TypeVar("Owner")


class Memory(Generic[Owner]):
    """`in_use_bytes` of at most `limit_bytes`, while nobody is over it."""

    __slots__ = ("_claims", "in_use_bytes", "limit_bytes")

    def __init__(self, limit_bytes: float) -> None:
        self.limit_bytes = limit_bytes
        self.in_use_bytes = 0.0
        self._claims: dict[Owner, float] = {}

    def claim(self, owner: Owner, peak_bytes: float) -> None:
        """The owner begins to hold its peak."""
        self._claims[owner] = peak_bytes
        self.in_use_bytes += peak_bytes

    def give_back(self, owner: Owner) -> None:
        """The owner has ended; it need not have claimed anything."""
        peak_bytes = self._claims.pop(owner, None)
        if peak_bytes is not None:
            self.in_use_bytes = self.in_use_bytes - peak_bytes if self._claims else 0.0

    def victim(self) -> Owner | None:
        """Who must die now; None while there is enough for all."""
        if self.in_use_bytes <= self.limit_bytes:
            return None
        return max(self._claims, key=self._claims.__getitem__, default=None)
