"""What a step costs: amounts of work, not seconds, so that contention is the model's business.

In: a scenario's cost rules and the built-in priors. Out: one `Cost` a step, and draws as a function of (seed, key, attempt).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Origin = Literal["rule", "prior", "constant", "profile"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one execution, phases in the order latency, download, read, cpu, write (design section 4).

    `cpu_s` is core-seconds in all; `threads` caps the cores it can use (inf: all of the runner's); `serial` is the share
    of `cpu_s` that runs on one core first (Amdahl). `warm` is the share of the cost left when its cache mount is filled.
    `spread` is the sigma of a lognormal factor of median 1 on all amounts. `same_output` is True, a probability, or the
    paths whose bytes survive changed inputs.
    """

    latency_s: float = 0.0
    download_bytes: float = 0.0
    read_bytes: float = 0.0
    cpu_s: float = 0.0
    threads: float = 1.0
    serial: float = 0.0
    write_bytes: float = 0.0
    memory_bytes: float = 0.0
    layer_bytes: float = 0.0
    warm: float = 1.0
    spread: float = 0.0
    fails: float = 0.0
    reproducible: bool = True
    same_output: bool | float | tuple[str, ...] = False
    overlap: bool = False
    origin: Origin = "constant"
    rule: str = ""


class ClientParts(NamedTuple):
    """Shares of a client's own work: before the definition is asked for, while that and .dockerignore are loaded, from the last
    step on.
    """

    start: float
    definition: float
    dockerignore: float
    end: float


CLIENT_PARTS = ClientParts(0.34, 0.18, 0.16, 0.32)
"""How a client's CPU time (`Daemon.client_cpu_s`) falls on its build. Read by hand: buildctl 0.34.2, 20 cached builds on
an idle machine, counters of a cgroup every 0.3 ms: 8.5, 4.8, 4.2 and 7.7 of 26 core-ms. `tests/fit/daemon_parts.py` prints
those of a machine."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A BuildKit daemon's own constants. Values, spreads and sources stand in `sim.profile.constants`."""

    client_latency_s: float
    client_cpu_s: float
    client_byte_cpu_s: float
    client_gap_s: float
    open_cpu_s: float
    definition_cpu_s: float
    dockerignore_cpu_s: float
    context_cpu_s: float
    context_file_cpu_s: float
    context_byte_cpu_s: float
    metadata_latency_s: float
    image_cpu_s: float
    source_cpu_s: float
    run_cpu_s: float
    copy_cpu_s: float
    copy_file_cpu_s: float
    hash_byte_cpu_s: float
    write_byte_cpu_s: float
    sync_byte_s: float
    sync_latency_s: float
    crowded_share: float
    merge_cpu_s: float
    tail_latency_s: float
    tail_cpu_s: float
    bake_latency_s: float
    bake_target_cpu_s: float
    kill_latency_s: float
    lock_poll_s: float
    manifest_cpu_s: float
    inline_cache_cpu_s: float
    gzip_byte_cpu_s: float
    zstd_byte_cpu_s: float
    tar_byte_cpu_s: float
    stream_byte_cpu_s: float
    upload_byte_cpu_s: float
    download_byte_cpu_s: float
    unpack_byte_cpu_s: float
    registry_latency_s: float
    gzip_share: float
    zstd_share: float
    open_cores: float
    run_cores: float
    tail_cores: float
    copy_cores: float
    daemon_cgroup: Literal["group", "root"] = "group"
