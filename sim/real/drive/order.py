"""Requests in real time: when each arrives, its leases, a client for each, bases handed to other projects, and its end.

In: requests in order of arrival. Out: `Attempt`s in the world. The rules are those of `sim.model.simulate` and
`sim.model.order`: the first failure or cancellation ends the rest.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path

from sim.dispatch.leases import Part, Place, outputs_on, sticky
from sim.dispatch.succession import Succession
from sim.errors import EnvironmentMissing
from sim.hide import hidden
from sim.real.clients import NO_BUILD, Client, bake_mark, buildctl_words, exported_digest
from sim.real.drive.site import Lease, Runner
from sim.real.drive.waves import Wave, waves
from sim.real.drive.world import Attempt, World
from sim.real.files import ClientFiles
from sim.workload.output import Output
from sim.workload.request import Request

_PREPARE_S = 0.5  # a checkout is written so long before its request arrives
_POLL_S = 0.02
_DISK_FULL = "no space left on device"
_FULL_BYTES = 1 << 20  # a step may die of it without a word


@dataclass(slots=True, eq=False)
class _Share:
    """The part of a request that goes to one lease. `waves`: those that have no client yet."""

    place: Place
    parts: dict[str, Part]
    waves: list[Wave]
    lease: Lease | None = None
    is_over: bool = False
    running: list[Client] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def is_acquired(self) -> bool:
        return self.lease is not None and self.lease.runner is not None


class Order:
    """One request from arrival to its last client's end."""

    def __init__(self, world: World, request: Request, on_end: Callable[[Order], None]) -> None:
        self.request, self.arrived_s = request, world.loop.now_s
        self.outcome, self.reason = "ok", ""
        self._world, self._on_end = world, on_end
        self._exports: dict[tuple[str, str], tuple[Path, str]] = {}
        self._shares = [_Share(place, parts, waves(parts)) for place, parts in world.parts(request).items()]
        self._open = len(self._shares)
        self._checkout: ClientFiles | None = None
        self._is_asked = False

    def start(self) -> None:
        """Ask for all leases at once; what waits too long for a runner gives up."""
        world, request = self._world, self.request
        if request.cancel_after_s is not None:
            world.loop.after(request.cancel_after_s, lambda: self.cancel("cancelled by its client"))
        timeout_s = world.farm.acquire_timeout_s
        for share in self._shares:
            if self.outcome != "ok":
                return
            lease = world.sites[share.place].acquire(
                lambda lease, share=share: self._acquired(share, lease),  # type: ignore[misc]
                sticky(request),
            )
            share.lease = lease
            if not share.is_acquired and isfinite(timeout_s):
                world.loop.after(timeout_s, lambda share=share: self._give_up(share, timeout_s))  # type: ignore[misc]

    def cancel(self, reason: str) -> None:
        """The client gave up, or a newer request of the branch took its place."""
        if self._open:
            self._end_all("cancelled", reason)

    def _give_up(self, share: _Share, timeout_s: float) -> None:
        if not share.is_acquired and self._open:
            self._end_all("timed_out", f"no runner of {share.place[0]} within {timeout_s:g} s")

    def _acquired(self, share: _Share, lease: Lease) -> None:
        """The share has its runner; its clients start as soon as the request's files are there."""
        share.lease = lease
        if self._checkout is not None:
            self._begin(share)
        elif not self._is_asked:
            self._is_asked = True
            self._world.checkouts.take(self.request, self._checked_out)

    def _checked_out(self, checkout: ClientFiles) -> None:
        self._checkout = checkout
        for share in self._shares:
            if share.is_acquired:
                self._begin(share)
        if not self._open:
            self._world.checkouts.give_back(self.request, checkout)

    def _begin(self, share: _Share) -> None:
        for wave in list(share.waves):
            if self.outcome == "ok" and all((base, share.place[1]) in self._exports for base in wave.needs):
                share.waves.remove(wave)
                self._launch(share, wave)

    def _launch(self, share: _Share, wave: Wave) -> None:
        """A bake is one client for its targets; without a bake file each target has its own."""
        groups = [wave.targets] if self._world.graphs.bake else [(target,) for target in wave.targets]
        for targets in groups:
            attempts = [self._attempt(share, target) for target in targets]
            command, cwd, settings = self._command(share, attempts, wave)

            client = self._world.clients.start(command, cwd, settings, lambda one: self._post_end(share, one))
            share.running.append(client)
            for attempt in attempts:
                attempt.client = client
                if share.parts[attempt.target].exports:
                    self._await_export(share, attempt)

    def _post_end(self, share: _Share, client: Client) -> None:
        """In the thread that waited for the client."""
        self._world.loop.post(lambda: self._ended(share, client))

    def _attempt(self, share: _Share, target: str) -> Attempt:
        lease, part = share.lease, share.parts[target]
        made = self._world.attempt(self.request, target, share.place, part.platforms, self.arrived_s)
        share.attempts.append(made)
        if lease is not None:
            made.lease, made.acquired_s, made.runner = lease.number, lease.acquired_s, lease.runner
            made.volume = lease.runner.volume if lease.runner is not None else ""
        key = (target, self.request.args, part.platforms)
        links = {base: self._world.source.link(key, base) for base in part.imports}
        made.imports = {base: f"context {name}]" for base, name in links.items() if name}
        # One client shows the targets of one project and architecture; a vendor's shows all of the command's.
        made.shown = self.request.targets
        return made

    def _command(
        self, share: _Share, attempts: Sequence[Attempt], wave: Wave
    ) -> tuple[list[str], Path, dict[str, str]]:
        world, request, checkout = self._world, self.request, self._checkout
        lease = share.lease
        node = lease.runner.daemon if lease is not None and lease.runner is not None else None
        assert checkout is not None
        assert node is not None
        owner = f"r{request.index}" if request.client is None else f"c{request.client}"
        imported = {base: self._exports[base, share.place[1]] for base in wave.needs}
        quick = ["--no-cache"] if request.no_cache else []
        if not world.graphs.bake:
            (attempt,) = attempts
            key = (attempt.target, request.args, attempt.platforms)
            outputs = world.clients.outputs(self._outputs(attempt.target), f"{request.index}-{attempt.build}")
            words = world.source.buildctl(key, checkout.root, imported)
            words = buildctl_words(words, self._number(attempt), outputs)
            return [str(world.clients.buildctl), *node.flags, *words, *quick], checkout.root, {}
        builder, settings = world.clients.builder(owner, node)
        keys = [(target, request.args, part.platforms) for target, part in share.parts.items()]
        words, cwd = world.source.bake(keys, checkout.root, imported)
        for attempt in attempts:
            words += ["--set", bake_mark(attempt.target, self._number(attempt))]
            outputs = world.clients.outputs(self._outputs(attempt.target), f"{request.index}-{attempt.build}")
            if share.parts[attempt.target].exports:
                outputs["output"].append(f"type=oci,tar=false,dest={self._layout(attempt)}")
            outputs["output"] = outputs["output"] or ["type=cacheonly"]
            for kind, texts in outputs.items():
                words += [word for text in texts for word in ("--set", f"{attempt.target}.{kind}={text}")]
        command = [str(world.clients.buildx), *builder, "bake", "--progress=rawjson", "--provenance=false", *quick]
        return [*command, *words, *(attempt.target for attempt in attempts)], cwd, settings

    def _outputs(self, target: str) -> Sequence[Output]:
        return outputs_on(self._world.farm, self.request, self._world.graphs.outputs(target))

    def _layout(self, attempt: Attempt) -> Path:
        return self._world.clients.folder / f"export-{self.request.index}-{attempt.build}"

    def _number(self, attempt: Attempt) -> int:
        return attempt.build

    def _await_export(self, share: _Share, attempt: Attempt) -> None:
        """A base's image lies in a folder as soon as it is exported; its client may still build other targets."""
        digest = exported_digest(self._layout(attempt))
        if digest is None:
            if attempt.client is not None and attempt.client.code == 0:
                raise EnvironmentMissing("the exported base is not there", where=str(self._layout(attempt)))
            if attempt.client is not None and attempt.client.code is None:
                self._world.loop.after(_POLL_S, lambda: self._await_export(share, attempt))
            return
        self._exports[attempt.target, share.place[1]] = (self._layout(attempt), digest)
        for other in self._shares:
            if other.place[1] == share.place[1] and other.is_acquired and other.waves and self._checkout is not None:
                self._begin(other)

    def _ended(self, share: _Share, client: Client) -> None:
        """A client has ended, by itself or not."""
        share.running.remove(client)
        mine = [attempt for attempt in share.attempts if attempt.client is client]
        for attempt in mine:
            attempt.ended_s = ((client.ended_ns or 0) - self._world.loop.origin_ns) / 1e9
            if client.code != 0:
                self._broken(attempt, client)
            elif share.parts[attempt.target].exports and (attempt.target, share.place[1]) not in self._exports:
                self._await_export(share, attempt)
        if client.code != 0:
            self._end_all(mine[0].outcome, mine[0].reason or f"{mine[0].target} failed")
        self._check_end(share)

    def _broken(self, attempt: Attempt, client: Client) -> None:
        """Why a client did not succeed: we stopped it, someone killed it, its build failed, or the machine is at fault."""
        assert client.code is not None
        if client.is_stopped:
            attempt.outcome, attempt.reason = (
                ("cancelled", self.reason) if self.outcome != "timed_out" else (self.outcome, "")
            )
            return
        attempt.outcome, attempt.reason = "failed", "its daemon died"
        self._world.check_alive()
        attempt.reason = ""
        if client.code < 0:
            attempt.outcome, attempt.reason = "cancelled", "its client was killed"
            return
        said = client.last_words()
        if client.mentions(_DISK_FULL) or shutil.disk_usage(self._world.clients.folder).free < _FULL_BYTES:
            raise EnvironmentMissing(
                "a build failed for want of disk space",
                where=attempt.volume,
                hint="free some space, or choose another --folder",
            )
        if not client.mentions('"vertexes"'):
            shown = hidden(said, self._world.arguments(attempt))
            raise EnvironmentMissing(f"a client could not begin its build: {shown}", where=attempt.target)

    def _end_all(self, outcome: str, reason: str) -> None:
        if self.outcome != "ok":
            return
        self.outcome, self.reason = outcome, reason
        for share in self._shares:
            for client in share.running:
                client.stop()
            is_withdrawn = not share.is_acquired and (share.lease is None or share.lease.site.withdraw(share.lease))
            self._skip(share)
            if is_withdrawn:
                self._share_ended(share)
            else:
                self._check_end(share)

    def _skip(self, share: _Share) -> None:
        """The targets whose clients never began."""
        for wave in share.waves:
            for target in wave.targets:
                attempt = self._attempt(share, target)
                attempt.outcome = "cancelled" if self.outcome == "failed" else self.outcome
                attempt.reason, attempt.ended_s = self.reason, self._world.loop.now_s
        share.waves.clear()

    def _check_end(self, share: _Share) -> None:
        if share.is_acquired and not share.waves and not share.running and not share.is_over:
            assert share.lease is not None
            self._release(share.lease)
            self._share_ended(share)

    def _release(self, lease: Lease) -> None:
        lease.site.release(lease)

    def _share_ended(self, share: _Share) -> None:
        share.is_over = True
        self._open -= 1
        if self._open == 0:
            if self._checkout is not None:
                self._world.checkouts.give_back(self.request, self._checkout)
            self._on_end(self)


