"""What the name of a step must not say: values of build arguments, and text that is a credential.

In: names as BuildKit writes them: with the values of arguments (dockerfile2llb/convert.go, processCmdEnv). Out: names for
graphs, traces and logs, where two that differ only in such a value are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_HEAD = re.compile(r"(\[[^\]]*\] ?)?(.*)", re.DOTALL)
# Text that is a credential wherever it stands.
_CREDENTIALS = (
    (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"), "***"),
    (
        re.compile(r"(?i)(\b[\w-]*(?:token|secret|passw(?:or)?d|api_?key|access_?key)[\w-]*=)(?![$,])[^\s,;&|]+"),
        r"\1***",
    ),
    (re.compile(r"(?i)(\bauthorization: *\w+ +|\bbearer +)(?!\$)[\w.~+/=-]{8,}"), r"\1***"),
    (
        re.compile(r"\b(?:gh[pousr]_\w{20,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|sk-[\w-]{20,})"),
        "***",
    ),
)
_LEAST_SECRET = 4
"""Letters. Nothing as short as `1` is a secret, and it is part of many a step's name, by which worlds are compared."""


def secret(args: Mapping[str, str]) -> dict[str, str]:
    """The arguments that have a value worth hiding."""
    return {name: value for name, value in args.items() if len(value) >= _LEAST_SECRET}


def hidden(name: str, args: Mapping[str, str]) -> str:
    """A step's name without values of build arguments: `${NAME}` stands for them. What is in `[stage 2/3] ` stays."""
    found = _HEAD.fullmatch(name)
    assert found is not None
    return (found[1] or "") + scrubbed(found[2], args)


def scrubbed(
    text: str, args: Mapping[str, str], mark: Callable[[str, str], str] = lambda name, _: f"${{{name}}}"
) -> str:
    """Any text without these values, `mark(name, value)` in their place, and without what looks like a credential.

    A short value is hidden only where it stands alone: `sleep 10` has no `1` in it.
    """
    for name, value in sorted(args.items(), key=lambda pair: -len(pair[1])):
        if value and value in text:
            edge = r"(?<![\w$]){}(?!\w)" if len(value) < _LEAST_SECRET else "{}"
            text = mark(name, value).join(re.split(edge.format(re.escape(value)), text))
    for pattern, shown in _CREDENTIALS:
        text = pattern.sub(shown, text)
    return text
