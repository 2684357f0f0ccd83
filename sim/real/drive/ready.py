"""Before a replay: whether this machine can play the farm, the run's times at another scale, daemons that have built before.

In: a farm, requests, a scale. Out: the same scaled, or an InputError of one line; caches as they are at time zero.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import ceil, inf
from pathlib import Path

from sim.dispatch.leases import Place, leases_of
from sim.errors import EnvironmentMissing, InputError
from sim.graph import Graphs
from sim.real.clients import NO_BUILD, Client, buildctl_words
from sim.real.drive.order import Order, Warmup
from sim.real.drive.world import World
from sim.real.recipe.images import image_words
from sim.scenario.farm import Farm
from sim.workload.request import Request

_PRIME = 'FROM scratch\nCOPY load /load\nRUN {mounts}["/load", "--spec", "threads=1"]\n'


def scaled(farm: Farm, requests: Sequence[Request], scale: float) -> tuple[Farm, list[Request]]:
    """All times of a farm and its requests times `scale`. A simulation that is compared with a replay is scaled by this, too.

    Costs are scaled where they are written (`sim.real.recipe`); a daemon's own constants cannot be.
    """
    if scale == 1.0:
        return farm, list(requests)
    slow = replace(
        farm,
        boot_s=farm.boot_s * scale,
        clone_s=farm.clone_s * scale,
        standby_boot_s=farm.standby_boot_s * scale,
        idle_timeout_s=farm.idle_timeout_s * scale,
        acquire_timeout_s=farm.acquire_timeout_s * scale,
    )
    return slow, [
        replace(
            request,
            arrived_s=request.arrived_s * scale,
            after_s=request.after_s * scale,
            think_s=request.think_s * scale,
            cancel_after_s=None if request.cancel_after_s is None else request.cancel_after_s * scale,
        )
        for request in requests
    ]


def check(farm: Farm, requests: Sequence[Request], graphs: Graphs, cpus: float, remote: Collection[str]) -> None:
    """InputError: the runners' CPUs do not fit this machine, or remote nodes would have to be cloned.

    `farm.host` says that the runners share a machine: then each must fit, and they contend as the model's do.
    """
    places: dict[Place, int] = {}
    for request in requests:
        for place in leases_of(request, graphs, farm):
            places[place] = places.get(place, 0) + 1
    if not places:
        raise InputError("no request arrives", where="workload", hint="raise horizon or requests")
    local = {place: count for place, count in places.items() if place[1] not in remote}
    if farm.autoscaling is not None and len(local) < len(places):
        raise InputError(
            "a remote daemon cannot be cloned",
            where="farm.autoscaling",
            hint="leave it out, or let this platform run on this machine",
        )
    limit = farm.autoscaling.builds_per_instance if farm.autoscaling else inf
    most = farm.autoscaling.max_instances if farm.autoscaling else 1
    wanted = largest = 0.0
    for place, count in local.items():
        size = farm.runner_for(*place).cpus
        runners = min(most, max(1, ceil(count / limit)))
        largest, wanted = max(largest, size), wanted + runners * size
    host = min(cpus, farm.host.cpus) if farm.host is not None else cpus
    if farm.host is not None and farm.host.cpus > cpus:
        raise InputError(
            f"the scenario's host has {farm.host.cpus:g} CPUs, this machine {cpus:g}",
            where="farm.host",
            hint=f"write host: {{cpus: {cpus:g}}}",
        )
    if (largest if farm.host is not None else wanted) > host + 1e-9:
        raise InputError(
            f"up to {largest if farm.host is not None else wanted:g} CPUs of runners do not fit the {host:g} here",
            where="farm.runner.cpus",
            hint=f"--set farm.runner.cpus={cpus:g}, or say that they share this machine: --set farm.host={{cpus:{cpus:g}}}",
        )


def prime(world: World, requests: Sequence[Request], programs: Mapping[Place, Path], work: Path) -> None:
    """One tiny build on each daemon: its first is slower, and a farm's daemons have been up for a while. Where caches start with
    the base images, one more for each target, which has them mounted: so they are fetched and unpacked.

    `programs`: the load program by place. EnvironmentMissing: a daemon cannot build.
    """
    _build_all(world, work, [(place, program, "", Path(), {}) for place, program in programs.items()])
    if world.farm.cache.start != "images":
        return
    wanted = {
        (place, (target, request.args, part.platforms))
        for request in requests
        for place, parts in world.parts(request).items()
        for target, part in parts.items()
    }
    with_images = [
        (place, programs[place], platform, *world.source.bases(key))
        for place, key in sorted(wanted)
        for platform in world.platforms[place[1]]
    ]
    _build_all(world, work, with_images)


def _build_all(world: World, work: Path, builds: Sequence[tuple[Place, Path, str, Path, Mapping[str, str]]]) -> None:
    """Builds that run the load program and mount images: (place, program, platform, images' OCI layout, their digests)."""
    over: list[Client] = []
    for number, (place, program, platform, layout, images) in enumerate(builds):
        folder = work / f"prime-{number}"
        folder.mkdir(exist_ok=True)
        shutil.copy2(program, folder / "load")
        mounts = "".join(f"--mount=from={name},target=/{at} " for at, name in enumerate(images))
        (folder / "Dockerfile").write_text(_PRIME.format(mounts=mounts), encoding="utf-8")
        words = ["--frontend", "dockerfile.v0", "--local", f"context={folder}", "--local", f"dockerfile={folder}"]
        words += ["--opt", f"platform={platform}"] if platform else []
        words += image_words(layout, images) if images else []
        flags = world.sites[place].base.flags
        command = [str(world.clients.buildctl), *flags, *buildctl_words(words, NO_BUILD, {})]
        world.clients.start(command, folder, {}, lambda one: world.loop.post(lambda: over.append(one)))
    world.loop.run(lambda: len(over) == len(builds))
    if failed := next((client for client in over if client.code != 0), None):
        raise EnvironmentMissing(
            f"a daemon cannot build: {failed.last_words()}", hint="`buildcast fleet status` may say more"
        )


def warm(world: World, requests: Sequence[Request]) -> None:
    """One build of every command at the first content, as the model's warm start has it (sim.model.plan.warm)."""
    commands = dict.fromkeys((one.targets, one.args, one.output) for one in requests)
    for number, (targets, args, output) in enumerate(commands, start=1):
        over: list[Order] = []
        Warmup(world, Request(-number, 0.0, " ".join(targets), targets, args, output=output), over.append).start()
        world.loop.run(lambda over=over: bool(over))  # type: ignore[misc]
    world.attempts.clear()
