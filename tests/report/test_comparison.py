from math import nan

from sim.report.comparison import comparison_lines, comparison_markdown, sure, verdict
from sim.study.compare import Candidate, Comparison
from sim.study.interval import Interval

ZERO = Interval(0.0, 0.0, 0.0)
MEASURES = {
    "mean_duration": 60.0,
    "p95_duration": 90.0,
    "queue_s": 0.0,
    "boot_s": 1.0,
    "stretch": 1.0,
    "hit_share": 0.5,
    "clone_repeats": 0.0,
    "dedup_saved_cpu_s": nan,
    "wasted_cpu_s": 0.0,
    "cost_per_request": 0.5,
}


def a_comparison(behind, replications=10, confidence=0.98):
    first = Candidate("small", (), Interval(0.5, 0.45, 0.55), ZERO, MEASURES)
    other = Candidate("large", (), Interval(0.6, 0.5, 0.7), behind, MEASURES)
    separable = behind.low > 0
    return Comparison(
        "app", "cost_per_request", replications, 1, 0.05, (first, other), "small", confidence, separable, ((), ())
    )


def test_a_clear_winner_is_said_with_its_margin_and_confidence():
    lines = verdict(a_comparison(Interval(0.1, 0.05, 0.15)))
    assert lines == [
        "winner: small",
        "next best is large, behind by +$0.10 [+$0.05, +$0.15] (+20.0%); 98.0% sure to beat each other one (paired t-tests)",
    ]


def test_a_winner_by_chance_is_not_separable():
    assert "not separable from large" in verdict(a_comparison(Interval(0.1, -0.01, 0.21)))[1]


def test_one_replication_claims_nothing():
    found = a_comparison(Interval(0.1, nan, nan), replications=1, confidence=nan)
    assert "one replication tells nothing of chance" in "\n".join(comparison_lines(found))
    assert "n/a" not in "\n".join(comparison_lines(found))


def test_columns_in_which_nothing_happens_are_left_out():
    header = comparison_lines(a_comparison(Interval(0.1, 0.05, 0.15)))[1]
    assert "queue" not in header
    assert "dedup" not in header
    assert "hits" in header
    assert len(comparison_markdown(a_comparison(ZERO))) == 4


def test_nothing_is_certain():
    assert (sure(1.0), sure(0.95), sure(nan)) == ("> 99.9%", "95.0%", "n/a")
