"""Figures: written whole, every label inside of the page, no two titles or rows on top of each other."""

from dataclasses import replace
from math import nan
from pathlib import Path

import pytest

from sim.errors import EnvironmentMissing, InputError
from sim.report.figures import comparison_figure, matrix_figure, save
from sim.report.timeline import timeline_figure
from sim.runs import prepare, simulate_case
from sim.scenario import load
from sim.study.compare import Candidate, Comparison
from sim.study.interval import Interval
from sim.study.matrix import Matrix, RowResult
from sim.study.rows import QUICK, ROWS

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def a_comparison(labels, means):
    found = tuple(
        Candidate(
            label, flags, Interval(mean, mean - 0.1, mean + 0.1), Interval(mean - 1, mean - 1.05, mean - 0.95), {}
        )
        for (label, flags), mean in zip(labels, means, strict=True)
    )
    return Comparison("app", "cost_per_request", 10, 1, 0.05, found, found[0].label, 0.99, True, ())


def a_matrix():
    rows = []
    for row in ROWS:
        found = a_comparison([(one.label, one.flags) for one in QUICK], [1.0 + 0.1 * at for at in range(8)])
        rival = found.candidates[1]
        rows.append(RowResult(row, found, True, 0.99, rival, Interval(0.1, 0.05, 0.15), True, ("Because.",), "None."))
    return Matrix(tuple(rows), True, 10, 300, 1)


def texts(figure):
    """Every text that is seen, with its box in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = [one for one in figure.findobj(Text) if one.get_text().strip() and one.get_visible()]
    return [(one.get_text(), one.get_window_extent(canvas.get_renderer())) for one in found], figure.bbox


def assert_readable(figure):
    found, page = texts(figure)
    # Ticks beyond an axis' ends are kept by matplotlib but not drawn.
    inside = [(text, box) for text, box in found if box.width and page.overlaps(box)]
    for text, box in inside:
        assert box.x0 >= -1, text
        assert box.x1 <= page.x1 + 1, text
    titles = [(text, box) for text, box in inside if "\n" in text]
    for at, (text, box) in enumerate(titles):
        assert not any(box.overlaps(other) for _, other in titles[at + 1 :]), text


def test_every_row_of_the_matrix_has_its_panel():
    figure = matrix_figure(a_matrix())
    assert [axes.get_title(loc="left").splitlines()[0] for axes in figure.axes] == [
        f"{row.number}. {row.title}" for row in ROWS
    ]
    assert_readable(figure)


def test_a_comparison_with_long_labels_and_a_missing_value():
    labels = [("x" * 200, ()), ("a $x_{$ label", ()), ("plain", ())]
    found = a_comparison(labels, [1.0, 2.0, 3.0])
    unknown = Candidate("unknown", (), Interval(nan, nan, nan), Interval(nan, nan, nan), {})
    assert_readable(comparison_figure(replace(found, candidates=(*found.candidates, unknown))))


def test_the_timeline_marks_the_dedup_wait():
    case = prepare(load(SCENARIOS / "dedup-pair"))
    figure = timeline_figure(simulate_case(case), start_s=case.scenario.start)
    assert_readable(figure)
    found = [text for text, _ in texts(figure)[0]]
    assert "waits for build 0: RUN npm ci" in found
    assert "admin, build 1 (request 1)" in found
    assert "10:01:00" in found


def test_a_timeline_that_fits_no_page_says_what_to_do():
    case = prepare(load(SCENARIOS / "monorepo-bake", ["requests=40"]))
    trace = simulate_case(case)
    with pytest.raises(InputError, match="from_s and until_s"):
        timeline_figure(trace)
    with pytest.raises(InputError, match="no step"):
        timeline_figure(trace, from_s=1e9)


def test_a_picture_is_written_whole_or_not_at_all(tmp_path):
    figure = matrix_figure(a_matrix())
    save(figure, tmp_path / "new" / "matrix.png")
    assert (tmp_path / "new" / "matrix.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentMissing):
        save(figure, tmp_path / "file" / "matrix.png")
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["file", "matrix.png", "new"]
