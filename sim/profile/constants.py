"""A BuildKit daemon's own constants: what a build costs beside its commands, with a spread and a source for each.

In: measurements on quiet two-core machines (buildkit-semantics 11 and 13) and the recorded cases. Out: `DAEMON`, and
`IDEAL`, which costs nothing (for closed forms). Where both speak, a value fits the cases and its source says both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sim.profile.cost import Daemon


@dataclass(frozen=True, slots=True)
class Constant:
    """A value in its field's unit, the sigma of its lognormal spread, and where it comes from."""

    value: float
    spread: float
    source: str


CONSTANTS: Mapping[str, Constant] = {
    "client_latency_s": Constant(
        0.008,
        0.3,
        "semantics 11: 14 ms from the client's start to the first source; recorded: a cached build is 30-40 ms in all",
    ),
    "client_cpu_s": Constant(
        0.0,
        0.3,
        "what a client itself takes of the runner's cores: nothing, it runs elsewhere; a replay's clients do not, and take "
        "20-50 core-ms each (its trace says how much)",
    ),
    "client_byte_cpu_s": Constant(
        0.0,
        0.3,
        "the same for each byte that a client receives of its result (`type: local`, `tar`, `oci`, `docker`): 0; a replay's "
        "clients take 6-7 core-ns (corpus: 18 core-ms for 2.6 MB, 39 for 6.3)",
    ),
    "client_gap_s": Constant(
        0.0,
        0.3,
        "how much later each next client starts of those that are to start at once: 0, for they come from several machines; a "
        "replay starts them one by one (corpus: 2 to 5 ms), and who is first finds a free slot",
    ),
    "open_cpu_s": Constant(
        0.0,
        0.6,
        "the frontend's work between and after what it loads, on open_cores; 0: client_latency_s stands for it until a "
        "calibration tells them apart (measured: 10 ms, and 17-20 core-ms of a buildctl until its end)",
    ),
    "definition_cpu_s": Constant(0.005, 0.3, "semantics 11: 7 ms; recorded cases as above"),
    "dockerignore_cpu_s": Constant(0.003, 0.3, "semantics 11: 5 ms; recorded cases as above"),
    "context_cpu_s": Constant(0.004, 0.3, "semantics 11: 6 ms; recorded cases as above"),
    "context_file_cpu_s": Constant(15e-6, 0.3, "semantics 13.2: 40-60 ms for the list of 3000 unchanged files"),
    "context_byte_cpu_s": Constant(
        1 / 150e6, 0.4, "semantics 13.2: 55 MB + 3000 files in 0.19-0.45 s; 11: 50 MB in 0.48-0.55 s"
    ),
    "metadata_latency_s": Constant(
        0.003, 0.5, "semantics 13.7: one manifest HEAD (3 ms, registry on loopback) a tag and build"
    ),
    "image_cpu_s": Constant(
        0.0,
        0.5,
        "the first look at an image: its manifest and configuration are fetched and stored; 0 until a calibration finds it "
        "(results/machine.yaml has one)",
    ),
    "source_cpu_s": Constant(
        0.0,
        0.5,
        "an image's leases, commits and snapshots, beside what its rule or prior says of its bytes; 0 until a calibration finds "
        "it: the corpus' rule for its base is of one machine, and another takes more (results/machine.yaml)",
    ),
    "run_cpu_s": Constant(
        0.074,
        0.3,
        "between semantics 13.4 (0.055 core-s) and 11 (0.1, at 20 RUN/s); recorded mixed cases that share their cores: 0.074, "
        "both halves of them alike; on RUN_CORES it takes the 56 ms of recorded sleeping RUNs (n=99)",
    ),
    "copy_cpu_s": Constant(
        0.009, 0.4, "semantics 11: 12 ms; recorded: 5 ms (n=48) and 9 ms (n=100), to 10 ms, on about 1.5 cores"
    ),
    "copy_file_cpu_s": Constant(
        100e-6, 0.3, "semantics 13.6: 65 us a file on about 1.5 cores: 0.1 core-s per 1000 files"
    ),
    "hash_byte_cpu_s": Constant(
        0.62e-9,
        0.2,
        "corpus on real daemons: from the end of a RUN to the start of the COPY --from that takes 5, 20, 50 MB of it with "
        "nothing beside it: medians of 4.3, 14.2, 32 ms (n=24)",
    ),
    "write_byte_cpu_s": Constant(
        1.0e-9,
        0.5,
        "recorded mixed cases: RUNs of 20-100 MB 0.9-1.0 core-s/GB (n=39), COPYs 0.9 to 50 MB, 4 at 100 MB (n=40); "
        "semantics 13.6: 2.5 core-s/GB at 400-500 MB",
    ),
    "sync_byte_s": Constant(
        0.0,
        0.5,
        "what is written waits for the disk: a step's overlay is unmounted, and that syncs its upper filesystem (Linux "
        "fs/overlayfs/super.c ovl_sync_fs). For farms that state no `disk_write`; 0 until a calibration finds it (by hand, 50 "
        "MB on ext4: 16 ms to write, 73 ms to unmount, less than 10 core-ms of that)",
    ),
    "sync_latency_s": Constant(
        0.0,
        0.5,
        "what a RUN or a COPY waits for the disk whatever it wrote: its unmount, and the commits of BuildKit's databases (bbolt "
        "waits twice for each; recorded with strace: 1323 of fdatasync and fsync in five builds, 0.2 ms each); 0 until a "
        "calibration finds it",
    ),
    "crowded_share": Constant(
        1.0,
        0.3,
        "the daemon's share of the cores that it could keep busy where steps want them all: its threads sleep and wake (disk, "
        "messages to the client), and on a busy core each wake-up waits for a slice; 1 until a calibration finds it",
    ),
    "merge_cpu_s": Constant(
        0.005, 0.5, "recorded case copy-link: the LINK vertex takes 0-10 ms (n=6); semantics 13.11: 7 ms"
    ),
    "tail_latency_s": Constant(
        0.0,
        0.6,
        "the history record's wait for the disk; 0: tail_cpu_s stands for it until a calibration tells them apart (recorded "
        "mixed cases: 20-30 ms also where three end at once or all cores are busy, n=60)",
    ),
    "tail_cpu_s": Constant(
        0.045,
        0.4,
        "recorded: 30 ms from the last step to the client's end (median of 282), on tail_cores; mixed cases that share their "
        "cores: 0.045; semantics 11: 63 ms, 35 in provenance",
    ),
    "bake_latency_s": Constant(0.05, 0.2, "semantics 13.1: 50 ms + 13 ms a target, fully cached"),
    "bake_target_cpu_s": Constant(0.013, 0.3, "semantics 13.1: 50 ms + 13 ms a target, fully cached"),
    "kill_latency_s": Constant(0.03, 0.3, "semantics 13.10: all RUNs gone 30-40 ms after the signal"),
    "lock_poll_s": Constant(
        0.1005, 0.0, "semantics 4: a locked mount polls every 100 ms, and a poll takes a little itself"
    ),
    # Exports. Semantics 11 has one table of vertex times for a 50 MB layer; the rows are taken apart by subtraction.
    "manifest_cpu_s": Constant(0.030, 0.3, "semantics 11: image exported again, its layer being a blob: 30 ms"),
    "inline_cache_cpu_s": Constant(0.003, 0.3, "semantics 13.7: inline cache 3 ms"),
    "gzip_byte_cpu_s": Constant(
        1 / 55e6, 0.15, "semantics 11: image 933 ms - 30 = 903 for 50 MB, one thread; 13.7: 60-75 MB/s on random bytes"
    ),
    "zstd_byte_cpu_s": Constant(
        1 / 300e6, 0.25, "semantics 11: oci zstd 440 ms, less 277 of manifest and stream: 163 for 50 MB, as one thread"
    ),
    "tar_byte_cpu_s": Constant(
        1 / 185e6, 0.3, "semantics 11: oci uncompressed 754 ms, less 30 and a stream of 50 MB (455): 269; n=3"
    ),
    "stream_byte_cpu_s": Constant(
        1 / 110e6, 0.15, "semantics 11: 50 MB to the client: local 472 and 380 ms, tar 510 and 435: 98-132 MB/s"
    ),
    "upload_byte_cpu_s": Constant(
        1 / 300e6,
        0.3,
        "semantics 13.7: 50 MB pushed in 0.15-0.24 s, 12 x 5 MB in 0.11 s on 2 cores, 123 MB of local cache in 0.34 s",
    ),
    "download_byte_cpu_s": Constant(
        1 / 770e6, 0.3, "semantics 13.7: 50 MB downloaded in 0.065 s, registry on loopback"
    ),
    "unpack_byte_cpu_s": Constant(
        1 / 400e6,
        0.5,
        "a guess, as in priors.yaml: gunzip 400 MB/s; semantics 13.7: random bytes cost only the writing",
    ),
    "registry_latency_s": Constant(
        0.003, 0.5, "semantics 13.7: a HEAD 3 ms; a push with one small new layer 9 ms; a cache exported again 7 ms"
    ),
    "gzip_share": Constant(
        0.35,
        0.3,
        "a guess: node, golang, python on a hub weigh 0.34-0.36 packed (priors.yaml); half-random bytes of semantics 11: "
        "oci again 277 ms less 30 at the stream's speed: 0.54",
    ),
    "zstd_share": Constant(
        0.32,
        0.3,
        "a guess: 8 % below gzip (CopilotKit/OpenBot#369: 886 MB for 962), 22 % in home-assistant/core#160665",
    ),
    # How many cores the daemon's work keeps busy when it is alone.
    "open_cores": Constant(
        1.0, 0.2, "a guess: the frontend works in one thread, and its client beside it (see client_cpu_s)"
    ),
    "run_cores": Constant(
        1.32, 0.1, "runc, the daemon and the kernel work side by side: fits lone and crowded RUNs (see run_cpu_s)"
    ),
    "tail_cores": Constant(1.8, 0.2, "the same of the history record (see tail_cpu_s)"),
    "copy_cores": Constant(1.5, 0.2, "semantics 13.6: COPY of many files keeps about 1.5 cores busy"),
}
SHARES = ("gzip_share", "zstd_share")  # what data are like, not what they cost
CORES = ("crowded_share", "open_cores", "run_cores", "tail_cores", "copy_cores")

UNPACK_CORES = 1.0  # semantics 13.7: layers are extracted one after the other

DAEMON = Daemon(**{name: constant.value for name, constant in CONSTANTS.items()})  # type: ignore[arg-type]
IDEAL = Daemon(
    **{name: constant.value if name in SHARES + CORES else 0.0 for name, constant in CONSTANTS.items()}  # type: ignore[arg-type]
)
