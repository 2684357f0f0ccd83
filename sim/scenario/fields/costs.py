"""The `costs` section: rules that say what a step costs; the first whose pattern matches the step's name wins.

In: YAML values. Out: `CostRule`s with core-seconds, bytes and shares. `sim.profile` makes `Cost`s of them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, PlainValidator

from sim import units
from sim.scenario.fields.quantities import (
    Bytes,
    CoreSeconds,
    PlainSchema,
    PlatformName,
    Seconds,
    Section,
    Share,
    Switch,
    Threads,
)

MAX_SPREAD = 5.0  # sigma of a lognormal: 5 is a factor of 150 either way
_SHARE_FORMS = [{"type": "boolean"}, {"type": "string", "pattern": r"^[0-9.]+\s*%$"}, {"type": "number"}]


def _chance(written: object) -> float:
    """`true` is always, `3%` a share."""
    if isinstance(written, bool):
        return float(written)
    if isinstance(written, str | int | float):
        return units.parse_share(written)
    raise ValueError(f"'{written}' is neither true, false nor a share; write true or 3%")


def _same_output(written: object) -> bool | float | tuple[str, ...]:
    """`true`, `false`, a share, or the paths that survive."""
    if isinstance(written, bool):
        return written
    if isinstance(written, list):
        if not written or not all(isinstance(path, str) for path in written):
            raise ValueError("same_output: a list holds paths, as [dist/]; or write true, false or 60%")
        return tuple(written)
    if isinstance(written, str | int | float):
        return units.parse_share(written)
    raise ValueError(f"'{written}' is not for same_output; write true, false, 60% or a list of paths")


def _spread(written: object) -> float:
    if isinstance(written, bool) or not isinstance(written, int | float) or not 0 <= written <= MAX_SPREAD:
        raise ValueError(f"'{written}' is not a spread; write the sigma of a lognormal, from 0 to {MAX_SPREAD:g}")
    return float(written)


class CostRule(Section):
    """What a matching step costs: `cpu` core-seconds, `latency` seconds, bytes. `threads` is inf for `all`.

    `layer` and `spread` are None where nothing is said: the profile decides then. `model_fields_set`: what was said.
    """

    step: str = Field(min_length=1)
    platform: PlatformName | None = None
    latency: Seconds = 0.0
    download: Bytes = 0.0
    read: Bytes = 0.0
    cpu: CoreSeconds = 0.0
    threads: Threads = 1.0
    serial: Share = 0.0
    write: Bytes = 0.0
    memory: Bytes = 0.0
    layer: Bytes | None = None
    warm: Share = 1.0
    spread: Annotated[float, BeforeValidator(_spread)] | None = None
    fails: Annotated[float, PlainValidator(_chance), PlainSchema({"anyOf": _SHARE_FORMS})] = 0.0
    reproducible: Switch = True
    same_output: Annotated[
        bool | float | tuple[str, ...],
        PlainValidator(_same_output),
        PlainSchema({"anyOf": [*_SHARE_FORMS, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
    ] = False
    overlap: Switch = False
