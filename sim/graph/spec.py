"""What a scenario says about its builds: targets of its own, or a bake file.

In: the scenario (converted by `sim.scenario`). Out: `GraphSpec`, all that `sim.graph` needs to know of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Args = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """One target of a scenario without a bake file. Paths are relative to the scenario file.

    An empty `dockerfile` stands for CONTEXT/Dockerfile.
    """

    dockerfile: str = ""
    context: str = "."
    target: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """A scenario's builds. `args_variants` are the `args` of its jobs; `platforms` hold for targets that name none.

    `asked` are the targets and groups that the workload builds, empty means all; `places` says where it names them.
    """

    folder: Path
    file: str = "scenario.yaml"
    bake: str | None = None
    targets: Mapping[str, TargetSpec] = field(default_factory=dict)
    args_variants: tuple[Args, ...] = ()
    platforms: tuple[str, ...] = ("linux/amd64",)
    asked: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def lock_path(self) -> Path:
        """`graph.lock.json` beside `scenario.yaml`; `NAME.lock.json` beside `NAME.yaml`."""
        stem = Path(self.file).stem
        return self.folder / ("graph.lock.json" if stem == "scenario" else f"{stem}.lock.json")

    @property
    def scenario_path(self) -> Path:
        """The scenario file."""
        return self.folder / self.file

    def where(self, name: str) -> str:
        """`file:line` of what asks for a target, as far as `places` says it; else the scenario."""
        return self.places.get(name, str(self.scenario_path))

    @property
    def lock_command(self) -> str:
        """The command that refreshes the lock file."""
        return f"buildcast graph {self.scenario_path} --lock"

    def variants(self) -> tuple[Args, ...]:
        """All argument sets that jobs pass, the empty one first, each sorted by name."""
        return tuple(dict.fromkeys([(), *(tuple(sorted(args)) for args in self.args_variants)]))
