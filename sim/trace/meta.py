"""What must be known about a run to judge its tables: where it is from, what was asked, what things cost.

In: `Meta` with its `Prices`, or `meta.json`. Out: the same. JSON has no infinity and no nan: see `plain`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from sim.errors import InputError

if TYPE_CHECKING:
    from sim.scenario.farm import Farm

TRACE_SCHEMA = 1

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars; None is unknown. `minute` maps a pool (`project platform`) to a minute of its runner.

    `per`: who pays that minute: each lease, or the runner once (farm-facts A1). `wait_hour`: an hour of a person.
    """

    minute: Mapping[str, float] = field(default_factory=dict)
    per: Literal["lease", "runner"] = "lease"
    cache_gb_month: float | None = None
    wait_hour: float | None = None

    @classmethod
    def of(cls, farm: Farm) -> Prices:
        """The prices of a configuration, one minute price a pool."""
        projects = sorted(set(farm.projects.values()))
        minute = {f"{p} {on}": farm.runner_for(p, on).price_per_minute for p in projects for on in farm.platforms}
        return cls(minute, farm.price.per, farm.price.cache_gb_month, farm.price.wait_hour)


@dataclass(frozen=True, slots=True)
class Meta:
    """What must be known about a run to judge its tables.

    `scenario` is the resolved one. `origin_s`: predicted time by where its cost is from; `cache_byte_s`: the integral of the
    base caches' bytes (clones are free: farm-facts A1); `stretch`: all executed RUNs' time over what they take alone;
    `standby_usd`: machines on standby over the whole run, paid by whom a runner's minutes are charged to.
    """

    source: Literal["simulated", "measured"]
    name: str = ""
    scenario: Mapping[str, Json] = field(default_factory=dict)
    prices: Prices = field(default_factory=Prices)
    seed: int | None = None
    profile: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Json] = field(default_factory=dict)
    horizon_s: float | None = None
    warmup_s: float = 0.0
    origin_s: Mapping[str, float] = field(default_factory=dict)
    cache_byte_s: float | None = None
    stretch: float | None = None
    standby_usd: float | None = 0.0


def write_meta(meta: Meta, path: Path) -> None:
    """Write `meta.json`."""
    text = json.dumps(plain({"schema": TRACE_SCHEMA} | asdict(meta)), indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_meta(path: Path) -> Meta:
    """Read `meta.json`. InputError: broken, or of another schema."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] != TRACE_SCHEMA:
            hint = f"this buildcast reads {TRACE_SCHEMA}; write it again"
            raise InputError(f"a trace of schema {found['schema']!r}", where=str(path), hint=hint)
        prices = Prices(**{one.name: found["prices"][one.name] for one in fields(Prices)})
        minute = {pool: float(price) for pool, price in prices.minute.items()}
        meta = Meta(**{one.name: found[one.name] for one in fields(Meta)} | {"prices": prices})
        if meta.source not in ("simulated", "measured") or prices.per not in ("lease", "runner"):
            raise ValueError("source or prices.per has an unknown value")
        return replace(
            meta,
            prices=Prices(minute, prices.per, _number(prices.cache_gb_month), _number(prices.wait_hour)),
            origin_s={origin: float(seconds) for origin, seconds in meta.origin_s.items()},
            horizon_s=_number(meta.horizon_s),
            warmup_s=float(meta.warmup_s),
            cache_byte_s=_number(meta.cache_byte_s),
            standby_usd=_number(meta.standby_usd),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise broken(error, path) from error


def plain(value: object) -> Json:
    """JSON has no infinity and no nan: they become "inf" (which float() reads back) and null."""
    if isinstance(value, float) and not isfinite(value):
        return None if isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def broken(error: Exception, where: Path | str) -> InputError:
    """What to say of a file that cannot be read as what it should be."""
    what = str(error).partition("\n")[0] + (" is missing" if isinstance(error, KeyError) else "")
    return InputError(f"broken: {what}", where=str(where), hint="write the trace again")


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)
