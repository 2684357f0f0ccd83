"""Quantities as people write them (`5m`, `50GB`, `12/h`, `$0.04`, `8%`) and as the program computes with them.

In: text or numbers from a scenario, a flag or a log. Out: plain floats in seconds, bytes, cores and dollars, and back.
What could be read in two ways is refused with the reason (libraries.md section 3): no unit is ever guessed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from math import inf, isfinite, isnan

Written = str | int | float

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86400.0
WEEK_S = 7 * DAY_S

_DURATIONS_S = {
    "w": WEEK_S,
    "d": DAY_S,
    "h": HOUR_S,
    "m": MINUTE_S,
    "min": MINUTE_S,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_PER_S = _DURATIONS_S | {"day": DAY_S, "week": WEEK_S, "hour": HOUR_S, "minute": MINUTE_S, "second": 1.0, "sec": 1.0}
_BYTES = {
    "B": 1.0,
    "kB": 1e3,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "TB": 1e12,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
    "TiB": 2.0**40,
}
_BITS = {"bit": 1 / 8, "kbit": 1e3 / 8, "Mbit": 1e6 / 8, "Gbit": 1e9 / 8, "Tbit": 1e12 / 8}
_BPS = {"bps": 1 / 8, "kbps": 1e3 / 8, "Mbps": 1e6 / 8, "Gbps": 1e9 / 8}
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY_ENDINGS = ("day", "sday", "nesday", "rsday", "day", "urday", "day")

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_AMOUNT = re.compile(rf"({_NUMBER})\s*(.*)", re.DOTALL)
_DURATION_PART = re.compile(rf"({_NUMBER})\s*([A-Za-zµ]+)\s*")
_ISO = re.compile(r"P(?:([\d.]+)W)?(?:([\d.]+)D)?(?:T(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?)?")


def parse_duration_s(written: Written) -> float:
    """Seconds from `1h30m`, `250ms`, `14d` or ISO 8601 (`PT45S`). A number without a unit is refused, but for 0."""
    text = _text(written, "a duration", "write 90s or 90m")
    if text is None:
        return 0.0
    if re.fullmatch(r"\d+:\d+(:\d+)?", text):
        raise ValueError(f"'{text}' may mean hours or minutes; write 1h30m or 1m30s")
    if text.startswith("P"):
        return _iso_duration_s(text)
    total, at, smallest = 0.0, 0, inf
    while part := _DURATION_PART.match(text, at):
        factor = _DURATIONS_S.get(part[2])
        if factor is None:
            raise ValueError(f"'{text}': unknown unit of time '{part[2]}'; units are w, d, h, m, s, ms, us, ns")
        if factor >= smallest:
            raise ValueError(f"'{text}': units must go from large to small, each once, as in 1h30m")
        total += _finite(part[1], text, "a duration") * factor
        at, smallest = part.end(), factor
    if at == 0 or at < len(text):
        raise ValueError(f"'{text}' is not a duration; write it as 90s, 5m, 1h30m or 250ms")
    return total


def parse_bytes(written: Written) -> float:
    """Bytes from `50GB` (decimal) or `32GiB` (binary). Bare numbers, bits and the ambiguous `512m` are refused."""
    text = _text(written, "a size", "write 512MiB, 50GB or 1024B")
    if text is None:
        return 0.0
    number, unit = _split(text, "a size", "write it as 50GB, 512MiB or 1024B")
    if unit in _BYTES:
        return number * _BYTES[unit]
    if "/" in unit or unit in _BPS:
        raise ValueError(f"'{text}' is a bandwidth; a size has no 'per second'")
    if unit in _BITS or unit.lower() in {"kbits", "mbits", "gbits"} or unit in {"kb", "Kb", "Mb", "mb", "Gb", "gb"}:
        raise ValueError(f"'{text}' may be bits; a size is in bytes: write {number:g}{(unit[0].upper())}B")
    raise ValueError(_unknown_size(text, number, unit))


def parse_bandwidth_bytes_per_s(written: Written) -> float:
    """Bytes per second from `5Gbit/s`, `10Gbps`, `1GB/s` or `200MiB/s`; refused: without `/s`, the unclear `Gb/s`."""
    text = _text(written, "a bandwidth", "write 5Gbit/s or 500MB/s", zero_ok=False)
    assert text is not None
    number, unit = _split(text, "a bandwidth", "write it as 5Gbit/s or 500MB/s")
    if unit in _BPS:
        return number * _BPS[unit]
    head, slash, per = unit.partition("/")
    if slash and per.strip() in {"s", "sec"} and (factor := (_BYTES | _BITS).get(head.strip())) is not None:
        return number * factor
    if not slash and unit in _BYTES | _BITS:
        raise ValueError(f"'{text}' is no bandwidth without '/s'; write {number:g}{unit}/s")
    raise ValueError(f"'{text}': unclear unit of bandwidth '{unit}'; use Mbit/s, Gbit/s, MB/s, GB/s or MiB/s")


def parse_rate_per_s(written: Written) -> float:
    """Events per second from `12/h`, `0.5/s`, `100/day`. A number without a unit of time is refused."""
    text = _text(written, "a rate", "write 12/h or 0.5/s", zero_ok=False)
    assert text is not None
    number, unit = _split(text, "a rate", "write it as 12/h")
    per = unit.removeprefix("/").strip()
    if not unit.startswith("/") or per not in _PER_S:
        raise ValueError(f"'{text}': a rate is a number per unit of time, as 12/h, 3/min or 100/day")
    return number / _PER_S[per]


def parse_money(written: Written, per: str = "") -> float:
    """Dollars from `$0.04` or `0.04`; with `per` ("min", "h", "GB-month") also `$2.40/h`, as dollars per `per`."""
    text = _text(written, "an amount of money", "write $0.04", bare_ok=True)
    if text is None:
        return 0.0
    if re.match(r"[€£¥]", text):
        raise ValueError(f"'{text}': prices are in dollars; write $0.04")
    bare = text.removeprefix("$").strip()
    number, unit = _split(bare, "an amount of money", "write it as $0.04")
    if not unit:
        return number
    wanted = f"$1/{per}" if per else "$1"
    if not unit.startswith("/"):
        raise ValueError(f"'{text}' is not an amount of money; write it as {wanted}")
    got = unit[1:].strip()
    if not per:
        raise ValueError(f"'{text}' is a price per {got}; here a plain amount is meant, as $1")
    if got.lower() == per.lower():
        return number
    if got in _PER_S and per in _PER_S:
        return number / _PER_S[got] * _PER_S[per]
    raise ValueError(f"'{text}': a price per '{got}' cannot be read as a price per {per}; write it as {wanted}")


def parse_share(written: Written) -> float:
    """A share from 0 to 1, written `8%` or `0.08`."""
    text = _text(written, "a share", "write 8% or 0.08", bare_ok=True)
    if text is None:
        return 0.0
    number, unit = _split(text, "a share", "write it as 8% or 0.08")
    if unit not in {"", "%"}:
        raise ValueError(f"'{text}' is not a share; write it as 8% or 0.08")
    share = number / 100 if unit else number
    if share > 1:
        percent = "" if unit else f"; {number:g} percent is written {number:g}%"
        raise ValueError(f"'{text}' is more than 100 %{percent}")
    return share


def parse_cores(written: Written) -> float:
    """Cores from `2`, `0.5cpu` or `16 cores`."""
    text = _text(written, "a number of cores", "write 2 or 0.5cpu", bare_ok=True)
    if text is None:
        return 0.0
    number, unit = _split(text, "a number of cores", "write it as 2 or 0.5cpu")
    if unit not in {"", "cpu", "cpus", "core", "cores"}:
        milli = f"; a thousandth of a core: write {number / 1000:g}cpu" if unit == "m" else "; write 2 or 0.5cpu"
        raise ValueError(f"'{text}': unknown unit of cores '{unit}'{milli}")
    return number


def parse_start(written: Written) -> float:
    """Seconds since Monday 00:00 from `mon 08:00`."""
    text = str(written).strip()
    found = re.fullmatch(r"([A-Za-z]+)\s+(\d{1,2}):(\d{2})", text)
    day = found[1].lower() if found else ""
    days = {name: i for i, name in enumerate(_WEEKDAYS)}
    days |= {name + ending: i for i, (name, ending) in enumerate(zip(_WEEKDAYS, _WEEKDAY_ENDINGS, strict=True))}
    if found is None or day not in days or int(found[2]) > 23 or int(found[3]) > 59:
        raise ValueError(f"'{text}' is not a weekday and a time; write it as mon 08:00")
    return days[day] * DAY_S + int(found[2]) * HOUR_S + int(found[3]) * MINUTE_S


def format_duration(seconds: float) -> str:
    """`10 us`, `250 ms`, `12.3 s`, `1m 23s`, `1h 05m`, `14d`; inf is `never`, NaN `n/a`."""
    if isnan(seconds):
        return "n/a"
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds == inf:
        return "never"
    if seconds < 59.95:
        for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
            if seconds >= factor * 0.9995 or unit == "us":
                return f"{_three(seconds / factor)} {unit}" if seconds else "0 s"
    if (whole := round(seconds)) < HOUR_S:
        return f"{whole // 60}m {whole % 60:02d}s" if whole % 60 else f"{whole // 60}m"
    if (minutes := round(seconds / 60)) < 24 * 60:
        return f"{minutes // 60}h {minutes % 60:02d}m" if minutes % 60 else f"{minutes // 60}h"
    hours = round(seconds / HOUR_S)
    return f"{hours // 24}d {hours % 24}h" if hours % 24 else f"{hours // 24}d"


def format_bytes(amount: float) -> str:
    """Decimal units, three digits: `512 B`, `1.05 MB`; inf is `unlimited`, NaN `n/a`."""
    if isnan(amount):
        return "n/a"
    if amount == inf:
        return "unlimited"
    for unit in ("TB", "GB", "MB", "kB"):
        if abs(amount) >= _BYTES[unit] * 0.9995:
            return f"{_three(amount / _BYTES[unit])} {unit}"
    return f"{_three(amount)} B"


def format_money(dollars: float) -> str:
    """`$12.30`; below ten cents two significant digits, `$0.0042`; NaN is `n/a`."""
    if isnan(dollars):
        return "n/a"
    sign, size = ("-" if dollars < 0 else ""), abs(dollars)
    if size == 0 or size >= 0.1:
        return f"{sign}${size:.2f}"
    digits = 2
    while digits < 9 and size * 10**digits < 10:
        digits += 1
    trimmed = f"{size:.{digits}f}".rstrip("0")
    decimals = max(2, len(trimmed.partition(".")[2]))
    return f"{sign}${size:.{decimals}f}"


def format_share(share: float) -> str:
    """`8%`, `12.5%`, `0.042%`; NaN is `n/a`."""
    return "n/a" if isnan(share) else f"{_three(share * 100)}%"


def _three(number: float) -> str:
    """Three significant digits without an exponent."""
    if abs(number) >= 100:
        return f"{number:.0f}"
    return f"{number:.3g}" if abs(number) >= 1e-4 or number == 0 else f"{number:.6f}".rstrip("0").rstrip(".")


def _text(written: object, kind: str, hint: str, *, zero_ok: bool = True, bare_ok: bool = False) -> str | None:
    """The text to parse; None for a bare zero, which needs no unit. Numbers that need a unit are refused here."""
    if isinstance(written, bool) or not isinstance(written, str | int | float):
        shown = (
            "a list" if isinstance(written, list | tuple) else "a mapping" if isinstance(written, Mapping) else written
        )
        raise ValueError(f"{shown} is not {kind}; {hint}")
    if isinstance(written, str):
        text = written.strip()
        bare: float | None = None
        with contextlib.suppress(ValueError):
            bare = float(text.replace("_", "x"))
    else:
        try:
            text, bare = repr(written), float(written)
        except (OverflowError, ValueError):
            raise ValueError(f"the number is too large for {kind}; {hint}") from None
    if not text:
        raise ValueError(f"empty text is not {kind}; {hint}")
    if bare is None:
        return text
    if not isfinite(bare):
        raise ValueError(f"{text} is not a finite number; {hint}")
    if bare < 0:
        raise ValueError(f"{text} is negative; {kind} is 0 or more")
    if bare == 0 and zero_ok:
        return None
    if not bare_ok:
        raise ValueError(f"{text} has no unit; {hint}")
    return text


def _split(text: str, kind: str, hint: str) -> tuple[float, str]:
    """Number and unit of a single amount."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is not {kind}; {hint}")
    if found[2].startswith((",", "_")):
        raise ValueError(f"'{text}': write numbers without '{found[2][0]}' and with a decimal point; {hint}")
    return _finite(found[1], text, kind), found[2].strip()


