"""Figures: the timeline of a trace, candidates side by side, the decision matrix.

In: a trace, a comparison, a matrix. Out: matplotlib `Figure`s, which a notebook shows and `save` writes as PNG.
matplotlib is imported when a figure is drawn. No global state: pyplot is not used.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import ceil, isnan
from pathlib import Path
from typing import TYPE_CHECKING

from sim.errors import replacing
from sim.report.numbers import count, percent, show, words
from sim.report.tables import cut
from sim.study.compare import Comparison
from sim.study.matrix import Matrix, RowResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colours, told apart with any colour vision (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, RED, GREY, INK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#9A9A9A", "#222222"
_DPI = 130
_LABEL = 52  # letters of a candidate's label before it is cut


def save(figure: Figure, path: Path) -> None:
    """Write a PNG whole or not at all. EnvironmentMissing: the disk refuses."""
    with replacing(path, "wb") as file:
        figure.savefig(file, format="png", dpi=_DPI)


def empty_figure(width_in: float, height_in: float) -> Figure:
    """A figure of so many inches, which finds room for its labels itself."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its first use tells of font caches on stderr
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def literal(text: str) -> str:
    """A name as it is: matplotlib reads what stands between two `$` as mathematics."""
    return text.replace("$", r"\$")


def comparison_figure(found: Comparison) -> Figure:
    """Left each candidate's objective, right its paired difference to the winner; both with intervals."""
    figure = empty_figure(11, 1.6 + 0.42 * len(found.candidates))
    left, right = figure.subplots(1, 2, sharey=True)
    labels = [literal(cut(one.label, _LABEL)) for one in found.candidates]
    is_best = [one.label == found.winner for one in found.candidates]
    colours = [GREEN if best else BLUE for best in is_best]
    _points(left, [(one.objective.mean, one.objective.low, one.objective.high) for one in found.candidates], colours)
    _points(right, [(one.behind.mean, one.behind.low, one.behind.high) for one in found.candidates], colours)
    _name_rows(left, labels, is_best)
    _measure_axis(left, found.objective)
    _measure_axis(right, found.objective)
    right.axvline(0, color=INK, linewidth=1, linestyle=":")
    left.set_xlabel(words(found.objective))
    right.set_xlabel("behind the winner (paired)")
    sure = "" if found.separable else ": not separable from all others"
    figure.suptitle(
        f"{literal(cut(found.scenario, _LABEL))}: {literal(cut(found.winner, _LABEL))} wins{sure}\n"
        f"{count(found.replications, 'replication')}, {percent(1 - found.alpha)} intervals",
        fontsize=11,
    )
    return figure


def matrix_figure(found: Matrix) -> Figure:
    """A panel a row: every candidate's objective with its interval, best first; the recommended ones are marked."""
    most = max(len(row.comparison.candidates) for row in found.rows)
    rows = ceil(len(found.rows) / 2)
    figure = empty_figure(15, rows * (1.9 + 0.27 * most) + 0.8)
    panels = figure.subplots(rows, 2, squeeze=False).flatten().tolist()
    for panel, row in zip(panels, found.rows, strict=False):
        _panel(panel, row)
    for panel in panels[len(found.rows) :]:
        panel.set_axis_off()
    _legend(figure)
    figure.suptitle(
        f"Decision matrix: {count(found.replications, 'replication')} x {count(found.requests, 'request')}, seed {found.seed}",
        fontsize=13,
    )
    return figure


def _panel(axes: Axes, row: RowResult) -> None:
    settings = dict(zip((one.label for one in row.comparison.candidates), _recommended(row), strict=True))
    order = sorted(row.comparison.candidates, key=lambda one: (isnan(one.objective.mean), one.objective.mean))
    is_best = [one.label == row.comparison.winner for one in order]
    colours = [ORANGE if settings[one.label] else BLUE for one in order]
    _points(axes, [(one.objective.mean, one.objective.low, one.objective.high) for one in order], colours)
    _name_rows(axes, [literal(cut(one.label, _LABEL)) for one in order], is_best)
    _measure_axis(axes, row.comparison.objective)
    axes.set_xlabel(words(row.comparison.objective))
    agrees = "wins" if row.agrees else "does not win"
    reason = "holds" if row.reason_holds else "does not hold"
    axes.set_title(
        f'{row.row.number}. {row.row.title}\n{row.row.recommended}: {agrees}\n"{row.row.reason}": {reason}',
        loc="left",
        fontsize=10,
    )


def _recommended(row: RowResult) -> list[bool]:
    from sim.study.rows import FULL, QUICK

    known = {setting.flags: setting for setting in (*QUICK, *FULL)}
    return [row.row.recommends(known[one.settings]) for one in row.comparison.candidates]


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    shown = ((ORANGE, "as recommended"), (BLUE, "other candidates"))
    marks = [Line2D([], [], marker="o", linestyle="-", color=colour, label=label) for colour, label in shown]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, frameon=False)


def _points(axes: Axes, values: Sequence[tuple[float, float, float]], colours: Sequence[str]) -> None:
    """A point a row, first on top, with its interval where there is one."""
    for at, ((mean, low, high), colour) in enumerate(zip(values, colours, strict=True)):
        if isnan(mean):
            axes.text(0.02, at, "n/a", transform=axes.get_yaxis_transform(), va="center", color=GREY)
            continue
        if not isnan(low):
            axes.plot([low, high], [at, at], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([mean], [at], marker="o", markersize=6, color=colour)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.grid(axis="x", color="#e6e6e6")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _name_rows(axes: Axes, labels: Sequence[str], is_best: Sequence[bool]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    for text, best in zip(axes.get_yticklabels(), is_best, strict=True):
        text.set_fontweight("bold" if best else "normal")


def _measure_axis(axes: Axes, name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda value, _: show(name, value))
