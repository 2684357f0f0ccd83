"""Decisions as tables and files."""

import json

from sim.fit.validation.decisions import decide
from sim.report.validation import decision_lines, write_decisions

LABELS = ["small", "large"]
FOUND = [
    decide("one", "cost_per_request", LABELS, [[2.0], [1.0]], [[2.2, 2.4], [1.0, 1.2]]),
    decide("two", "mean_duration", LABELS, [[1.0], [2.0]], [[1.3, 1.3], [1.2, 1.0]]),
]


def test_lines_say_how_many_agree():
    lines = decision_lines(FOUND)
    assert lines[0].startswith("The predicted winner won in 1 of 2 rows")
    assert any(line.split()[:4] == ["one", "large", "large", "yes"] for line in lines)


def test_files_are_written(tmp_path):
    page, numbers = write_decisions(FOUND, "buildcast validate --decisions", tmp_path)
    assert "Made by `buildcast validate --decisions`." in page.read_text()
    assert [row["agrees"] for row in json.loads(numbers.read_text())["rows"]] == [True, False]


def test_one_replay_has_no_interval(tmp_path):
    lone = [decide("one", "cost_per_request", LABELS, [[2.0], [1.0]], [[2.2], [1.0]])]
    assert any("n/a" in line for line in decision_lines(lone))
    write_decisions(lone, "x", tmp_path)
