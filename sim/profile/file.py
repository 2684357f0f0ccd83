"""The profile file: cost rules and daemon constants that a calibration (or a person) wrote for one machine.

In: YAML with `schema: 1`, `costs` (rules as in a scenario) and `daemon` (constants by name, in their field's unit). A number may
stand alone, or with what is known of it: `{value: 0.07, spread: 0.2, error: 0.03, n: 40, source: ...}`.
Out: a checked `ProfileFile`; several mistakes are told at once.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sim.errors import InputError, InputErrors
from sim.profile.constants import CONSTANTS, CORES
from sim.profile.cost import Daemon
from sim.profile.variation import Variation
from sim.scenario.fields.costs import MAX_SPREAD, CostRule

MAX_BYTES = 5_000_000
CONSTANT_NAMES = tuple(CONSTANTS)


class Number(BaseModel):
    """A number and what is known of it. `spread`: lognormal sigma of single executions; `error`: sigma of the value itself.

    `n`: how many measurements it rests on; 0 is none: a rule's, a prior's or a documented value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    spread: float | None = Field(default=None, ge=0, le=MAX_SPREAD)
    error: float | None = Field(default=None, ge=0, le=MAX_SPREAD)
    n: int = Field(default=0, ge=0)
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, written: object) -> object:
        return {"value": written} if isinstance(written, int | float) and not isinstance(written, bool) else written

    @field_validator("value")
    @classmethod
    def _finite(cls, value: float) -> float:
        if not isfinite(value) or value < 0:
            raise ValueError(f"must be 0 or more, not {value:g}")
        return value


class MeasuredRule(CostRule):
    """A cost rule, and what is known of each of its numbers, by the name of the field."""

    numbers: dict[str, Number] = Field(default_factory=dict)


class ProfileFile(BaseModel):
    """What a profile file may hold. `machine` and `note` say where it comes from and change nothing.

    `core_speed`: how many times faster than usual the machine computes (1), and how that varies from run to run;
    `core_share`: a step's share of several busy cores against a fair one (1), and how that varies from step to step;
    `daemon_speed`: the same of the daemon as a whole, from one scenario to the next.
    `measured`: what was seen of the machine besides, for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    note: str = ""
    machine: dict[str, str | int | float] = {}
    core_speed: Number | None = None
    core_share: Number | None = None
    daemon_speed: Number | None = None
    costs: tuple[MeasuredRule, ...] = ()
    daemon: dict[str, Number] = {}
    daemon_cgroup: Literal["group", "root"] | None = None
    measured: dict[str, Number] = {}

    @field_validator("daemon")
    @classmethod
    def _known(cls, written: dict[str, Number]) -> dict[str, Number]:
        for name, number in written.items():
            if name in CORES and number.value == 0.0:
                raise ValueError(f"{name} must be above 0: nothing would ever end")
            if name not in CONSTANT_NAMES:
                near = get_close_matches(name, CONSTANT_NAMES, n=1)
                raise ValueError(
                    f"unknown constant '{name}'; "
                    + (f"did you mean '{near[0]}'?" if near else f"one of {', '.join(CONSTANT_NAMES)}")
                )
        return written

    def applied_to(self, daemon: Daemon) -> Daemon:
        """A daemon with the constants that this file replaces."""
        changed = replace(daemon, **{name: number.value for name, number in self.daemon.items()})  # type: ignore[arg-type]
        return changed if self.daemon_cgroup is None else replace(changed, daemon_cgroup=self.daemon_cgroup)

    def variation(self) -> Variation:
        """How the daemon and the machine vary, as far as the file says it."""
        return Variation(
            spreads=_known_of(self.daemon, "spread"),
            errors=_known_of(self.daemon, "error"),
            core=(self.core_speed.spread if self.core_speed else None) or 0.0,
            share=(self.core_share.spread if self.core_share else None) or 0.0,
            whole=(self.daemon_speed.spread if self.daemon_speed else None) or 0.0,
        )


def read_profile(path: Path) -> ProfileFile:
    """Read and check a profile file. `InputError` with the file, the field and what to do."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("the profile is larger than 5 MB", where=str(path), hint="is this a profile?")
        written = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise InputError(
            f"cannot read the profile: {error.strerror}", where=str(path), hint="check `profile:`"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not YAML: {' '.join(str(error).split())}", where=str(path)) from error
    if not isinstance(written, dict):
        raise InputError("a profile is a mapping", where=str(path), hint="write `schema: 1` and `costs:`")
    written = {("schema_version" if name == "schema" else name): value for name, value in written.items()}
    try:
        return ProfileFile.model_validate(written)
    except ValidationError as error:
        raise InputErrors([_problem(path, found["loc"], found["msg"]) for found in error.errors()]) from error


def _known_of(numbers: dict[str, Number], what: Literal["spread", "error"]) -> tuple[tuple[str, float], ...]:
    return tuple((name, sigma) for name, one in numbers.items() if (sigma := getattr(one, what)) is not None)


def _problem(path: Path, place: tuple[int | str, ...], message: str) -> InputError:
    where = ".".join("schema" if part == "schema_version" else str(part) for part in place)
    return InputError(f"{where}: {message.removeprefix('Value error, ')}", where=str(path))
