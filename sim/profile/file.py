"""The profile file: cost rules and daemon constants that a calibration (or a person) wrote for one machine.

In: YAML with `schema: 1`, `costs` (rules as in a scenario) and `daemon` (constants by name, in their field's unit).
Out: a checked `ProfileFile`; several mistakes are told at once.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from sim.errors import InputError, InputErrors
from sim.profile.constants import CONSTANTS
from sim.profile.cost import Daemon
from sim.scenario.fields.costs import CostRule

MAX_BYTES = 5_000_000
CONSTANT_NAMES = tuple(CONSTANTS)


class ProfileFile(BaseModel):
    """What a profile file may hold. `machine` and `note` say where it comes from and change nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    note: str = ""
    machine: dict[str, str | int | float] = {}
    costs: tuple[CostRule, ...] = ()
    daemon: dict[str, float] = {}
    daemon_cgroup: Literal["group", "root"] | None = None

    @field_validator("daemon")
    @classmethod
    def _known_and_finite(cls, written: dict[str, float]) -> dict[str, float]:
        for name, value in written.items():
            if name not in CONSTANT_NAMES:
                near = get_close_matches(name, CONSTANT_NAMES, n=1)
                raise ValueError(
                    f"unknown constant '{name}'; "
                    + (f"did you mean '{near[0]}'?" if near else f"one of {', '.join(CONSTANT_NAMES)}")
                )
            if not isfinite(value) or value < 0:
                raise ValueError(f"{name} must be 0 or more, not {value:g}")
        return written

    def applied_to(self, daemon: Daemon) -> Daemon:
        """A daemon with the constants that this file replaces."""
        changed = replace(daemon, **self.daemon)  # type: ignore[arg-type]
        return changed if self.daemon_cgroup is None else replace(changed, daemon_cgroup=self.daemon_cgroup)


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


def _problem(path: Path, place: tuple[int | str, ...], message: str) -> InputError:
    where = ".".join("schema" if part == "schema_version" else str(part) for part in place)
    return InputError(f"{where}: {message.removeprefix('Value error, ')}", where=str(path))
