"""Decisions on real daemons, for people: who won, who was to win, by how much.

In: `Decision`s. Out: lines for a terminal; `decisions.{md,json}`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isnan
from pathlib import Path

from sim.errors import replacing
from sim.fit.validation.decisions import Decision
from sim.report.numbers import show, words
from sim.report.tables import markdown, table
from sim.report.validation.text import share
from sim.trace.meta import plain

_HEADER = ("row", "predicted winner", "measured winner", "agrees", "margin predicted", "measured", "noise", "regret")
_CHOICES = ("row", "candidate", "predicted", "measured", "error", "noise")


def decision_lines(found: Sequence[Decision]) -> list[str]:
    """For a terminal."""
    return [
        _verdict(found),
        *("  " + line for line in table(_HEADER, [_row(one) for one in found])),
        "",
        *("  " + line for line in table(_CHOICES, _choices(found))),
    ]


def write_decisions(found: Sequence[Decision], command: str, folder: Path) -> list[Path]:
    """Write both files. EnvironmentMissing: the disk refuses."""
    page, numbers = folder / "decisions.md", folder / "decisions.json"
    with replacing(numbers) as file:
        rows = [one.to_json() for one in found]
        json.dump(plain({"schema_version": 1, "command": command, "rows": rows}), file, indent=1, allow_nan=False)
        file.write("\n")
    lines = ["# Decisions on real daemons", "", f"Made by `{command}`.", "", _verdict(found), "", _HOW, ""]
    lines += [*markdown(_HEADER, [_row(one) for one in found]), "", *markdown(_CHOICES, _choices(found))]
    with replacing(page) as file:
        file.write("\n".join(lines) + "\n")
    return [page, numbers]


_HOW = (
    "A margin is how much worse the best of the others is than the winner. Noise is how far the gap of one replay is from the "
    "mean of the others; a smaller margin is no decision. Regret: what the predicted winner costs more than the measured one."
)


def _verdict(found: Sequence[Decision]) -> str:
    clear = [one for one in found if one.is_clear]
    return (
        f"The predicted winner won in {sum(one.agrees for one in found)} of {len(found)} rows; "
        f"in {sum(one.agrees for one in clear)} of the {len(clear)} whose margin is larger than the noise."
    )


def _row(one: Decision) -> list[str]:
    interval = one.measured_interval
    between = "" if isnan(interval.low) else f" [{share(interval.low)}, {share(interval.high)}]"
    return [
        one.name,
        one.predicted_winner,
        one.measured_winner,
        "yes" if one.agrees else "no",
        share(one.predicted_margin),
        share(one.measured_margin) + between,
        share(one.noise),
        share(one.regret),
    ]


def _choices(found: Sequence[Decision]) -> list[list[str]]:
    return [
        [
            f"{one.name}, {words(one.objective)}",
            choice.label,
            show(one.objective, choice.predicted),
            show(one.objective, choice.measured),
            share(choice.predicted / choice.measured - 1, signed=True),
            share(choice.noise),
        ]
        for one in found
        for choice in one.choices
    ]
