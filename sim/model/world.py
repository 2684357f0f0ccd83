"""What all requests of a run share: time, the farm's sites, the catalog of graphs, the rows.

In: a farm, a profile, graphs, a seed. Out: `World`, which makes a site when a project is first used on an architecture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simpy import Environment

from sim.dispatch.provider import Provider
from sim.graph import Graphs
from sim.model.engine import HostEngine, with_disk
from sim.model.plan.catalog import Catalog
from sim.model.plan.warm import warm
from sim.model.record import Recorder
from sim.model.registry import Registry
from sim.model.site import Numbers, Site
from sim.profile import Profile
from sim.profile.cost import Daemon
from sim.scenario.farm import Farm
from sim.workload.request import Request


class World:
    """All that a run shares: time, the farm's sites, the catalog of graphs, the rows."""

    def __init__(self, farm: Farm, profile: Profile, graphs: Graphs, seed: int, recorder: Recorder) -> None:
        self.env = Environment()
        self.farm = farm = _with_disks(farm, profile.daemon)
        self.recorder = recorder
        self.numbers = Numbers()
        self.registry = Registry()
        self.catalog = Catalog(farm, graphs, profile, seed)
        self._profile = profile
        self._seed = seed
        self._provider = Provider(farm, seed)
        self._host = HostEngine(self.env, farm.host) if farm.host is not None else None
        self._sites: dict[tuple[str, str], Site] = {}

    def site(self, project: str, platform: str) -> Site:
        """The runners of a project on an architecture."""
        place = (project, platform)
        site = self._sites.get(place)
        if site is None:
            site = self._sites[place] = Site(
                self.env,
                self.farm,
                self._profile,
                self.recorder,
                self.numbers,
                self._provider,
                self.registry,
                self._host,
                project=project,
                platform=platform,
                seed=self._seed,
            )
        return site

    def warm(self, requests: Sequence[Request]) -> None:
        """Fill the base caches before the first request, as the farm's `cache.start` says."""
        places = dict.fromkeys(place for request in requests for place in self.catalog.leases(request))
        sites = {place: self.site(*place) for place in places}
        images_only = self.farm.cache.start == "images"
        warm(requests, self.catalog, sites, self.registry, self._profile, self._seed, images_only=images_only)

    def waited_for(self) -> list[str]:
        """`project on platform` of each site where a lease has no runner."""
        return [f"{project} on {platform}" for (project, platform), site in self._sites.items() if site.is_waited_for]

    def sample(self, at_s: float) -> None:
        """A row for each runner that is ready."""
        for site in self._sites.values():
            site.sample(at_s)

    def stop(self) -> None:
        """The run is over. It ended with its last build, however late a time-out was still to come."""
        end_s = self.numbers.ended_s
        for site in self._sites.values():
            site.stop_all(end_s)
        self.recorder.standby_usd = self._provider.standby_usd(end_s)


def _with_disks(farm: Farm, daemon: Daemon) -> Farm:
    return replace(
        farm,
        runner=with_disk(farm.runner, daemon),
        overrides=tuple(replace(one, runner=with_disk(one.runner, daemon)) for one in farm.overrides),
        host=None if farm.host is None else with_disk(farm.host, daemon),
    )
