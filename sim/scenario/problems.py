"""pydantic's complaints as lines that a person can act on.

In: a ValidationError and the tree of the file. Out: InputErrors with line, column, field and what to write instead.
"""

from __future__ import annotations

import re
import types
from collections.abc import Sequence
from typing import Annotated, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sim.errors import InputError
from sim.scenario.fields.quantities import Section, nearest
from sim.scenario.yaml_source import Node, one_line

_PLAIN_WORDS = {
    "model_type": "must be a mapping of fields",
    "model_attributes_type": "must be a mapping of fields",
    "dict_type": "must be a mapping of names",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be text",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}
_HINTS = {
    "farm": "write farm: {preset: depot} or farm: {runner: {cpus: 16, memory: 32GiB}}",
    "workload": "write workload: [{build: [app], arrivals: {rate: 12/h}}]",
    "arrivals": "write arrivals: {rate: 12/h} or {times: [0s]}",
    "build": "name the targets, as build: [app]",
    "step": 'write step: "*npm ci*"',
}
_SHAPES = {
    "must be a mapping of fields": "write {field: value}",
    "must be a mapping of names": "write {name: value}",
    "must be a list": "write [a, b]",
    "must be text": "put it in quotes",
}


def explain(error: ValidationError, tree: Node, model: type[Section]) -> list[InputError]:
    """One InputError for each complaint, without repeats (an alias is complained of once a use)."""
    found: dict[str, InputError] = {}
    for details in error.errors(include_url=False):
        if details["type"] == "too_short" and _locate(tree, details["loc"])[0].entries():
            continue  # pydantic counts the valid entries; the invalid ones are complained of themselves
        problem = _explain(details, tree, model)
        found.setdefault(str(problem), problem)
    return list(found.values())


def _explain(details: ErrorDetails, tree: Node, model: type[Section]) -> InputError:
    loc = details["loc"]
    node, path = _locate(tree, loc)
    kind, name = details["type"], str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        parent, above = _locate(tree, loc[:-1])
        allowed = _allowed(model, loc[:-1])
        field = ".".join([*above, name])
        return InputError(
            one_line(f"{field}: unknown field"), where=parent.where_key(name), hint=nearest(name, allowed)
        )
    if kind == "missing":
        field = ".".join([*path, name])
        return InputError(f"{field}: is missing", where=node.where, hint=_HINTS.get(name, ""))
    what, hint = _words(details)
    prefix = ".".join(path) + ": " if path else ""
    return InputError(one_line(prefix + what), where=node.where, hint=one_line(hint or _HINTS.get(name, "")))


def _words(details: ErrorDetails) -> tuple[str, str]:
    """What is wrong, and what to write instead."""
    kind, context = details["type"], details.get("ctx", {})
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context.get("expected"))) or [str(context.get("expected"))]
        return f"unknown '{details['input']}'", nearest(str(details["input"]), choices)
    if kind == "value_error":
        what, _, hint = str(context["error"]).partition("; ")
        return what, hint
    if (shape := _PLAIN_WORDS.get(kind)) is not None:
        got = details["input"]
        shown = "" if isinstance(got, list | dict | tuple) or got in ("", None) else f", not '{got}'"
        return shape + shown, _SHAPES.get(shape, "")
    return details["msg"].lower(), ""


def _locate(tree: Node, loc: Sequence[str | int]) -> tuple[Node, list[str]]:
    """The deepest written node of a pydantic location, and its path in the file.

    Parts that only the models know (the `jobs` of a short entry, the `rows` of changes) are passed over.
    """
    node, path = tree, []
    for part in loc:
        below = node.get(part) if isinstance(node.value, list | dict) else None
        if below is not None:
            node = below
            path.append(str(part))
    return node, path


def _allowed(model: type[Section], loc: Sequence[str | int]) -> list[str]:
    """The fields of the section at a location."""
    kind: object = model
    for part in loc:
        kind = _below(kind, part)
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, Section):
        return [field.alias or name for name, field in kind.model_fields.items()]
    return []


def _below(kind: object, part: str | int) -> object:
    """The type of an entry or a field of a type."""
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, Section):
        fields = {(field.alias or name): field.annotation for name, field in kind.model_fields.items()}
        return fields.get(str(part))
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return arguments[1]
    return arguments[0] if arguments else None


def _bare(kind: object) -> object:
    """Without Annotated and `| None`."""
    while get_origin(kind) in (Annotated, Union, types.UnionType):
        kind = next((one for one in get_args(kind) if one is not type(None)), None)
    return kind
