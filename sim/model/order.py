"""A request in progress: its leases, a session on each runner, its bases in other projects, and its end.

In: a `Request` that has arrived. Out: rows of builds, and one call when everything of it has ended. The first failure or
cancellation ends the rest (buildkit-semantics 13.10).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from simpy.events import Timeout

from sim.dispatch.leases import sticky
from sim.model.buildkit.session import Session
from sim.model.buildkit.solve import Solve
from sim.model.plan.catalog import Part
from sim.model.site import Lease
from sim.model.world import World
from sim.workload.request import Request


@dataclass(slots=True)
class _Share:
    """The part of a request that goes to one project on one architecture, before and after it has a runner."""

    project: str
    platform: str
    parts: dict[str, Part]
    lease: Lease | None = None
    session: Session | None = None
    left: int = 0


class Order:
    """One request from arrival to its last build's end."""

    __slots__ = ("_exports", "_on_end", "_open", "_shares", "_world", "arrived_s", "outcome", "reason", "request")

    def __init__(self, world: World, request: Request, on_end: Callable[[Order], None]) -> None:
        self.request = request
        self.arrived_s = world.env.now
        self.outcome = "ok"
        self.reason = ""
        self._world = world
        self._on_end = on_end
        self._exports: dict[tuple[str, str], int] = {}
        self._shares = [
            _Share(project, platform, parts) for (project, platform), parts in world.catalog.leases(request).items()
        ]
        self._open = len(self._shares)

    def start(self) -> None:
        """Ask for all leases at once; what waits too long for a runner gives up."""
        world, request = self._world, self.request
        if request.cancel_after_s is not None:
            Timeout(world.env, request.cancel_after_s).callbacks.append(
                lambda _: self.cancel("cancelled by its client")
            )
        timeout_s = world.farm.acquire_timeout_s
        for share in self._shares:
            if self.outcome != "ok":
                return
            site = world.site(share.project, share.platform)

            def begin(lease: Lease, share: _Share = share) -> None:
                self._begin(share, lease)

            lease = site.acquire(self.arrived_s, begin, sticky(request))
            share.lease = lease
            if lease.acquired_s is None and isfinite(timeout_s):

                def give_up(_: object, share: _Share = share) -> None:
                    if share.lease is not None and share.lease.acquired_s is None and self._open:
                        self._end_all("timed_out", f"no runner of {share.project} within {timeout_s:g} s")

                Timeout(world.env, timeout_s).callbacks.append(give_up)

    def cancel(self, reason: str) -> None:
        """The client gave up, or a newer request of the branch took its place."""
        if self._open:
            self._end_all("cancelled", reason)

    def _begin(self, share: _Share, lease: Lease) -> None:
        """The share has its runner: one session, a solve for each target."""
        world, catalog = self._world, self._world.catalog
        share.lease = lease
        runner = lease.runner
        assert runner is not None
        session = share.session = Session(
            runner.daemon,
            self.request,
            world.recorder,
            barrier=world.farm.bake_link_barrier,
            bake=catalog.bake,
            on_fail=self._failed,
            on_export=self._exported,
        )
        share.left = len(share.parts)
        names = catalog.names(self.request, share.parts)
        for target, part in share.parts.items():
            number = world.numbers.builds
            world.numbers.builds += 1
            session.add(
                number,
                target,
                part.compiled,
                names[target],
                links=tuple(base for base in part.links if base in share.parts),
                imports=part.imports,
                outputs=catalog.outputs(self.request, target),
                reference=(share.project, share.platform, target),
                on_end=lambda solve: self._solve_ended(share, solve),
            )
            if part.exports:
                session.exports.add(target)
        for (base, platform), result in self._exports.items():
            if platform == share.platform:
                session.provide(base, result)
        session.start()

    def _exported(self, session: Session, solve: Solve) -> None:
        """A base is in the registry: consumers of the same architecture may import it."""
        result = solve.known.result[solve.compiled.results[0]]
        assert result is not None
        platform = next(share.platform for share in self._shares if share.session is session)
        self._exports[solve.target, platform] = result
        for share in self._shares:
            if share.session is not None and share.session is not session and share.platform == platform:
                share.session.provide(solve.target, result)

    def _failed(self, solve: Solve) -> None:
        self._end_all("failed", f"{solve.target}: {solve.reason}")

    def _end_all(self, outcome: str, reason: str) -> None:
        if self.outcome != "ok":
            return
        self.outcome, self.reason = outcome, reason
        for share in self._shares:
            if share.session is not None:
                for solve in share.session.solves.values():
                    solve.cancel(reason)
            elif share.lease is None or share.lease.site.withdraw(share.lease):
                self._never_ran(share)

    def _solve_ended(self, share: _Share, solve: Solve) -> None:
        self._row(share, solve.target, solve.build, solve.outcome, solve.reason, solve)
        share.left -= 1
        if share.left == 0:
            assert share.lease is not None
            share.lease.site.release(share.lease)
            # What refers to each other is freed here: only the garbage collector would find it, at a tenth of a run's time.
            if share.session is not None:
                share.session.solves.clear()
            self._share_ended()

    def _never_ran(self, share: _Share) -> None:
        outcome = "cancelled" if self.outcome == "failed" else self.outcome
        for target in share.parts:
            number = self._world.numbers.builds
            self._world.numbers.builds += 1
            self._row(share, target, number, outcome, self.reason, None)
        self._share_ended()

    def _share_ended(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._on_end(self)
            self._shares = []

    def _row(self, share: _Share, target: str, build: int, outcome: str, reason: str, solve: Solve | None) -> None:
        lease = share.lease
        self._world.numbers.ended_s = self._world.env.now
        self._world.recorder.builds.append(
            (
                build,
                self.request.index,
                lease.number if lease else None,
                target,
                share.project,
                share.parts[target].platforms,
                str(self.request.commit),
                self.arrived_s,
                lease.acquired_s if lease else None,
                solve.started_s if solve else None,
                self._world.env.now,
                outcome,
                reason,
                lease.runner.number if lease and lease.runner else None,
                solve.context_bytes if solve else 0.0,
                solve.delivery.sent_bytes if solve else 0.0,
            )
        )
