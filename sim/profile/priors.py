"""Priors: a documented guess, with a wide spread, for what no rule and no profile speaks of.

In: a step (its command or its source) and `priors.yaml` beside this file. Out: a `Cost` of origin `prior`; its `rule`
names the guesses. A RUN is taken apart into shell commands; every guess that matches one counts once, and they add up.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import inf
from typing import cast

import yaml

from sim.graph.types import Step
from sim.profile.constants import UNPACK_CORES
from sim.profile.cost import Cost
from sim.profile.rules import glob

MB = 1e6
LOCAL_SOURCES = ("local://", "oci-layout://", "input:", "target:")


@dataclass(frozen=True, slots=True)
class Prior:
    """One guess: what it matches, what it costs, and why."""

    name: str
    regex: re.Pattern[str]
    cost: Cost
    note: str


@dataclass(frozen=True, slots=True)
class Priors:
    """The guesses of `priors.yaml`: commands (all that match count), images (the first), and what is left."""

    commands: tuple[Prior, ...]
    images: tuple[Prior, ...]
    default: Prior
    git: Prior
    http: Prior
    trivial: re.Pattern[str]

    def command(self, step: Step) -> Cost:
        """The guess for a RUN."""
        found: dict[str, Prior] = {}
        for part in shell_commands(step.name):
            matching = [prior for prior in self.commands if prior.regex.match(part)]
            if not matching and not self.trivial.match(part):
                matching = [self.default]
            found.update((prior.name, prior) for prior in matching)
        return _sum(found.values())

    def source(self, step: Step) -> Cost:
        """The guess for a pull, a git or an http source. A local layout or a linked target costs nothing here."""
        if step.source.startswith(LOCAL_SOURCES):
            return Cost(origin="prior", rule="local")
        if step.source.startswith("git://") or step.source.endswith(".git"):
            return self.git.cost
        if step.source.startswith(("http://", "https://")):
            return self.http.cost
        image = _repository_and_tag(step.source)
        return next(prior.cost for prior in self.images if prior.regex.fullmatch(image))


@cache
def priors() -> Priors:
    """The built-in priors, read once."""
    text = resources.files("sim.profile").joinpath("priors.yaml").read_text(encoding="utf-8")
    loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    unpack = float(loaded["unpack_cpu_s_per_gb"]) / 1e9
    trivial = "|".join(re.escape(word) for word in sorted(loaded["trivial"], key=len, reverse=True))
    return Priors(
        commands=tuple(_command(entry) for entry in loaded["commands"]),
        images=tuple(_image(entry, unpack) for entry in loaded["images"]),
        default=_command(loaded["default"] | {"name": "unknown command", "match": ""}),
        git=_image(loaded["git"] | {"match": "git"}, unpack),
        http=_image(loaded["http"] | {"match": "http"}, unpack),
        trivial=re.compile(rf"(?:\S*/)?(?:{trivial})(?![\w./-])"),
    )


_PREFIX = re.compile(r"\s*(?:\[[^\]]*\]\s*)?(?:RUN\s+)?(?:--[\w-]+(?:=\S+)?\s+)*")
_SEPARATOR = re.compile(r"&&|\|\||[;|\n]|\$\(|`")
_SHELL = re.compile(r"(?<!\S)(?:\S*/)?(?:ba|da|z|a)?sh\s+-\w*c\s+[\"']?")
_WRAPPERS = (
    r"then|do|else|elif|if|while|until|sudo|time|exec|nice|env|xvfb-run|gosu\s+\S+"
    r"|(?:uv|poetry|pipenv|pdm|hatch)\s+run|bundle\s+exec"
)
_LEAD = re.compile(
    rf"""(?:[\s({{!\\]+|<<-?["']?\w+["']?\s|(?:{_WRAPPERS})\s|\w+=(?:"[^"]*"|'[^']*'|[^\s"'])*(?:\s|$))+"""
)
_OPTIONS = r"(-\S+ ([^-\s]\S* )??)*"


def shell_commands(name: str) -> list[str]:
    """The single commands of a RUN's name, without BuildKit's prefix, flags, assignments and the shell's own words."""
    text = _PREFIX.sub("", name, count=1)
    if text.startswith("["):
        with contextlib.suppress(ValueError):  # the exec form, a JSON list of words; anything else is a shell's `[`
            text = " ".join(str(word) for word in json.loads(text))
    text = _SHELL.sub("", re.sub(r"\\\s*\n", " ", text))
    parts = (" ".join(part.split()) for part in _SEPARATOR.split(text))
    bare = (part[lead.end() :] if (lead := _LEAD.match(part)) else part for part in parts)
    return [part for part in (part.strip(" ()\"'}") for part in bare) if part and not part.startswith("#")]


def _command(entry: Mapping[str, object]) -> Prior:
    number = {key: value for key, value in entry.items() if isinstance(value, int | float)}
    name, threads = str(entry["name"]), entry.get("threads", 1)
    cost = Cost(
        cpu_s=number["cpu_s"],
        threads=inf if threads == "all" else float(cast(float, threads)),
        serial=number.get("serial", 0.0),
        download_bytes=number.get("download_mb", 0.0) * MB,
        write_bytes=number.get("write_mb", 0.0) * MB,
        layer_bytes=number.get("write_mb", 0.0) * MB,
        memory_bytes=number.get("memory_mb", 0.0) * MB,
        warm=number.get("warm", 1.0),
        spread=number["spread"],
        origin="prior",
        rule=name,
    )
    words = str(entry["match"]).replace("{opts}", _OPTIONS)
    return Prior(name, re.compile(rf"(?:\S*/)?(?:{words})(?![\w-])"), cost, str(entry["note"]))


def _image(entry: Mapping[str, object], unpack_cpu_s_per_byte: float) -> Prior:
    number = {key: value * MB for key, value in entry.items() if isinstance(value, int | float)}
    name, unpacked_bytes = str(entry["match"]), number["unpacked_mb"]
    cost = Cost(
        download_bytes=number["download_mb"],
        cpu_s=unpacked_bytes * unpack_cpu_s_per_byte,
        threads=UNPACK_CORES,
        write_bytes=unpacked_bytes,
        layer_bytes=unpacked_bytes,
        spread=number["spread"] / MB,
        origin="prior",
        rule=name,
    )
    return Prior(name, glob(name), cost, str(entry["note"]))


def _sum(found: Iterable[Prior]) -> Cost:
    """One after the other: amounts add up, threads average over the time, the largest memory and spread hold."""
    costs = [prior.cost for prior in found]
    cpu_s = sum(cost.cpu_s for cost in costs)
    if not cpu_s:
        return Cost(origin="prior", rule="trivial")
    at_full_width_s = sum(cost.cpu_s / cost.threads for cost in costs)
    return Cost(
        cpu_s=cpu_s,
        threads=cpu_s / at_full_width_s if at_full_width_s else inf,
        serial=sum(cost.cpu_s * cost.serial for cost in costs) / cpu_s,
        download_bytes=sum(cost.download_bytes for cost in costs),
        write_bytes=sum(cost.write_bytes for cost in costs),
        layer_bytes=sum(cost.layer_bytes for cost in costs),
        memory_bytes=max(cost.memory_bytes for cost in costs),
        warm=sum(cost.cpu_s * cost.warm for cost in costs) / cpu_s,
        spread=max(cost.spread for cost in costs),
        origin="prior",
        rule=" + ".join(cost.rule for cost in costs),
    )


def _repository_and_tag(source: str) -> str:
    """`docker-image://docker.io/library/node:20@sha256:..` as `/docker.io/library/node:20`; without a tag, `latest`."""
    name = source.removeprefix("docker-image://").split("@", 1)[0]
    return f"/{name}" if ":" in name.rsplit("/", 1)[-1] else f"/{name}:latest"
