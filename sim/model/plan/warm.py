"""A warm start: what one build of everything, at the first content, leaves on the base disks and in the registry.

In: all requests of a run. Out: records, links, filled cache mounts; for what is pushed, blobs. `images_only`: the records of base
images, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sim.dispatch.leases import bases_first
from sim.model.buildkit.daemon import Seen
from sim.model.plan.catalog import Catalog
from sim.model.plan.compiled import CONTEXT, EXEC, PREAMBLE, SOURCE, Compiled, usual_result
from sim.model.registry import GZIP, Blob, Registry
from sim.model.store.volume import Volume
from sim.profile import Profile
from sim.workload.request import Content, Request


class Place(Protocol):
    """A project on an architecture: its disk, and what its runners have seen."""

    base: Volume
    seen: Seen


def warm(
    requests: Sequence[Request],
    catalog: Catalog,
    places: Mapping[tuple[str, str], Place],
    registry: Registry,
    profile: Profile,
    seed: int,
    *,
    images_only: bool = False,
) -> None:
    """Fill the disks as a build of each command at the first content would."""
    commands = dict.fromkeys((request.targets, request.args, request.output) for request in requests)
    for targets, args, output in commands:
        request = Request(index=-1, arrived_s=0.0, asked="", targets=targets, args=args, output=output)
        results: dict[tuple[str, str], int] = {}
        parts = [
            (place, target, part)
            for place, leased in catalog.leases(request).items()
            for target, part in leased.items()
        ]
        # Bases of other projects first: their results are part of their consumers' keys.
        order = bases_first({target: part.imports for _, target, part in parts})
        for place, target, part in sorted(parts, key=lambda one: order.index(one[1])):
            imported = {base: results.get((base, place[1]), 0) for base in part.imports}
            found = _fill(part.compiled, places[place], profile, seed, imported, images_only)
            results[target, place[1]] = found[part.compiled.results[0]]
            is_pushed = part.exports or any(output.push for output in catalog.outputs(request, target))
            if is_pushed and not images_only:
                _push(part.compiled, found, places[place].base, registry, profile.daemon.gzip_share)


def _fill(
    compiled: Compiled, place: Place, profile: Profile, seed: int, imported: Mapping[str, int], images_only: bool
) -> list[int]:
    """Add a record for every step of one part, or for its sources only; returns the digests of their results."""
    cache, seen = place.base.cache, place.seen
    keys = compiled.keys(Content())
    finals: list[int] = []
    results: list[int] = []
    held: list[int] = []
    for index in range(compiled.size):
        by_position = [
            results[given] if position in compiled.content_positions[index] else finals[given]
            for position, given in enumerate(compiled.inputs[index])
        ]
        if index in compiled.imports:
            key = compiled.import_key(index, imported[compiled.imports[index]])
        elif compiled.dynamic[index]:
            key = compiled.final_key(index, keys.selected, by_position)
        else:
            key = keys.definition[index]
        result = usual_result(compiled, index, key, profile, seed)
        finals.append(key)
        results.append(result)
        if compiled.kinds[index] in (CONTEXT, PREAMBLE) or (images_only and compiled.kinds[index] != SOURCE):
            continue
        if cache.record(key) is None:
            parents = tuple(finals[given] for given in compiled.parents[index])
            cpu_s = _usual_cpu_s(compiled, index, profile)
            cache.add_record(key, result, 0.0, compiled.layer_bytes[index], parents, cpu_s)
        cache.hold(key)  # until all of the part is there, as a build would
        held.append(key)
        if compiled.content_inputs[index]:
            cache.add_link(compiled.link_key(index, keys, imported), key)
        for mount in compiled.mounts[index]:
            cache.put_item("mount", (mount.id, 0), compiled.mount_bytes[index] / len(compiled.mounts[index]), 0.0)
        seen.keys[key] = -1
        seen.ops.add(compiled.ops[index])
    for key in held:
        cache.release(key, 0.0)
    return results


def _usual_cpu_s(compiled: Compiled, index: int, profile: Profile) -> float:
    """Core-seconds of a step when its draw is the median one."""
    cost, daemon = compiled.costs[index], profile.daemon
    own_s = daemon.run_cpu_s if compiled.kinds[index] == EXEC else 0.0
    return own_s + cost.cpu_s + cost.write_bytes * daemon.write_byte_cpu_s


def _push(compiled: Compiled, results: list[int], volume: Volume, registry: Registry, packed_share: float) -> None:
    for index in compiled.layers:
        blob = Blob(GZIP, compiled.layer_bytes[index] * packed_share)
        volume.blobs[results[index]] = blob
        registry.add(results[index], blob)
