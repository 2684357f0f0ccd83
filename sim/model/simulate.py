"""Run a workload on a farm in simulated time.

In: `Farm`, requests in order of arrival, `Profile`, `Graphs`, a seed. Out: a `Trace`. The same arguments give the same rows
in every process; nothing is read from or written to files.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from math import inf

from simpy.events import Event, Timeout

from sim.dispatch.succession import Succession
from sim.errors import InputError
from sim.graph import Graphs
from sim.model.machine.shared import run
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
        self._succession = Succession(requests)

    @property
    def unserved(self) -> list[int]:
        """Requests that have arrived and not ended."""
        return sorted(self._orders)

    def process(self) -> Generator[Event, None, None]:
        """The open arrivals, in order of time."""
        env = self._world.env
        for request in self._succession.timed:
            if request.arrived_s > env.now:
                yield Timeout(env, request.arrived_s - env.now)
            self._arrive(request)

    def _arrive(self, request: Request) -> None:
        for older in self._succession.supersedes(request, self._orders):
            self._orders[older].cancel(f"superseded by request {request.index}")
        if self._succession.is_dropped(request):
            self._go_on_after(request.index, is_ok=False)
            return
        order = self._orders[request.index] = Order(self._world, request, self._ended)
        order.start()

    def _ended(self, order: Order) -> None:
        del self._orders[order.request.index]
        self._go_on_after(order.request.index, is_ok=order.outcome == "ok")

    def _go_on_after(self, ended: int, is_ok: bool) -> None:
        env = self._world.env
        for request, delay_s in self._succession.after(ended, is_ok=is_ok):
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
    samples_s: float | None = None,
) -> Trace:
    """Simulate the requests on the farm until all work is done.

    `seed` draws costs, failures, boots and the order of ready steps, never the requests. `steps` off keeps no rows of steps.
    Requests of closed clients that would arrive after `horizon_s` do not. `samples_s`: a row of samples a running runner
    that often; nothing else changes by it. Raises `InputError` for what can never be served.
    """
    _check_farm(farm)
    _check_requests(requests)
    recorder = Recorder(steps=steps)
    world = World(farm, profile.drawn(seed), graphs, seed, recorder)
    for request in requests:
        world.catalog.leases(request)  # what the farm cannot build is told before time begins
    if farm.cache.start != "cold":
        world.warm(requests)
    arrivals = _Arrivals(world, requests, horizon_s)
    world.env.process(arrivals.process())
    if samples_s is None:
        run(world.env)
    else:
        _run_sampled(world, samples_s)
    world.stop()
    if arrivals.unserved:
        raise _never_served(world, arrivals.unserved[0])
    return recorder.trace(meta, seed)


def _run_sampled(world: World, samples_s: float) -> None:
    """As `env.run()`, looking on between events: a sample shows what all events up to its time have left.

    It is no event itself, so it neither keeps the run alive nor changes the order of anything.
    """
    if not samples_s > 0.0:
        raise InputError(f"samples every {samples_s:g} s", hint="give a duration above 0, as 10s")
    env, taken = world.env, 1
    while (next_s := env.peek()) < inf:
        while taken * samples_s < next_s:
            world.sample(taken * samples_s)
            taken += 1
        env.step()
    if taken * samples_s <= env.now:
        world.sample(taken * samples_s)


def _check_farm(farm: Farm) -> None:
    """What would hang, or give an answer to another question. A scenario's fields are checked where they are read."""
    scaling = farm.autoscaling
    problems: dict[str, str] = {}
    machines = [("runner", farm.runner), *(("runner", override.runner) for override in farm.overrides)]
    machines += [("host", farm.host)] if farm.host is not None else []
    for machine, one in machines:
        read, write = one.disk_read_bytes_per_s, one.disk_write_bytes_per_s
        speeds = {"cpus": one.cpus, "network": one.network_bytes_per_s, "disk_read": read, "disk_write": write}
        problems |= {f"{machine}.{name}": "nothing would ever end" for name, speed in speeds.items() if not speed > 0}
    if not farm.platforms:
        problems["platforms"] = "the farm has none"
    for platform, slowdown in farm.platforms.items():
        if not 0 < slowdown < inf:
            problems[f"platforms.{platform}"] = f"{slowdown:g} times slower is no speed"
    if scaling is not None and not scaling.builds_per_instance >= 1:
        problems["autoscaling.builds_per_instance"] = "no build would ever get a runner"
    if scaling is not None and not scaling.max_instances >= 1:
        problems["autoscaling.max_instances"] = "no build would ever get a runner"
    for name in ("boot_s", "clone_s", "standby_boot_s"):
        if not 0 <= getattr(farm, name) < inf:
            problems[name] = "no runner would ever be ready"
    for name in ("boots_at_once", "standby_count", "max_parallelism", "idle_timeout_s", "acquire_timeout_s"):
        if not getattr(farm, name) >= 0:
            problems[name] = "is less than 0"
    if problems:
        field, what = next(iter(problems.items()))
        raise InputError(what, where=f"farm.{field}")


def _check_requests(requests: Sequence[Request]) -> None:
    """Each request waits for earlier ones only, so that none waits in a circle or for one that is not there."""
    known: set[int] = set()
    for request in requests:
        for name in ("arrived_s", "after_s", "think_s"):
            if not 0 <= getattr(request, name) < inf:
                raise InputError(f"request {request.index} never arrives: {name} is {getattr(request, name):g}")
        if request.cancel_after_s is not None and not 0 <= request.cancel_after_s < inf:
            what = f"request {request.index} is cancelled after {request.cancel_after_s:g} s"
            raise InputError(what, hint="give 0 or more, or None for never")
        if not request.uplink_bytes_per_s > 0:
            raise InputError(f"request {request.index} never sends its files: its uplink has no bytes a second")
        for other in (*request.needs, *(() if request.after is None else (request.after,))):
            if other not in known:
                hint = "requests wait for earlier ones of the same run only"
                raise InputError(f"request {request.index} waits for request {other}, which never ends", hint=hint)
        known.add(request.index)


def _never_served(world: World, request: int) -> InputError:
    """A last resort: the checks before the run should have told why."""
    waited_for = world.waited_for()
    what = f"waits for a runner of {waited_for[0]} for ever" if waited_for else "never ends"
    return InputError(f"request {request} {what}", where="farm")
