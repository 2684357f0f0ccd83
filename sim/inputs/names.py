"""What a vertex's name says: the kind of step, the bake target, the platform.

In: names as BuildKit's clients print them. Out: words of the trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

CLIENT = "overhead"  # a client's own vertexes, and what the daemon does that is no step

_BRACKETS = re.compile(r"\[([^\]]*)\] ?(.*)", re.DOTALL)
_DECLARES = re.compile(r"\[(\S+) internal\] load (?:build definition|\.dockerignore|git source|remote build context)\b")
_PLATFORM = re.compile(r"^(?:\S+ )?((?:linux|windows|darwin|freebsd)/[\w/]+)(?:->([\w/]+))? ")

# By the first words of the text behind the brackets, first match wins. Sources: dockerfile2llb/*.go, dockerui/*.go,
# exporter/*/export.go, llbsolver/{bridge,export,solver}.go of v0.34.2; buildx v0.38.2 build/*.go.
_KINDS = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"load build context|load from client", "context"),
        (r"(ONBUILD )?(RUN|generating sbom)\b", "exec"),
        (r"(ONBUILD )?(COPY|ADD|WORKDIR)\b|mkdir|mkfile|preparing inline document|setting cache mount", "copy"),
        (r"LINK\b|merge\b|diff\b", "merge"),
        (r"exporting |pushing |importing to |merging manifest|cloud pull", "export"),
        (r"FROM\b|load (build definition|\.dockerignore|metadata|git source|remote build)|OCI load|resolve |importing cache",
         "source"),
        (r"(docker-image|oci-layout|git|https?|local|docker-image\+blob)://", "source"),
        (r"resolving provenance|Verifying |booting |waiting for|target results|load local bake|load metadata file", CLIENT),
    )
)  # fmt: skip
# These are done for one build alone, whoever else does the same: BuildKit never shares them.
_ALONE = re.compile(r"load metadata for |resolve image config|importing cache manifest")


def text_of(name: str) -> str:
    """The command of a step: what stands behind `[stage 2/3] `. Equal steps of other stages have the same."""
    found = _BRACKETS.match(name)
    return found[2] if found else name


def kind_of(name: str, has_inputs: bool) -> str:
    """The kind of a step, in the trace's words. Names of other frontends say nothing: then inputs decide."""
    found = _BRACKETS.match(name)
    tag, text = (found[1].split(), found[2]) if found else ([], name)
    for pattern, kind in _KINDS:
        if pattern.match(text):
            return kind
    if "context" in tag:
        return "source"
    if "internal" in tag or "auth" in tag:
        return CLIENT
    return "exec" if has_inputs else "source"


def is_alone(name: str, kind: str) -> bool:
    """Whether a vertex of this name is always the build's own work: exports, look-ups, a client's doings."""
    return kind in ("export", CLIENT) or bool(_ALONE.match(text_of(name)))


def declared_target(name: str) -> str | None:
    """The bake target that this vertex shows to be in a log: `[app internal] load build definition ...`."""
    found = _DECLARES.match(name)
    return found[1] if found else None


def target_of(name: str, targets: Iterable[str]) -> str | None:
    """Which of the log's targets a vertex belongs to, by the prefix that buildx puts into the brackets."""
    found = _BRACKETS.match(name)
    first = found[1].partition(" ")[0] if found else ""
    return first if first in targets else None


def under_any_target(name: str) -> str:
    """The name without the first word in its brackets: equal steps of linked bake targets have the same, each its own word."""
    found = _BRACKETS.match(name)
    return f"[{found[1].partition(' ')[2]}] {found[2]}" if found else name


def with_target(name: str, target: str) -> str:
    """The name as buildx shows it where several targets are built (util/progress/multiwriter.go)."""
    return f"[{target} {name[1:]}" if name.startswith("[") else f"[{target}] {name}"


def platforms_of(names: Iterable[str]) -> tuple[str, ...] | None:
    """The platforms built for, where BuildKit names them: only if there are several. None: not said."""
    found: dict[str, None] = {}
    for name in names:
        brackets = _BRACKETS.match(name)
        platform = _PLATFORM.match(brackets[1]) if brackets else None
        if platform:
            host, other = platform[1], platform[2]
            found[host if other is None else other if "/" in other else f"{host.partition('/')[0]}/{other}"] = None
    return tuple(found) or None
