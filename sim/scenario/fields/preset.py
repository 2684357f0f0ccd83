"""Presets: known services and set-ups, from `presets.yaml` of this package (its comments name the sources).

In: a preset's name. Out: `Preset`, the farm section that stands below what a person writes, and the machine sizes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field

from sim.scenario.fields.farm import FarmSection, RunnerSection
from sim.scenario.fields.quantities import DollarsPerMinute, Section
from sim.scenario.yaml_source import read

PRESETS_FILE = Path(__file__).parent.parent / "presets.yaml"


class Size(RunnerSection):
    """A machine of a service, with dollars a minute (None: not known, taken as 0)."""

    minute: DollarsPerMinute | None = None


class Preset(Section):
    """What is known of a service. `unknown` names what no source tells; it stays at buildcast's defaults."""

    title: str
    default_size: str | None = None
    sizes: dict[str, Size] = Field(default_factory=dict)
    farm: FarmSection = FarmSection()
    unknown: tuple[str, ...] = ()


@cache
def presets() -> dict[str, Preset]:
    """All presets by name."""
    tree, _ = read(PRESETS_FILE, PRESETS_FILE.name)
    return {name: Preset.model_validate(node.plain()) for name, node in tree.items()}
