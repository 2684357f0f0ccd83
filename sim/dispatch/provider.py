"""Where machines come from: boots, so many at once, and machines on standby.

In: who wants a machine, in order of time. Out: in how many seconds it is up, and what waiting machines cost. A boot
that must wait is served first come first served (farm-facts B: a cold-start limit). No clock and no event in it: boots
are never given up, so what comes out is known when it is asked for.
"""

from __future__ import annotations

from hashlib import blake2b
from heapq import heapreplace
from math import log

from sim.scenario.farm import Farm, Runner

Kind = tuple[str, Runner]
"""An architecture and a machine."""


class Provider:
    """The machines of a whole farm. Its projects share those on standby: `standby_count` of each architecture and machine.

    They are up when the run begins. Taking one is the start of booting another in its place, which counts for the limit on
    boots at once as any other. `boot_s` is the law's mean: exponential is for closed forms (M/M/1 with set-up times).
    """

    __slots__ = ("_boots_free_s", "_farm", "_replaced", "_seed", "_standby", "_waited_usd")

    def __init__(self, farm: Farm, seed: int) -> None:
        self._farm = farm
        self._seed = seed
        self._waited_usd = 0.0
        # When each of the boots at once is free for the next, a heap; empty: no limit.
        self._boots_free_s = [0.0] * farm.boots_at_once
        # By kind, since when each machine waits, or will: a heap.
        self._standby: dict[Kind, list[float]] = {
            (platform, farm.runner_for(project, platform)): [0.0] * farm.standby_count
            for project in farm.projects.values()
            for platform, slowdown in farm.platforms.items()
            if slowdown == 1.0
        }
        self._replaced = dict.fromkeys(self._standby, 0)

    def up_in_s(self, now_s: float, kind: Kind, name: str) -> float:
        """A machine is wanted now; in how many seconds it is up. `name`: who draws its boot time.

        A standby that is up serves; so does one that will be up before the boot in its place could begin.
        """
        free_s = self._boots_free_s
        begins_s = max(now_s, free_s[0]) if free_s else now_s
        standby = self._standby.get(kind)
        if standby and standby[0] <= begins_s:
            return self._take(kind, now_s)
        return self._boot(now_s, name)

    def standby_usd(self, end_s: float) -> float:
        """Dollars for machines on standby until `end_s`, at the price of a runner's minute.

        A vendor whose price is per lease bears them; who pays each runner while it is up (`price.per: runner`) pays these.
        """
        left = 0.0
        for (_, machine), since_s in self._standby.items():
            left += sum(max(end_s - one, 0.0) for one in since_s) / 60.0 * machine.price_per_minute
        return self._waited_usd + left

    def _take(self, kind: Kind, now_s: float) -> float:
        platform, machine = kind
        standby = self._standby[kind]
        since_s = standby[0]
        taken_s = max(now_s, since_s)
        self._waited_usd += (taken_s - since_s) / 60.0 * machine.price_per_minute
        self._replaced[kind] += 1
        name = f"standby {platform} {machine.cpus:g} {machine.memory_bytes:g} {self._replaced[kind]}"
        heapreplace(standby, taken_s + self._boot(taken_s, name))
        return taken_s - now_s + self._farm.standby_boot_s

    def _boot(self, now_s: float, name: str) -> float:
        """A machine is booted from scratch; in how many seconds it is up."""
        takes_s = self._draw_s(name)
        free_s = self._boots_free_s
        if not free_s:
            return takes_s
        wait_s = max(free_s[0] - now_s, 0.0)
        heapreplace(free_s, now_s + wait_s + takes_s)
        return wait_s + takes_s

    def _draw_s(self, name: str) -> float:
        mean_s = self._farm.boot_s
        if self._farm.boot_law == "fixed" or mean_s == 0.0:
            return mean_s
        bits = int.from_bytes(blake2b(f"{self._seed} boot {name}".encode(), digest_size=8).digest(), "big")
        return -mean_s * log(((bits >> 11) + 1) * 2.0**-53)
