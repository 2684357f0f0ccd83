from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import units


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1h30m", 5400),
        ("5m", 300),
        ("250ms", 0.25),
        ("10us", 1e-5),
        ("14d", 14 * 86400),
        ("PT45S", 45),
        ("P1DT2H", 93600),
        ("PT1H30M", 5400),
        ("0s", 0),
        ("0.0s", 0),
        (0, 0),
        ("1m 23s", 83),
        (".5s", 0.5),
    ],
)
def test_durations(written: str | int, seconds: float) -> None:
    assert units.parse_duration_s(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "amount"),
    [("50GB", 50e9), ("32GiB", 32 * 2**30), ("104857600B", 104857600), ("1.5 MB", 1.5e6), (0, 0), ("60KiB", 61440)],
)
def test_sizes(written: str | int, amount: float) -> None:
    assert units.parse_bytes(written) == amount


@pytest.mark.parametrize(
    ("written", "per_s"), [("5Gbit/s", 625e6), ("1GB/s", 1e9), ("500MB/s", 5e8), ("100Mbps", 12.5e6), ("1MiB/s", 2**20)]
)
def test_bandwidths(written: str, per_s: float) -> None:
    assert units.parse_bandwidth_bytes_per_s(written) == per_s


def test_rates_money_shares_cores_and_starts() -> None:
    assert units.parse_rate_per_s("12/h") == pytest.approx(12 / 3600)
    assert units.parse_rate_per_s("100/day") == pytest.approx(100 / 86400)
    assert [units.parse_money(text) for text in ("$0.04", "$100", 0.04, 0)] == [0.04, 100, 0.04, 0]
    assert units.parse_money("$0.04/min", per="min") == 0.04
    assert units.parse_money("$2.40/h", per="min") == pytest.approx(0.04)
    assert units.parse_money("$0.20/GB-month", per="GB-month") == 0.2
    assert [units.parse_share(text) for text in ("8%", 0.08, "0.08", 1, "100%", 0)] == [0.08, 0.08, 0.08, 1, 1, 0]
    assert [units.parse_cores(text) for text in ("0.5cpu", 2, "2", "16 cores")] == [0.5, 2, 2, 16]
    assert [units.parse_start(text) for text in ("mon 00:00", "mon 08:00", "Sunday 23:59")] == [0, 28800, 604740]


TRAPS: list[tuple[Callable[[str | int | float], float], str | int | float, str]] = [
    (units.parse_duration_s, 90, "no unit"),
    (units.parse_duration_s, "90", "no unit"),
    (units.parse_duration_s, "1:30", "1h30m or 1m30s"),
    (units.parse_duration_s, "00:45", "1h30m or 1m30s"),
    (units.parse_duration_s, "1M", "unknown unit of time 'M'"),
    (units.parse_duration_s, "30m1h", "large to small"),
    (units.parse_duration_s, "1m1min", "large to small"),
    (units.parse_duration_s, "-5s", "negative"),
    (units.parse_duration_s, "nan", "not a finite"),
    (units.parse_duration_s, math.inf, "not a finite"),
    (units.parse_duration_s, "1e400s", "not a finite"),
    (units.parse_duration_s, "P1M", "ISO 8601"),
    (units.parse_duration_s, "P", "ISO 8601"),
    (units.parse_duration_s, True, "not a duration"),
    (units.parse_duration_s, "", "empty"),
    (units.parse_duration_s, "5m later", "unknown unit|not a duration"),
    (units.parse_duration_s, "1,5s", "not a duration"),
    (units.parse_bytes, "512m", "ambiguous .* 512MiB or 512MB"),
    (units.parse_bytes, "5G", "ambiguous"),
    (units.parse_bytes, "1.5G", "ambiguous"),
    (units.parse_bytes, "100Mbit", "bits"),
    (units.parse_bytes, "100Mb", "bits"),
    (units.parse_bytes, "200Gi", "200GiB"),
    (units.parse_bytes, "1GB/s", "bandwidth"),
    (units.parse_bytes, 1e9, "no unit"),
    (units.parse_bytes, "-1GB", "negative"),
    (units.parse_bytes, "1,000MB", "decimal point"),
    (units.parse_bytes, 10**400, "too large"),
    (units.parse_bandwidth_bytes_per_s, "500MB", "500MB/s"),
    (units.parse_bandwidth_bytes_per_s, "5Gb/s", "unclear"),
    (units.parse_bandwidth_bytes_per_s, 100, "no unit"),
    (units.parse_rate_per_s, 12, "no unit"),
    (units.parse_rate_per_s, "12h", "per unit of time"),
    (units.parse_rate_per_s, "12/month", "per unit of time"),
    (units.parse_money, "€5", "dollars"),
    (units.parse_money, "$0.10/h", "price per h"),
    (units.parse_money, "-$5", "not an amount"),
    (units.parse_money, "$-5", "negative"),
    (units.parse_share, 8, "8%"),
    (units.parse_share, "120%", "more than 100 %"),
    (units.parse_share, math.nan, "not a finite"),
    (units.parse_cores, "500m", "0.5cpu"),
    (units.parse_cores, "inf", "not a finite"),
    (units.parse_start, "08:00", "mon 08:00"),
    (units.parse_start, "mon 25:00", "mon 08:00"),
    (units.parse_start, "moon 08:00", "mon 08:00"),
]


