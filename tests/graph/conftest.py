"""Small worlds for the graph tests: folders with Dockerfiles, and the real tools."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sim.graph import Graphs, GraphSpec, TargetSpec, load_graphs

FIXTURES = Path(__file__).parent / "fixtures"
needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use the fixture `make` ask the real frontend, hence Go."""
    for item in items:
        if "make" in getattr(item, "fixturenames", ()):
            item.add_marker(needs_go)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Write files, by path; returns their folder."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def make(folder: Callable[[dict[str, str]], Path]) -> Callable[..., Graphs]:
    """Write files and freeze their graphs with the real tools. Without targets or bake: one target `app`."""

    def made(files: dict[str, str], **spec: object) -> Graphs:
        if "bake" not in spec and "targets" not in spec:
            spec["targets"] = {"app": TargetSpec()}
        return load_graphs(GraphSpec(folder(files), **spec), refresh=True, say=lambda _: None)  # type: ignore[arg-type]

    return made


@pytest.fixture(scope="session")
def spec_of() -> Callable[[Path], GraphSpec]:
    """A `GraphSpec` from a scenario file, without the scenario package."""

    def convert(case: Path) -> GraphSpec:
        content = yaml.safe_load((case / "scenario.yaml").read_text(encoding="utf-8"))
        targets = {
            name: TargetSpec(
                dockerfile=target.get("dockerfile", ""),
                context=target.get("context", "."),
                target=target.get("target", ""),
                args={key: str(value) for key, value in target.get("args", {}).items()},
                platforms=tuple(target.get("platforms", ())),
            )
            for name, target in content.get("targets", {}).items()
        }
        return GraphSpec(
            folder=case,
            bake=content.get("bake"),
            targets=targets,
            args_variants=tuple(tuple(sorted(job.get("args", {}).items())) for job in content["workload"]),
            platforms=tuple(content["farm"]["platforms"]),
        )

    return convert
