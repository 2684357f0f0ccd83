"""Makes the four rows of the decision matrix for two cores: `python tests/real/decisions/generate.py`.

Each is a scenario of seconds with `candidates.yaml`: what is replayed and predicted, to see whether the same one wins. A runner
has one core, a larger one has both; a pool grows to two runners of one core.
"""

from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import yaml

from sim.fit.validation.invent import Traits, invent
from sim.runs import prepare
from sim.scenario import load

HERE = Path(__file__).parent
# A person's minute costs $1.67, a core's a quarter of that: both matter, so that the rows do not all have one winner.
FARM = {
    "runner": {"cpus": 1, "memory": "1GiB"},
    "host": {"cpus": 2},
    "boot": "1s",
    "clone": "1s",
    "idle_timeout": "never",
    "platforms": {"linux/amd64": "native"},
    "price": {"minute": "$0.40", "per": "lease", "wait_hour": "$100"},
}
SMALL = ("one core, no auto-scaling", ["farm.runner.cpus=1"])
LARGE = ("two cores, no auto-scaling", ["farm.runner.cpus=2", "farm.price.minute=$0.80"])


def scaling(limit: int) -> tuple[str, list[str]]:
    return (
        f"one core, auto-scaling {limit}",
        [f"farm.autoscaling={{builds_per_instance: {limit}, max_instances: 2}}"],
    )


APART = ("one core, a project per target", ["projects=per_target"])
ROWS = {
    "frequent-small": (
        Traits(images=1, stages=2, depth=2, builds=14, size_s=0.3, gap_s=0.9, edits=5),
        [SMALL, LARGE, scaling(1), scaling(2)],
    ),
    "resource-intensive": (
        Traits(images=3, stages=3, depth=1, builds=4, size_s=1.5, gap_s=1.2, threads=(2, 4)),
        [SMALL, LARGE, scaling(1), scaling(2)],
    ),
    "mixed": (
        Traits(kind="mixed", images=2, stages=3, depth=2, builds=7, size_s=0.7, gap_s=0.8, edits=2),
        [SMALL, LARGE, scaling(2), APART],
    ),
    "monorepo-bake": (
        replace(Traits(), bake=True, images=3, stages=2, depth=2, builds=3, size_s=0.5, gap_s=1.5, edits=2),
        [SMALL, LARGE, scaling(1), ("one core, base and images apart", ["projects={base: [a], images: [b, c]}"])],
    ),
}


def main() -> None:
    for name, (traits, candidates) in ROWS.items():
        folder = HERE / name
        rmtree(folder, ignore_errors=True)
        for path, text in invent(name, traits, 2).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        written = yaml.safe_load((folder / "scenario.yaml").read_text(encoding="utf-8"))
        written["farm"] = FARM
        written["objective"] = "cost_per_request"
        text = yaml.safe_dump(written, sort_keys=False, width=130)
        (folder / "scenario.yaml").write_text(text, encoding="utf-8")
        listed = [{"label": label, "set": flags} for label, flags in candidates]
        (folder / "candidates.yaml").write_text(yaml.safe_dump(listed, sort_keys=False, width=130), encoding="utf-8")
        prepare(load(folder))


if __name__ == "__main__":
    main()
