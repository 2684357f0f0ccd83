"""Runs a simulation and keeps what it leaves behind; what never comes to an end fails.

In: `Drawn`. Out: `Ran`, or a trace.
"""

from __future__ import annotations

from unittest.mock import patch

from simpy import Environment
from stress_invariants import Ran
from stress_worlds import Drawn

import sim.model.simulate
import sim.model.site
import sim.model.world
from sim.model.buildkit.daemon import Daemon
from sim.model.simulate import simulate
from sim.model.world import World
from sim.trace import Meta
from sim.trace.meta import Prices

# A dozen requests of some dozen steps: what takes more events than this goes round in a circle.
MOST_EVENTS = 200_000


class Counted(Environment):
    """SimPy's clock, for so many events only: what never comes to an end fails."""

    events = 0

    def step(self):
        self.events += 1
        assert self.events < MOST_EVENTS, f"still busy at {self.now} s"
        super().step()


def whole_run(drawn: Drawn) -> Ran:
    """Simulate, and keep what the run leaves behind: the world and all daemons that were ever up."""
    worlds, daemons = [], []

    def kept(kind, found):
        def make(*args, **options):
            found.append(kind(*args, **options))
            return found[-1]

        return make

    with (
        patch.object(sim.model.world, "Environment", Counted),
        patch.object(sim.model.simulate, "World", kept(World, worlds)),
        patch.object(sim.model.site, "Daemon", kept(Daemon, daemons)),
    ):
        trace = simulated(drawn, meta=Meta("simulated", prices=Prices.of(drawn.farm)))
    return Ran(drawn, trace, worlds[0], daemons)


def simulated(drawn, **options):
    return simulate(drawn.farm, drawn.requests, drawn.profile, drawn.graphs, seed=drawn.seed, **options)
