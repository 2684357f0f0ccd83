"""buildkitd.toml of one runner, as design section 7 found it to work as root.

In: paths, limits. Out: the file's text. Garbage collection is written as Depot's machine agent writes it (farm-facts A).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from sim.errors import InputError
from sim.scenario.farm import CacheLimits

# A replay is read from the history after its end; the daemon's own limits are 48 h and 50 records (semantics 12).
_HISTORY = ("8760h", 1_000_000)


def config_text(
    *,
    root: Path,
    socket: Path,
    otel_socket: Path,
    runc: Path,
    steps_group: str,
    cache: CacheLimits,
    max_parallelism: int = 0,
    platforms: Sequence[str] = (),
) -> str:
    """The text of buildkitd.toml. `platforms` (): those that the machine runs. InputError: BuildKit cannot do the policy."""
    lines = [
        f"root = {_text(root)}",
        "[grpc]",
        f"  address = [{_text(f'unix://{socket}')}]",
        "[otel]",
        f"  socketPath = {_text(otel_socket)}",
        "[history]",
        f"  maxAge = {_text(_HISTORY[0])}",
        f"  maxEntries = {_HISTORY[1]}",
        "[cdi]",
        "  disabled = true",
        "[worker.containerd]",
        "  enabled = false",
        "[worker.oci]",
        "  enabled = true",
        '  snapshotter = "overlayfs"',
        '  networkMode = "host"',
        f"  binary = {_text(runc)}",
        f"  defaultCgroupParent = {_text(steps_group)}",
        *([f"  max-parallelism = {max_parallelism}"] if max_parallelism else []),
        *([f"  platforms = [{', '.join(map(_text, platforms))}]"] if platforms else []),
        *_collection(cache),
    ]
    return "\n".join(lines) + "\n"


def _collection(cache: CacheLimits) -> list[str]:
    """Two policies: what was not used for `keep_s` goes; then the oldest until `max_bytes` are left (semantics 8)."""
    policies = []
    if isfinite(cache.keep_s):
        policies.append(f"    keepDuration = {_text(f'{max(1, round(cache.keep_s))}s')}")
    if isfinite(cache.max_bytes):
        policies.append(f"    keepBytes = {_text(max(1, int(cache.max_bytes)))}")
    if policies and cache.policy != "buildkit":
        raise InputError(
            f"BuildKit has no cache policy '{cache.policy}'",
            where="farm.cache.policy",
            hint="a real daemon knows `buildkit` only",
        )
    if not policies:
        return ["  gc = false"]
    return ["  gc = true", *(line for one in policies for line in ("  [[worker.oci.gcpolicy]]", "    all = true", one))]


def _text(value: object) -> str:
    """TOML's basic strings are JSON's."""
    return json.dumps(str(value), ensure_ascii=False)
