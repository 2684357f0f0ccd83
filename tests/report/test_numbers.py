from math import nan

import pytest

from sim.report.numbers import clock, count, percent, show, show_interval
from sim.study.interval import Interval

MONDAY_TEN_S = 10 * 3600.0


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("p95_duration", 83.0, "1m 23s"),
        ("queue_s", 0.25, "250 ms"),
        ("cpu_s", 1234.5, "1,234"),
        ("dedup_saved_cpu_s", -0.01, "0"),
        ("cost_per_request", 0.0421, "$0.042"),
        ("waiting_usd", 12.0, "$12.00"),
        ("hit_share", 0.6249, "62%"),
        ("prior_share", 0.0123, "1.2%"),
        ("stretch", 1.0, "1.00"),
        ("clone_repeats", 50.8, "50.8"),
        ("requests", 3.0, "3"),
        ("cpu_s", nan, "n/a"),
        ("cpu_s", None, "n/a"),
    ],
)
def test_a_measure_has_its_unit(name, value, shown):
    assert show(name, value) == shown


def test_an_interval_shows_its_ends_and_a_single_run_has_none():
    assert show_interval("cost_per_request", Interval(0.5, 0.4, 0.6), signed=True) == "+$0.50 [+$0.40, +$0.60]"
    assert show_interval("cost_per_request", Interval(0.5, nan, nan)) == "$0.50"


@pytest.mark.parametrize(
    ("at_s", "with_day", "shown"),
    [
        (60.0, False, "10:01:00"),
        (14 * 3600 - 1.0, True, "mon 23:59:59"),
        (14 * 3600.0, True, "tue 00:00:00"),
        (7 * 86400.0, True, "week 2 mon 10:00:00"),
    ],
)
def test_the_clock_starts_where_the_scenario_starts(at_s, with_day, shown):
    assert clock(MONDAY_TEN_S, at_s, with_day=with_day) == shown


def test_words():
    assert (count(1, "build"), count(2, "build"), count(2, "entry", "entries")) == ("1 build", "2 builds", "2 entries")
    assert (percent(0.0), percent(0.1), percent(0.004)) == ("0%", "10%", "0.4%")
