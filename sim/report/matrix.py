"""The decision matrix as text, as Markdown, and as files.

In: a `Matrix`. Out: lines; `decision-matrix.md`, `.json` and `.png`, each whole or not at all.
"""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

from sim.errors import replacing
from sim.report.comparison import comparison_markdown, sure
from sim.report.figures import matrix_figure, save
from sim.report.numbers import count, show, show_interval, words
from sim.report.tables import markdown, table
from sim.study.matrix import Matrix, RowResult

FILES = ("decision-matrix.md", "decision-matrix.json", "decision-matrix.png")


def matrix_lines(found: Matrix) -> list[str]:
    """A short table, then the reasons."""
    lines = [*table(*_overview(found)), ""]
    for row in found.rows:
        lines.append(f'{row.row.number}. {row.row.title}: "{row.row.reason}" {_holds(row)}')
        lines += [f"   {sentence}" for sentence in (*row.why, row.billing)]
    return [*lines, "", _how(found)]


def matrix_markdown(found: Matrix) -> list[str]:
    """The page: the table, then a section a row with its reasons and all candidates."""
    lines = ["# Decision matrix", "", f"Made by `{found.command}`. {_how(found)}", ""]
    lines += [*markdown(*_overview(found)), "", "![The candidates of each row](decision-matrix.png)"]
    for row in found.rows:
        lines += ["", f"## {row.row.number}. {row.row.title[0].upper()}{row.row.title[1:]}", ""]
        lines += [
            f'Recommended: {row.row.recommended}, for "{row.row.reason}". Winner here: **{row.comparison.winner}**.',
            f"The winner {_against(row)}.",
            "",
            f"The reason {_holds(row)}:",
            "",
            *(f"- {sentence}" for sentence in row.why),
            "",
            f"Billing: {row.billing}",
            "",
            *comparison_markdown(row.comparison),
        ]
    return lines


def write_matrix(found: Matrix, folder: Path) -> list[Path]:
    """Write the three files. EnvironmentMissing: the disk refuses."""
    page, numbers, picture = (folder / name for name in FILES)
    with replacing(numbers) as file:
        json.dump({"schema_version": 1} | found.to_json(), file, indent=1, allow_nan=False)
        file.write("\n")
    save(matrix_figure(found), picture)
    with replacing(page) as file:
        file.write("\n".join(matrix_markdown(found)) + "\n")
    return [page, numbers, picture]


def _overview(found: Matrix) -> tuple[list[str], list[list[str]]]:
    header = ["", "workload", "recommended", "winner here", "agrees", "margin", "sure", "reason holds"]
    rows = [
        [
            str(row.row.number),
            row.row.title,
            row.row.recommended,
            row.comparison.winner,
            "yes" if row.agrees else "no",
            _margin(row),
            sure(row.confidence),
            "yes" if row.reason_holds else "no",
        ]
        for row in found.rows
    ]
    return header, rows


def _margin(row: RowResult) -> str:
    base = row.comparison.candidate(row.comparison.winner).objective.mean
    if not base:
        return show(row.comparison.objective, row.margin.mean)
    mean, low, high = (100 * value / base for value in (row.margin.mean, row.margin.low, row.margin.high))
    return f"{mean:.1f}%" if isnan(low) else f"{mean:.1f}% [{low:.1f}%, {high:.1f}%]"


def _against(row: RowResult) -> str:
    side = (
        "the best candidate that is not as recommended" if row.agrees else "the best candidate that is as recommended"
    )
    gap = show_interval(row.comparison.objective, row.margin, signed=True)
    return f"is ahead of {side} ({row.rival.label}) by {gap} in {words(row.comparison.objective)}"


def _holds(row: RowResult) -> str:
    return "holds" if row.reason_holds else "does not hold"


def _how(found: Matrix) -> str:
    return (
        f"{count(found.replications, 'replication')} x {count(found.requests, 'request')}, seed {found.seed}; "
        "margin: how far the best candidate on the other side of the recommendation is behind, with its paired interval; "
        "no guarantee of a correct selection is claimed."
    )
