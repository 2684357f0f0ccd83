"""A validation as a figure: each scenario's makespan error beside plain max-min's, and every build with its band.

In: a `Validation`. Out: a matplotlib `Figure`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.fit.validate import MAX_MIN, Judged, Validation
from sim.report.figures import BLUE, GREY, INK, ORANGE, RED, empty_figure, literal
from sim.report.tables import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABEL = 30


def validation_figure(found: Validation) -> Figure:
    """Left the scenarios, worst first; right predicted over measured duration of builds, red where a replay left its band."""
    judged = sorted(found.judged, key=lambda one: -abs(one.errors.makespan.error))
    figure = empty_figure(14, max(5.0, 1.6 + 0.24 * len(judged)))
    left, right = figure.subplots(1, 2)
    _scenarios(left, judged)
    _builds(right, judged)
    return figure


def _scenarios(axes: Axes, judged: list[Judged]) -> None:
    for at, one in enumerate(judged):
        floor = one.errors.makespan.noise
        axes.barh(at, 200 * floor, left=-100 * floor, height=0.7, color="#e6e6e6")
        axes.plot([100 * one.reference(MAX_MIN).makespan_error], [at], marker="D", markersize=4, color=ORANGE)
        axes.plot([100 * one.errors.makespan.error], [at], marker="o", markersize=6, color=BLUE)
    names = [literal(cut(one.errors.name, _LABEL)) for one in judged]
    axes.set_yticks(range(len(judged)), names, fontsize=8)
    axes.set_ylim(len(judged) - 0.5, -0.5)
    axes.axvline(0, color=INK, linewidth=1, linestyle=":")
    axes.set_xlabel("error of the makespan, % (grey: noise floor)")
    axes.plot([], [], marker="o", linestyle="", color=BLUE, label="buildcast")
    axes.plot([], [], marker="D", linestyle="", color=ORANGE, label=MAX_MIN)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)


def _builds(axes: Axes, judged: list[Judged]) -> None:
    scores = [score for one in judged for score in one.errors.builds]
    for score in scores:
        is_held = score.inside == score.runs
        axes.plot([score.measured_s] * 2, [score.low_s, score.high_s], color=GREY if is_held else RED, linewidth=1)
        axes.plot([score.measured_s], [score.predicted_s], marker=".", color=BLUE)
    longest = max((max(score.measured_s, score.high_s) for score in scores), default=1.0)
    axes.plot([0, longest], [0, longest], color=INK, linewidth=1, linestyle=":")
    axes.set_xlabel("measured duration of a build, s (mean of the replays)")
    axes.set_ylabel("predicted, s, with the band (red: a replay outside)")
