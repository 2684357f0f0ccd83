"""Run a workload on a farm in simulated time.

In: `Farm`, requests in order of arrival, `Profile`, `Graphs`, a seed. Out: a `Trace`. The same arguments give the same rows
in every process; nothing is read from or written to files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from math import inf

from simpy.events import Event, Timeout

from sim.errors import InputError
from sim.graph import Graphs
from sim.model.order import Order
from sim.model.record import Recorder
from sim.model.world import World
from sim.profile import Profile
from sim.scenario.farm import Farm
from sim.trace import Meta, Trace
from sim.workload.request import Request


class _Arrivals:
    """Who arrives when: at drawn times, after others have ended, or after a think time; newer ones cancel older ones."""

    def __init__(self, world: World, requests: Sequence[Request], horizon_s: float) -> None:
        self._world = world
        self._horizon_s = horizon_s
        self._orders: dict[int, Order] = {}
        self._waits = {request.index: set(request.needs) for request in requests if request.needs}
        self._followers: dict[int, list[Request]] = defaultdict(list)
        self._older: dict[int, list[int]] = defaultdict(list)
        self._timed: list[Request] = []
        self._dropped: set[int] = set()
        for request in requests:
            for needed in request.needs:
                self._followers[needed].append(request)
            if request.after is not None:
                self._followers[request.after].append(request)
            elif not request.needs:
                self._timed.append(request)
            if request.superseded_by is not None:
                self._older[request.superseded_by].append(request.index)
        self._timed.sort(key=lambda request: (request.arrived_s, request.index))

    @property
    def unserved(self) -> list[int]:
        """Requests that have arrived and not ended."""
        return sorted(self._orders)

    def process(self) -> Generator[Event, None, None]:
        """The open arrivals, in order of time."""
        env = self._world.env
        for request in self._timed:
            if request.arrived_s > env.now:
                yield Timeout(env, request.arrived_s - env.now)
            self._arrive(request)

    def _arrive(self, request: Request) -> None:
        for older in self._older.get(request.index, ()):
            order = self._orders.get(older)
            if order is not None:
                order.cancel(f"superseded by request {request.index}")
            else:
                self._dropped.add(older)
        if request.index in self._dropped:
            return
        order = self._orders[request.index] = Order(self._world, request, self._ended)
        order.start()

    def _ended(self, order: Order) -> None:
        ended = order.request.index
        del self._orders[ended]
        env = self._world.env
        for request in self._followers.pop(ended, ()):
            delay_s = request.think_s
            if request.needs:
                if order.outcome != "ok":
                    self._waits.pop(request.index, None)
                waits = self._waits.get(request.index)
                if waits is None:
                    continue
                waits.discard(ended)
                if waits:
                    continue
                delay_s = request.after_s
            if env.now + delay_s <= self._horizon_s:
                Timeout(env, delay_s, request).callbacks.append(lambda event: self._arrive(event._value))


def simulate(
    farm: Farm,
    requests: Sequence[Request],
    profile: Profile,
    graphs: Graphs,
    *,
    seed: int = 0,
    meta: Meta | None = None,
    steps: bool = True,
    horizon_s: float = inf,
) -> Trace:
    """Simulate the requests on the farm until all work is done.

    `seed` draws costs, failures and the order of ready steps, never the requests. `steps` off keeps no rows of steps.
    Requests of closed clients that would arrive after `horizon_s` do not. Raises `InputError` for a farm that cannot
    serve a request or asks for what the model does not have yet.
    """
    _refuse_what_is_not_modelled(farm)
    recorder = Recorder(steps=steps)
    world = World(farm, profile, graphs, seed, recorder)
    if farm.cache.warm:
        world.warm(requests)
    arrivals = _Arrivals(world, requests, horizon_s)
    world.env.process(arrivals.process())
    world.env.run()
    world.stop()
    if arrivals.unserved:
        raise InputError(f"request {arrivals.unserved[0]} can never be served on this farm", where="farm")
    return recorder.trace(meta, seed)


def _refuse_what_is_not_modelled(farm: Farm) -> None:
    """A setting that would change the answer, but is not in the model yet, must not be passed over in silence."""
    if farm.write_back != "discard":
        hint = "only `discard` is, for now: --set farm.write_back=discard"
        raise InputError(f"{farm.write_back} is not modelled yet", where="farm.write_back", hint=hint)
    if farm.standby_count:
        raise InputError(
            "standby machines are not modelled yet", where="farm.standby", hint="--set farm.standby.count=0"
        )
