"""What a person writes: scenarios, validated, with presets, `--set` and a JSON schema.

In: `scenario.yaml`. Out: `Scenario` and `Farm`. Names are loaded when they are first used: `sim.scenario.farm` alone
needs neither pydantic nor YAML.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.scenario.description import describe
    from sim.scenario.farm import Farm
    from sim.scenario.fields.preset import presets
    from sim.scenario.fields.scenario import Scenario
    from sim.scenario.json_schema import schema, write_schema
    from sim.scenario.loading import load
    from sim.scenario.resolve import resolve_farm

__all__ = ["Farm", "Scenario", "describe", "load", "presets", "resolve_farm", "schema", "write_schema"]

_HOME = {
    "Farm": "farm",
    "Scenario": "fields.scenario",
    "describe": "description",
    "load": "loading",
    "presets": "fields.preset",
    "resolve_farm": "resolve",
    "schema": "json_schema",
    "write_schema": "json_schema",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
