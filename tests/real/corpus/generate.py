"""Makes the corpus anew: `python tests/real/corpus/generate.py`. Seeded, so that it gives what is committed.

Each scenario is stretched until it takes about as long as drawn, on two cores, by the plain max-min model: that one does not
change, so neither does the corpus when the model does.
"""

from dataclasses import replace
from pathlib import Path
from random import Random
from shutil import rmtree
from tempfile import TemporaryDirectory

from sim.fit.validation.invent import Traits, invent
from sim.fit.validation.max_min import max_min
from sim.runs import prepare, requests_of
from sim.scenario import load

HERE = Path(__file__).parent
SHORTEST_S, LONGEST_S = 6.0, 14.0

FORK = Traits(images=2, stages=4, depth=1, builds=5)
CHAIN = Traits(images=2, stages=2, depth=3, builds=6)
MIXED = Traits(kind="mixed", images=3, stages=3, depth=2, builds=7)
# fmt: off
CORPUS = {
    "cpu-fork-1": FORK,
    "cpu-fork-2": replace(FORK, images=3, threads=(1, 2)),
    "cpu-fork-3": replace(FORK, threads=(1,), gap_s=0.4, builds=7),
    "cpu-chain-1": CHAIN,
    "cpu-chain-2": replace(CHAIN, images=3, threads=(2, 4), builds=8),
    "cpu-edit-1": replace(CHAIN, edits=3, builds=8, gap_s=2.0),
    "cpu-edit-2": replace(FORK, edits=4, stages=3, depth=2, builds=8),
    "cpu-dedup-1": replace(CHAIN, shared=True, images=3, gap_s=0.3, builds=8),
    "cpu-slots-1": replace(FORK, slots=2, builds=8),
    "cpu-slots-2": replace(CHAIN, slots=3, images=3, builds=8),
    "cpu-locked-1": replace(FORK, locked=True, depth=2, stages=3, builds=6),
    "cpu-platforms-1": replace(FORK, platforms=2, stages=3),
    "cpu-platforms-2": replace(CHAIN, platforms=2, edits=2, builds=6),
    "cpu-bake-1": replace(CHAIN, bake=True, images=3, builds=3, gap_s=4.0),
    "cpu-small-1": Traits(images=3, stages=2, builds=14, size_s=0.15, gap_s=0.6, edits=3),
    "cpu-scale-1": replace(CHAIN, scale=1, builds=7, gap_s=1.5),
    "cpu-scale-2": replace(FORK, scale=2, builds=8, stages=3),
    "mixed-1": MIXED,
    "mixed-2": replace(MIXED, images=2, stages=4, builds=8),
    "mixed-3": replace(MIXED, depth=3, gap_s=0.5),
    "mixed-small-1": replace(MIXED, builds=14, size_s=0.15, gap_s=0.6, edits=3),
    "mixed-edit-1": replace(MIXED, edits=3, images=2, gap_s=2.0, builds=8),
    "mixed-edit-2": replace(MIXED, edits=5, builds=9),
    "mixed-dedup-1": replace(MIXED, shared=True, gap_s=0.3, builds=9),
    "mixed-slots-1": replace(MIXED, slots=1, images=2, stages=2),
    "mixed-slots-2": replace(MIXED, slots=3, builds=9),
    "mixed-locked-1": replace(MIXED, locked=True, images=2),
    "mixed-platforms-1": replace(MIXED, platforms=2, images=2, builds=5),
    "mixed-platforms-2": replace(MIXED, platforms=2, images=2, stages=2, edits=2, builds=6),
    "mixed-bake-1": replace(MIXED, bake=True, images=4, stages=2, builds=3, gap_s=3.0),
    "mixed-bake-2": replace(MIXED, bake=True, edits=2, stages=2, builds=4, gap_s=3.0),
    "mixed-scale-1": replace(MIXED, scale=1, images=2, gap_s=1.5),
    "mixed-scale-2": replace(MIXED, scale=2, builds=9),
    "mixed-export-1": replace(MIXED, export="oci", images=2, stages=2, builds=5),
    "mixed-export-2": replace(MIXED, export="local", images=2, stages=2, builds=5),
}
# fmt: on


def write(name: str, traits: Traits, seed: int, stretch: float, folder: Path) -> None:
    for path, text in invent(name, traits, seed, stretch).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def makespan_s(folder: Path) -> float:
    case = prepare(load(folder), say=lambda text: None)
    return max_min(requests_of(case, 1), case.graphs, case.farm, case.profile).makespan_s


def make(name: str, traits: Traits, seed: int, folder: Path) -> float:
    """The scenario, stretched to a drawn length; work stretches, gaps between arrivals too, so a few rounds are enough."""
    wanted_s, stretch, found_s = Random(f"length {name}").uniform(SHORTEST_S, LONGEST_S), 1.0, 0.0
    if traits.scale:
        wanted_s *= 0.7  # that model knows no clones, which do much again
    for _ in range(4):
        with TemporaryDirectory() as trial:
            write(name, traits, seed, stretch, Path(trial))
            found_s = makespan_s(Path(trial))
        if abs(found_s - wanted_s) < 0.5:
            break
        stretch *= wanted_s / found_s
    write(name, traits, seed, stretch, folder)
    return makespan_s(folder)


def main() -> None:
    for name, traits in CORPUS.items():
        rmtree(HERE / name, ignore_errors=True)
        print(f"{name}: {make(name, traits, 1, HERE / name):.1f} s")


if __name__ == "__main__":
    main()
