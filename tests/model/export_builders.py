"""A daemon's exporter on a real engine, with round numbers: what tests of exports, blobs and pulls share."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from simpy import Environment

from sim.model.buildkit.exports import Exporter
from sim.model.engine import RunnerEngine
from sim.model.registry import Layer, Registry
from sim.profile import Profile
from sim.profile.constants import DAEMON, IDEAL
from sim.scenario.farm import Runner
from sim.workload.output import Output

MB = 1e6
IMAGE = Output()
PUSH = Output(push=True)
ROUND = replace(
    IDEAL,
    manifest_cpu_s=0.03,
    gzip_byte_cpu_s=1 / 50e6,
    zstd_byte_cpu_s=1 / 200e6,
    stream_byte_cpu_s=1 / 100e6,
    registry_latency_s=0.01,
    gzip_share=0.5,
    zstd_share=0.4,
)
# The recorded 50 MB of buildkit-semantics 11 are half random: they pack to about 0.54 with gzip and zstd alike.
RECORDED = replace(DAEMON, gzip_share=0.54, zstd_share=0.54)


class World:
    """An engine, a registry, an exporter without draws. `ended` has (build, time) in the order of the ends."""

    def __init__(self, cpus=4.0, network=100 * MB, daemon=ROUND, registry=None, env=None, **options):
        self.env = env or Environment()
        self.engine = RunnerEngine(self.env, Runner(cpus, network_bytes_per_s=network))
        self.registry = registry or Registry()
        profile = Profile(daemon, (), with_priors=False)
        self.exporter = Exporter(self.engine, profile, self.registry, spread=options.pop("spread", 0.0), **options)
        self.ended = []

    def export(self, build, layers, *outputs, cache=None):
        return self.exporter.export(
            build, layers, outputs, lambda export: self.ended.append((export.build, self.env.now)), cache
        )

    def alone(self, layers, *outputs, cache=None):
        """Seconds that one export takes, from now on."""
        before = self.env.now
        self.export(0, layers, *outputs, cache=cache)
        self.env.run()
        return self.ended[-1][1] - before


def layers_of(*sizes_mb, first=1):
    return [Layer(first + at, size * MB) for at, size in enumerate(sizes_mb)]


def unlimited(**options):
    return World(network=inf, **options)
