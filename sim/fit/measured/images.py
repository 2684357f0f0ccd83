"""How long daemons looked at their base images: for the first time, when manifest and configuration are fetched, and later.

In: a measured trace. Out: `looks_s`; `first_more_s`, what first ones take more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from sim.fit.measured.cells import named, number
from sim.trace import Cell, Trace

_NAME = "load metadata for "
_LEAST = 3

Looks = tuple[list[float], list[float]]


def looks_s(trace: Trace) -> Looks:
    """Seconds of each look that a runner took of an image: first ones, where no other began before their end; later ones."""
    spans: dict[tuple[Cell, str], list[tuple[float, float]]] = defaultdict(list)
    for row in named(trace, "steps"):
        _, is_look, image = str(row["step"]).partition(_NAME)
        if is_look and row["outcome"] == "executed" and row["started_s"] is not None and row["completed_s"] is not None:
            spans[row["runner"], image].append((number(row["started_s"]), number(row["completed_s"])))
    first: list[float] = []
    later: list[float] = []
    for of_image in spans.values():
        of_image.sort()
        known_s = min(completed_s for _, completed_s in of_image)
        at_once = [one for one in of_image if one[0] < known_s]
        first += [completed_s - started_s for started_s, completed_s in at_once if len(at_once) == 1]
        later += [completed_s - started_s for started_s, completed_s in of_image if started_s >= known_s]
    return first, later


def first_more_s(looks: Sequence[Looks]) -> list[float]:
    """How many seconds more than later ones, in their median, first looks take; none where there are too few."""
    later_s = median([one for _, later in looks for one in later] or [0.0])
    more_s = [one - later_s for first, _ in looks for one in first]
    return more_s if len(more_s) >= _LEAST else []
