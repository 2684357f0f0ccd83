"""The timeline of a trace as a figure: runners below each other, each build with its steps, who waited for whom.

In: a trace, and when on the clock it started. Out: a matplotlib `Figure`. Bars are the steps, coloured by outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import InputError
from sim.metrics.distribution import locate
from sim.metrics.steps import label_at, step_facts
from sim.report.chrome import Slice, lanes
from sim.report.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, empty_figure, literal
from sim.report.numbers import clock
from sim.report.tables import cut
from sim.trace import Trace
from sim.units import DAY_S

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"executed": BLUE, "cached": GREEN, "shared": ORANGE, "failed": RED, "cancelled": GREY}
BOOT = "#D9D9D9"
MAX_LANES = 120  # more bars than a page can show
_LANE_IN = 0.26
_CHARACTER_IN = 0.068  # of the font of a bar's name


@dataclass(slots=True)
class _Drawing:
    """Lanes placed so far: bars as (lane, slice, colour), names on the left, lines between runners."""

    bars: list[tuple[int, Slice, str]] = field(default_factory=list)
    names: list[tuple[float, str, bool]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    lanes: int = 0


def timeline_figure(
    trace: Trace, *, start_s: float = 0.0, from_s: float | None = None, until_s: float | None = None
) -> Figure:
    """Steps over time. `from_s`, `until_s` (seconds from the run's start) cut a window out of a long run.

    `start_s` counts from Monday 00:00, as a scenario's `start`. InputError: nothing to draw, or too much for a page.
    """
    drawing = _drawn(trace, from_s or 0.0, until_s if until_s is not None else float("inf"))
    if not any(one.category != "boot" for _, one, _ in drawing.bars):
        raise InputError("no step falls into this part of the run", hint="choose other from_s and until_s")
    if drawing.lanes > MAX_LANES:
        hint = "cut out a part of it with from_s and until_s, or use `buildcast trace export`"
        raise InputError(f"{drawing.lanes} lanes are too many for one figure (at most {MAX_LANES})", hint=hint)
    first_s, last_s = _window(drawing, from_s, until_s)
    figure = empty_figure(13, 1.5 + _LANE_IN * drawing.lanes)
    axes = figure.subplots()
    axes.set_xlim(first_s, last_s)
    axes.set_ylim(drawing.lanes, 0)
    _bars(axes, drawing, (last_s - first_s) / 9.5)
    _frame(axes, drawing, start_s)
    _legend(figure, {colour for _, _, colour in drawing.bars})
    figure.suptitle(literal(trace.meta.name) or "timeline", fontsize=12)
    return figure


def _drawn(trace: Trace, from_s: float, until_s: float) -> _Drawing:
    """Builds by runner in order of readiness; a build's steps on as few lanes as they need."""
    drawing = _Drawing()
    builds, runners = trace.builds, trace.runners
    steps = _step_slices(trace, from_s, until_s)
    at = locate(runners.numbers("runner"), builds.numbers("runner"))
    order = np.argsort(np.nan_to_num(builds.numbers("ready_s"), nan=np.inf), kind="stable")
    for runner in range(len(runners)):
        mine = [int(row) for row in order if at[row] == runner and steps.get(int(row))]
        if not mine:
            continue
        if drawing.lanes:
            drawing.lines.append(drawing.lanes)
        drawing.names.append((drawing.lanes + 0.5, _runner_name(trace, runner), True))
        drawing.bars += [(drawing.lanes, one, BOOT) for one in _boot(trace, runner)]
        drawing.lanes += 1
        for row in mine:
            groups = lanes(steps[row])
            drawing.names.append((drawing.lanes + len(groups) / 2, _build_name(trace, row), False))
            for group in groups:
                drawing.bars += [(drawing.lanes, one, COLOURS[one.category]) for one in group]
                drawing.lanes += 1
    return drawing


def _step_slices(trace: Trace, from_s: float, until_s: float) -> dict[int, list[Slice]]:
    """By build row, the steps that took time. A shared step's bar is its wait."""
    facts, steps = step_facts(trace), trace.steps
    ended_s = steps.numbers("completed_s")
    begun_s = np.where(facts.is_shared, ended_s - facts.dedup_wait_s, steps.numbers("started_s"))
    begun_s = np.where(np.isnan(begun_s), steps.numbers("ready_s"), begun_s)
    names, outcomes = steps.words("step"), steps.words("outcome")
    found: dict[int, list[Slice]] = {}
    is_drawn = (facts.is_step | facts.is_export) & (ended_s > begun_s) & (ended_s > from_s) & (begun_s < until_s)
    for row in np.flatnonzero(is_drawn).tolist():
        outcome = "shared" if facts.is_shared[row] else label_at(outcomes, row) or "executed"
        build, name = int(facts.build_row[row]), label_at(names, row) or "step"
        if build >= 0 and outcome in COLOURS:
            owner = float(steps.numbers("shared_with")[row])
            shown = name if isnan(owner) else f"waits for build {int(owner)}: {name}"
            span = round(float(begun_s[row]) * 1e6), round(float(ended_s[row]) * 1e6)
            found.setdefault(build, []).append(Slice(*span, shown, outcome, {}, row))
    return found


def _boot(trace: Trace, row: int) -> list[Slice]:
    """From the wish for a runner to its readiness, on the line of its name."""
    begun_s, ended_s = (float(trace.runners.numbers(name)[row]) for name in ("requested_s", "ready_s"))
    return [Slice(round(begun_s * 1e6), round(ended_s * 1e6), "boot", "boot", {}, row)] if ended_s > begun_s else []


def _runner_name(trace: Trace, row: int) -> str:
    pool = " ".join(label_at(trace.runners.words(name), row) or "?" for name in ("project", "platform"))
    clone_of = float(trace.runners.numbers("clone_of")[row])
    return f"{pool} #{row}" + ("" if isnan(clone_of) else f", clone of #{int(clone_of)}")


def _build_name(trace: Trace, row: int) -> str:
    request = float(trace.builds.numbers("request")[row])
    build = float(trace.builds.numbers("build")[row])
    target = label_at(trace.builds.words("target"), row) or "build"
    return f"{cut(target, 20)}, build {int(build)}" + ("" if isnan(request) else f" (request {int(request)})")


def _window(drawing: _Drawing, from_s: float | None, until_s: float | None) -> tuple[float, float]:
    begin_s = min(one.begin_us for _, one, _ in drawing.bars) / 1e6
    end_s = max(one.end_us for _, one, _ in drawing.bars) / 1e6
    begin_s, end_s = max(begin_s, from_s or begin_s), min(end_s, until_s if until_s is not None else end_s)
    edge_s = 0.01 * (end_s - begin_s)
    return begin_s - edge_s, end_s + edge_s


def _bars(axes: Axes, drawing: _Drawing, second_per_in: float) -> None:
    """The bars, and the names of those that are long enough to hold theirs."""
    left, right = axes.get_xlim()
    for lane, one, colour in drawing.bars:
        begin_s, end_s = max(one.begin_us / 1e6, left), min(one.end_us / 1e6, right)
        hatch = "////" if one.category == "shared" else None
        axes.broken_barh(
            [(begin_s, end_s - begin_s)],
            (lane + 0.12, 0.76),
            facecolor=colour,
            edgecolor="white",
            linewidth=0.6,
            hatch=hatch,
        )
        letters = int((end_s - begin_s) / second_per_in / _CHARACTER_IN) - 1
        if letters >= 4:
            box = {"facecolor": colour, "edgecolor": "none", "pad": 0.6} if hatch else None
            ink = INK if one.category in ("shared", "boot") else "white"
            axes.text(
                begin_s + 0.05 * second_per_in,
                lane + 0.5,
                literal(cut(_command(one.name), letters)),
                va="center",
                fontsize=7.5,
                color=ink,
                bbox=box,
                clip_on=True,
            )


def _command(name: str) -> str:
    """`RUN npm ci` of `[build 4/6] RUN npm ci`: the lane says whose it is."""
    head, bracket, rest = name.partition("] ")
    before, _, _ = head.partition("[")
    return before + rest if bracket and rest and not before.strip().startswith("RUN") else name


def _frame(axes: Axes, drawing: _Drawing, start_s: float) -> None:
    axes.set_yticks([at for at, _, _ in drawing.names], [literal(name) for _, name, _ in drawing.names], fontsize=8)
    for text, (_, _, is_runner) in zip(axes.get_yticklabels(), drawing.names, strict=True):
        text.set_fontweight("bold" if is_runner else "normal")
    axes.tick_params(axis="y", length=0)
    for line in drawing.lines:
        axes.axhline(line, color=GREY, linewidth=0.8)
    axes.xaxis.set_major_formatter(lambda value, _: _tick(start_s, value, axes.get_xlim()))
    axes.grid(axis="x", color="#e6e6e6")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _tick(start_s: float, at_s: float, window: tuple[float, float]) -> str:
    """The time on the clock; tenths where the whole window lasts some seconds."""
    with_day = window[1] + start_s % DAY_S >= DAY_S
    tenth = f".{int(at_s * 10) % 10}" if window[1] - window[0] < 8 else ""
    return clock(start_s, max(at_s, 0.0), with_day=with_day) + tenth if at_s >= 0 else ""


def _legend(figure: Figure, used: set[str]) -> None:
    from matplotlib.patches import Patch

    labels = {"shared": "waits for another build's execution (dedup)"}
    marks = [
        Patch(
            facecolor=colour,
            label=labels.get(outcome, outcome),
            hatch="////" if outcome == "shared" else None,
            edgecolor="white",
        )
        for outcome, colour in COLOURS.items()
        if colour in used
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False, fontsize=8)
