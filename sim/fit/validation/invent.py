"""Random scenarios of synthetic steps, for a corpus and for the search where the model is worst.

In: `Traits` (what the scenario is about) and a seed. Out: its files (scenario.yaml, Dockerfiles or a bake file, sources) as texts
by name, the same for the same traits and seed. Costs are exact, without a spread: only the scheduling can be predicted wrongly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Literal

import yaml

Fields = dict[str, object]

HOST_CPUS = 2
PLATFORMS = ("linux/amd64", "linux/386")  # both native on a development machine (design section 7)
_WRITES = (5_000_000, 20_000_000, 50_000_000)
_BOOT_S, _CLONE_S = (
    1.0,
    {"cpu": 1.0, "mixed": 2.0},
)  # longer than a true daemon takes, and a copied root (semantics 13.9)
# A base image of one small layer, the load program, made here: unpacked with nothing beside it in 38 ms on two cores, 48 on one
# (medians of the corpus).
_BASE = {"cpu": "42ms", "layer": "2600000B"}


@dataclass(frozen=True, slots=True)
class Traits:
    """What a random scenario is about. `kind` cpu: steps only compute; mixed: some wait, some write.

    `stages` and `depth`: of each image, at most. `shared`: a first step that all images have. `edits`: how many files change.
    `slots`: max-parallelism. `locked`: steps that lock one cache mount. `bake`: images link to a base image. `scale`: builds per
    instance of two runners. `export`: an output type. `size`: mean core-seconds of a step. `gap_s`: mean time between arrivals.
    """

    kind: Literal["cpu", "mixed"] = "cpu"
    images: int = 2
    stages: int = 3
    depth: int = 2
    builds: int = 6
    size_s: float = 1.0
    gap_s: float = 1.0
    shared: bool = False
    edits: int = 0
    slots: int = 0
    platforms: int = 1
    locked: bool = False
    bake: bool = False
    scale: int = 0
    export: str = ""
    threads: tuple[int, ...] = (1, 1, 2, 4)


def invent(name: str, traits: Traits, seed: int, stretch: float = 1.0) -> dict[str, str]:
    """The files of a scenario. `stretch` multiplies all times, work and bytes, so that a caller can make it as long as wanted."""
    return _Invention(name, traits, Random(f"{name} {seed}"), stretch).files()


class _Invention:
    """One scenario in the making. Draws come in one order whatever the stretch."""

    def __init__(self, name: str, traits: Traits, random: Random, stretch: float) -> None:
        self._name, self._traits, self._random, self._stretch = name, traits, random, stretch
        self._costs: list[Fields] = []
        self._texts: dict[str, str] = {}
        self._images = [chr(ord("a") + at) for at in range(traits.images)]

    def files(self) -> dict[str, str]:
        """All texts by name."""
        for image in self._images:
            self._image(image)
        if self._traits.bake:
            self._bake()
        scenario = self._scenario()
        text = yaml.safe_dump(scenario, sort_keys=False, width=130)
        return {"scenario.yaml": text, **self._texts}

    def _image(self, image: str) -> None:
        traits, random = self._traits, self._random
        base = "base" if traits.bake and image != self._images[0] else "alpine:3.20"
        lines: list[str] = []
        copies: list[tuple[str, str, int]] = []
        for stage in range(random.randint(max(1, traits.stages - 1), traits.stages)):
            lines.append(f"FROM {base} AS s{stage}")
            if traits.shared and stage == 0 and not traits.bake:
                self._run(lines, "shared", 0)
            # Sources are copied into the first stages only: an edit leaves the others cached.
            if traits.edits and stage < 2:
                lines.append(f"COPY {image}/f{stage} /f{stage}")
                self._texts[f"{image}/f{stage}"] = f"{image} {stage}\n"
            last, written = "", 0
            for depth in range(random.randint(1, traits.depth)):
                last = f"{image}.{stage}.{depth}"
                written = self._run(lines, last, depth)
            copies.append((f"s{stage}", last, written))
        lines.append(f"FROM {base}")
        for stage_name, last, written in copies:
            lines.append(f"COPY --from={stage_name} /out/{last} /out/{last}")
            if written:
                self._costs.append(
                    {"step": f"*COPY --from={stage_name} /out/{last} *", "write": f"{written}B", "spread": 0}
                )
        self._texts[f"Dockerfile.{image}"] = "\n".join(lines) + "\n"

    def _run(self, lines: list[str], tag: str, depth: int) -> int:
        """A RUN and its cost; returns the bytes it writes."""
        traits, random = self._traits, self._random
        locks = traits.locked and depth == 0 and random.random() < 0.7
        mount = "--mount=type=cache,id=store,target=/store,sharing=locked " if locks else ""
        lines.append(f"RUN {mount}make {tag}")
        threads = random.choice(traits.threads)
        cpu_s = traits.size_s * random.uniform(0.4, 1.8)
        draw = random.random()
        wait_s, written = random.uniform(0.3, 1.0) * traits.size_s, random.choice(_WRITES)
        is_mixed = traits.kind == "mixed"
        waits, writes = is_mixed and draw < 0.55, is_mixed and 0.35 < draw < 0.8
        if is_mixed and draw < 0.2:
            cpu_s, threads = 0.0, 1
        if any(cost["step"] == f"*make {tag}" for cost in self._costs):
            return 0
        cost: Fields = {"step": f"*make {tag}", "cpu": _seconds(cpu_s * self._stretch), "threads": threads}
        if waits:
            cost["latency"] = _seconds(wait_s * self._stretch)
        if writes:
            cost["write"] = f"{written}B"
        self._costs.append(cost | {"same_output": True, "spread": 0})
        return written if writes else 0

    def _bake(self) -> None:
        targets: dict[str, Fields] = {}
        for at, image in enumerate(self._images):
            target: Fields = {"context": ".", "dockerfile": f"Dockerfile.{image}"}
            if self._traits.platforms > 1:
                target["platforms"] = list(PLATFORMS)
            if at:
                target["contexts"] = {"base": f"target:{self._images[0]}"}
            targets[image] = target
        document = {"group": {"default": {"targets": self._images}}, "target": targets}
        self._texts["docker-bake.json"] = json.dumps(document, indent=1) + "\n"

    def _scenario(self) -> Fields:
        traits = self._traits
        found: Fields = {"schema": 1, "name": self._name}
        if traits.bake:
            found["bake"] = "docker-bake.json"
        else:
            found["targets"] = {image: self._target(image) for image in self._images}
        found["farm"] = self._farm()
        found["workload"], found["edits"] = self._workload()
        if not found["edits"]:
            del found["edits"]
        found["costs"] = [*self._costs, {"step": "*FROM *", **_BASE, "spread": 0}]
        return found

    def _target(self, image: str) -> Fields:
        target: Fields = {"dockerfile": f"Dockerfile.{image}", "context": "."}
        if self._traits.platforms > 1:
            target["platforms"] = list(PLATFORMS)
        return target

    def _farm(self) -> Fields:
        traits = self._traits
        shares = traits.platforms if not traits.scale else 2 * traits.platforms
        farm: Fields = {
            "runner": {"cpus": HOST_CPUS / shares, "memory": "1GiB"},
            "platforms": dict.fromkeys(PLATFORMS[: traits.platforms], "native"),
            "host": {"cpus": HOST_CPUS},
        }
        if traits.slots:
            farm["max_parallelism"] = traits.slots
        if traits.scale:
            farm["autoscaling"] = {"builds_per_instance": traits.scale, "max_instances": 2}
            farm |= {"boot": f"{_BOOT_S:g}s", "clone": f"{_CLONE_S[self._traits.kind]:g}s", "idle_timeout": "never"}
        return farm

    def _workload(self) -> tuple[list[Fields], list[Fields]]:
        traits, random = self._traits, self._random
        entries: list[Fields] = []
        at_s, times = 0.0, []
        for number in range(traits.builds):
            # A third comes at once with the one before: sharing in flight.
            if number and random.random() > 0.33:
                at_s += random.expovariate(1 / traits.gap_s) * self._stretch
            times.append(at_s)
            asked = "default" if traits.bake else random.choice(self._images)
            entry: Fields = {"build": [asked], "arrivals": {"times": [f"{at_s:.2f}s"]}}
            if traits.export:
                entry["output"] = {"type": traits.export}
            entries.append(entry)
        edits: list[Fields] = []
        edited = [name for name in sorted(self._texts) if "/f" in name]
        for _ in range(traits.edits if edited else 0):
            # Well before a request, so that no one reads a file while it is written.
            before_s = random.choice(times[1:]) if len(times) > 1 else 0.0
            path = random.choice(edited)
            edits.append({"at": f"{max(before_s - 0.2, 0.0):.2f}s", "path": path})
        return entries, sorted(edits, key=lambda edit: float(str(edit["at"])[:-1]))


def _seconds(value: float) -> str:
    return f"{value:.2f}s"