def _finite(number: str, text: str, kind: str) -> float:
    value = float(number)
    if not isfinite(value):
        raise ValueError(f"'{text}' is not a finite number")
    if value < 0:
        raise ValueError(f"'{text}' is negative; {kind} is 0 or more")
    return value


def _iso_duration_s(text: str) -> float:
    found = _ISO.fullmatch(text)
    if found is None or not any(found.groups()) or any(part and part.count(".") > 1 for part in found.groups()):
        raise ValueError(f"'{text}' is not an ISO 8601 duration of weeks, days, hours, minutes or seconds, as PT45S")
    factors = (WEEK_S, DAY_S, HOUR_S, MINUTE_S, 1.0)
    return sum(float(part) * factor for part, factor in zip(found.groups(), factors, strict=True) if part)


def _unknown_size(text: str, number: float, unit: str) -> str:
    """Docker reads `512m` as MiB, most programs as MB, Kubernetes `500m` as a half: so it is refused."""
    letter = unit[:1].upper()
    if unit.lower() in {"k", "m", "g", "t"}:
        choices = f"write {number:g}{letter}iB or {number:g}{letter}B"
        return f"'{text}' is ambiguous (Docker means {letter}iB, others {letter}B); {choices}"
    if unit in {"Ki", "Mi", "Gi", "Ti", "kib", "mib", "gib", "tib", "kiB"}:
        return f"'{text}': write {number:g}{letter}iB"
    if not unit:
        return f"{text} has no unit; write {number:g}B or {number:g}MB"
    return f"'{text}': unknown unit of size '{unit}'; use B, kB, MB, GB, TB, KiB, MiB, GiB or TiB"