class Warmup(Order):
    """A request before time begins, on the daemons of the base caches: it needs no place in a pool."""

    def start(self) -> None:
        """All clients at once; whether they succeed does not matter."""
        for share in self._shares:
            site = self._world.sites[share.place]
            runner = Runner(-1, site, 0.0, None, site.base)
            self._acquired(share, Lease(-1, site, lambda _: None, 0.0, runner))

    def _release(self, lease: Lease) -> None:
        pass

    def _number(self, attempt: Attempt) -> int:
        return NO_BUILD


class Arrivals:
    """Who arrives when: at drawn times, after others have ended, or after a think time; newer ones cancel older ones."""

    def __init__(self, world: World, requests: Sequence[Request], horizon_s: float, done: Callable[[], None]) -> None:
        self._world, self._horizon_s, self._done = world, horizon_s, done
        self._orders: dict[int, Order] = {}
        self._succession = Succession(requests)
        self._pending = 0

    def start(self) -> None:
        """Time is zero: all that comes at a time of its own will come then."""
        for request in self._succession.timed:
            self._world.loop.at(request.arrived_s - _PREPARE_S, partial(self._world.checkouts.prepare, request))
            self._arrive_at(request.arrived_s, request)

    @property
    def is_over(self) -> bool:
        """Nothing is under way and nothing will come."""
        return not self._orders and not self._pending

    def unfinished(self) -> list[int]:
        """Requests that have arrived and not ended."""
        return sorted(self._orders)

    def _arrive_at(self, time_s: float, request: Request) -> None:
        self._pending += 1

        def arrive() -> None:
            self._pending -= 1
            self._arrive(request)

        self._world.loop.at(time_s, arrive)

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
        self._done()
        self._go_on_after(order.request.index, is_ok=order.outcome == "ok")

    def _go_on_after(self, ended: int, is_ok: bool) -> None:
        now_s = self._world.loop.now_s
        for request, delay_s in self._succession.after(ended, is_ok=is_ok):
            if now_s + delay_s <= self._horizon_s:
                self._arrive_at(now_s + delay_s, request)
