"""Reads a scenario: file, `--set` flags, validation, checks between fields; all problems at once.

In: a path (a file, or a folder with a `scenario.yaml`) and flags. Out: `Scenario`, or InputErrors sorted by line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from sim.errors import InputError, InputErrors
from sim.scenario.checks import check
from sim.scenario.fields.scenario import Objective, Scenario
from sim.scenario.problems import explain
from sim.scenario.resolve import farm_notes, farm_runner, merged_section, resolve_farm
from sim.scenario.yaml_source import Node, apply_set, one_line, read

FILE_NAME = "scenario.yaml"
MAX_PROBLEMS = 50  # a list of 5000 wrong rows helps nobody
_AS_WRITTEN = frozenset({"args", "name", "description"})  # `V: 1.10` is the text 1.10


def load(path: str | Path, sets: Sequence[str] = ()) -> Scenario:
    """The scenario of a file with `sets` (`farm.size=large`) written over it. InputErrors with every problem found."""
    file = Path(path)
    if file.is_dir():
        file = file / FILE_NAME
    try:
        tree, raw = read(file, str(file))
    except InputErrors:
        raise
    except InputError as error:
        raise InputErrors([error]) from error
    problems: list[InputError] = []
    for flag in sets:
        try:
            tree = apply_set(tree, flag)
        except InputError as error:
            problems.append(error)
    if not isinstance(tree.value, dict):
        raise InputErrors([InputError("the file holds no fields", where=tree.where, hint="write schema: 1, name, ...")])
    problems += check(tree, file.parent)
    scenario: Scenario | None = None
    try:
        scenario = Scenario.model_validate(tree.plain(_AS_WRITTEN))
    except ValidationError as error:
        problems += explain(error, tree, Scenario)
    if scenario is None or problems:
        raise InputErrors(_listed(problems))
    return _finished(scenario, file, tree, hashlib.sha256(raw).hexdigest())


def _finished(scenario: Scenario, file: Path, tree: Node, sha256: str) -> Scenario:
    """Fills in name and objective, notes what was filled in, and tries what needs the whole."""
    section = merged_section(scenario.farm)
    notes = farm_notes(scenario.farm)
    objective = scenario.objective
    if objective is None:
        runner, _ = farm_runner(section)
        has_price = runner.price_per_minute > 0 or bool(section.price and section.price.wait_hour)
        objective = _default_objective(has_price)
        notes.append(f"objective: none given, {objective} is used")
    finished = scenario.model_copy(update={"name": scenario.name or file.resolve().parent.name, "objective": objective})
    finished._path, finished._tree, finished._sha256, finished._notes = file, tree, sha256, tuple(notes)
    if finished.horizon is not None and finished.warmup >= finished.horizon:
        problem = finished.problem(("warmup",), "is not shorter than horizon", "nothing would be measured")
        raise InputErrors([problem])
    if finished.targets is not None:
        try:
            resolve_farm(finished, list(finished.targets), {})
        except InputError as error:
            raise InputErrors([error]) from error
    return finished


def _default_objective(has_price: bool) -> Objective:
    """Money where there is any; else time."""
    return "cost_per_request" if has_price else "mean_duration"


def _listed(problems: Sequence[InputError]) -> list[InputError]:
    """By place in the file, flags last, each once, each one line."""
    flat: dict[str, InputError] = {}
    for problem in problems:
        for one in problem.problems if isinstance(problem, InputErrors) else [problem]:
            clean = InputError(one_line(one.what), where=one.where, hint=one_line(one.hint))
            flat.setdefault(str(clean), clean)
    ordered = sorted(flat.values(), key=_place)
    if len(ordered) <= MAX_PROBLEMS:
        return ordered
    return [*ordered[:MAX_PROBLEMS], InputError(f"... and {len(ordered) - MAX_PROBLEMS} more problems")]


def _place(problem: InputError) -> tuple[bool, int, int]:
    found = re.search(r":(\d+):(\d+)$", problem.where)
    is_flag = problem.where.startswith("--set ")
    return (is_flag, int(found[1]), int(found[2])) if found and not is_flag else (is_flag, 0, 0)