@pytest.mark.parametrize(("parse", "written", "reason"), TRAPS)
def test_traps_are_refused_with_the_reason(
    parse: Callable[[str | int | float], float], written: str | int | float, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(written)


def test_a_price_cannot_change_its_kind() -> None:
    with pytest.raises(ValueError, match="cannot be read as a price per min"):
        units.parse_money("$1/GB-month", per="min")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (1e-5, "10 us"),
        (0.25, "250 ms"),
        (12.34, "12.3 s"),
        (59.99, "1m"),
        (83, "1m 23s"),
        (3599.9, "1h"),
        (14 * 86400, "14d"),
        (5400, "1h 30m"),
        (86400 * 2 + 3 * 3600, "2d 3h"),
        (math.inf, "never"),
        (math.nan, "n/a"),
        (-83, "-1m 23s"),
    ],
)
def test_durations_are_shown_for_people(seconds: float, shown: str) -> None:
    assert units.format_duration(seconds) == shown


def test_other_amounts_are_shown_for_people() -> None:
    assert [units.format_bytes(x) for x in (512, 1.05e6, 50e9, math.inf)] == ["512 B", "1.05 MB", "50 GB", "unlimited"]
    assert [units.format_money(x) for x in (0, 0.04, 0.0042, 12.3, 1234.5)] == [
        "$0.00",
        "$0.04",
        "$0.0042",
        "$12.30",
        "$1234.50",
    ]
    assert [units.format_share(x) for x in (0.08, 0.125, 1, 0.00042)] == ["8%", "12.5%", "100%", "0.042%"]


AMOUNTS = st.floats(min_value=1e-3, max_value=1e6)


@given(AMOUNTS, st.sampled_from([("ms", 1e-3), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400), ("w", 604800)]))
def test_a_written_duration_is_read_back(amount: float, unit: tuple[str, float]) -> None:
    assert units.parse_duration_s(f"{amount!r}{unit[0]}") == pytest.approx(amount * unit[1])


@given(AMOUNTS, st.sampled_from([("B", 1), ("kB", 1e3), ("MB", 1e6), ("GiB", 2**30)]))
def test_a_written_size_is_read_back_and_as_bandwidth(amount: float, unit: tuple[str, float]) -> None:
    assert units.parse_bytes(f"{amount!r}{unit[0]}") == pytest.approx(amount * unit[1])
    assert units.parse_bandwidth_bytes_per_s(f"{amount!r} {unit[0]}/s") == pytest.approx(amount * unit[1])


@given(st.floats(min_value=1e-5, max_value=1e8))
def test_a_shown_duration_is_read_back_to_its_precision(seconds: float) -> None:
    shown = units.format_duration(seconds)
    assert units.parse_duration_s(shown) == pytest.approx(seconds, rel=0.03)


@given(st.floats(min_value=1, max_value=9e14))
def test_a_shown_size_is_read_back_to_its_precision(amount: float) -> None:
    assert units.parse_bytes(units.format_bytes(amount)) == pytest.approx(amount, rel=0.006)


@given(st.floats(min_value=1e-6, max_value=1e6))
def test_shown_money_is_read_back_to_its_precision(dollars: float) -> None:
    assert units.parse_money(units.format_money(dollars)) == pytest.approx(dollars, rel=0.06)


@given(st.floats(min_value=1e-4, max_value=1))
def test_a_shown_share_is_read_back_to_its_precision(share: float) -> None:
    assert units.parse_share(units.format_share(share)) == pytest.approx(share, rel=0.006)
