"""What the model needs of graphs, prepared once a farm: compiled graphs, which lease they belong to, links and names.

In: `Graphs`, `Farm`, `Profile`. Out: for each request, its parts by (project, architecture).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from sim.errors import InputError
from sim.graph import Graphs, cut
from sim.model.buildkit.daemon import Seen
from sim.model.plan.compiled import CONTEXT, PREAMBLE, Compiled, usual_result
from sim.model.store.cache import Cache
from sim.profile import Profile
from sim.profile.cost import Cost
from sim.scenario.farm import Farm
from sim.workload.request import Content, Request

Args = tuple[tuple[str, str], ...]
Names = tuple[list[str], list[tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Part:
    """One target of a lease. `links` are its bases in the same lease, `imports` those in other projects.

    `exports`: other projects of this request import its result.
    """

    compiled: Compiled
    platforms: tuple[str, ...]
    links: tuple[str, ...]
    imports: tuple[str, ...]
    exports: bool
    context_bytes: float


class Catalog:
    """Lookups by request, memoised: requests that ask for the same thing share the same objects."""

    def __init__(self, farm: Farm, graphs: Graphs, profile: Profile, seed: int) -> None:
        self._farm = farm
        self._graphs = graphs
        self._profile = profile
        self._seed = seed
        self._compiled: dict[tuple[str, Args, tuple[str, ...], tuple[str, ...]], Compiled] = {}
        self._leases: dict[tuple[tuple[str, ...], Args], dict[tuple[str, str], dict[str, Part]]] = {}
        self._names: dict[tuple[int, ...], dict[str, Names]] = {}

    @property
    def bake(self) -> bool:
        """Whether buildx's bake runs the requests."""
        return self._graphs.bake

    def sticky(self, request: Request) -> int:
        """A hash of what is asked, for sticky routing."""
        return int.from_bytes(blake2b(request.asked.encode(), digest_size=4).digest(), "big")

    def leases(self, request: Request) -> dict[tuple[str, str], dict[str, Part]]:
        """The parts of a request by (project, architecture), targets in the order of their names."""
        asked = (request.targets, request.args)
        found = self._leases.get(asked)
        if found is None:
            found = self._leases[asked] = self._make_leases(request)
        return found

    def _make_leases(self, request: Request) -> dict[tuple[str, str], dict[str, Part]]:
        farm, graphs = self._farm, self._graphs
        leases: dict[tuple[str, str], dict[str, Part]] = {}
        imported = {
            base
            for target in request.targets
            for base in graphs.links(target)
            if farm.projects[base] != farm.projects[target]
        }
        for target in request.targets:
            project = farm.projects[target]
            links = graphs.links(target)
            same = tuple(base for base in links if farm.projects[base] == project)
            other = tuple(base for base in links if farm.projects[base] != project)
            for platform, platforms in self._runner_platforms(target).items():
                compiled = self._compile(target, request.args, platforms, other)
                part = Part(compiled, platforms, same, other, target in imported, _context_bytes(compiled))
                leases.setdefault((project, platform), {})[target] = part
                for base in other:
                    if platform not in self._runner_platforms(base):
                        raise InputError(f"target {target} imports {base}, which is not built for {platform}")
        return leases

    def _runner_platforms(self, target: str) -> dict[str, tuple[str, ...]]:
        """By runner platform, what of the target is built there: native ones on their own, emulated ones on the first's."""
        slowdowns = self._farm.platforms
        first = next(iter(slowdowns))
        found: dict[str, tuple[str, ...]] = {}
        for platform in self._graphs.platforms(target):
            if platform not in slowdowns:
                raise InputError(
                    f"target {target} is built for {platform}, which the farm has not",
                    where="farm.platforms",
                    hint=f"add `{platform}: native`",
                )
            runs_on = platform if slowdowns[platform] == 1.0 else first
            found[runs_on] = (*found.get(runs_on, ()), platform)
        return found

    def _compile(self, target: str, args: Args, platforms: tuple[str, ...], imports: tuple[str, ...]) -> Compiled:
        place = (target, args, platforms, imports)
        compiled = self._compiled.get(place)
        if compiled is None:
            graph = self._graphs.graph(target, args, platforms)
            for base in imports:
                # Cutting one base may have dropped another's steps.
                if any(link.target == base for link in graph.links):
                    graph = cut(graph, base, base)
            compiled = self._compiled[place] = Compiled(graph, self._profile)
            for index, base in compiled.imports.items():
                total = image_bytes(self._compile(base, args, platforms, ()))
                compiled.costs[index] = Cost(download_bytes=total / 2, write_bytes=total)
        return compiled

    def names(self, request: Request, parts: dict[str, Part]) -> dict[str, Names]:
        """By target, the vertex names and those of the inputs as buildx shows them.

        A bake of several targets puts the target's name in front, and for several platforms on runners of their own the
        platform; a step that several share has the name of the first to reach the daemon: a base, else by name.
        """
        prefixed = self.bake and len(request.targets) > 1
        place = (prefixed, *(id(part.compiled) for part in parts.values()))
        found = self._names.get(place)
        if found is None:
            first: dict[str, str] = {}
            found = {}
            for target in _bases_first({target: part.links for target, part in parts.items()}):
                compiled, platforms = parts[target].compiled, parts[target].platforms
                is_split = self.bake and len(platforms) == 1 < len(self._graphs.platforms(target))
                shown = []
                for name, digest in zip(compiled.names, compiled.digests, strict=True):
                    mine = _prefixed(platforms[0], name) if is_split and _is_numbered(name) else name
                    mine = _prefixed(target, mine) if prefixed else mine
                    shown.append(first.setdefault(digest, mine) if digest else mine)
                inputs = [tuple(shown[given] for given in given_steps) for given_steps in compiled.inputs]
                found[target] = (shown, inputs)
            self._names[place] = found
        return found

    def warm(self, requests: list[Request], cache_of: dict[tuple[str, str], tuple[Cache, Seen]]) -> None:
        """Fill the base caches as one build of everything that the requests build, at the first content, would."""
        for targets, args in dict.fromkeys((request.targets, request.args) for request in requests):
            request = Request(index=-1, arrived_s=0.0, asked="", targets=targets, args=args)
            results: dict[tuple[str, str], int] = {}
            parts = [
                (site, target, part) for site, leased in self.leases(request).items() for target, part in leased.items()
            ]
            # Bases of other projects first: their results are part of their consumers' keys.
            order = _bases_first({target: part.imports for _, target, part in parts})
            for site, target, part in sorted(parts, key=lambda one: order.index(one[1])):
                imported = {base: results.get((base, site[1]), 0) for base in part.imports}
                results[target, site[1]] = _warm_part(
                    part.compiled, *cache_of[site], self._profile, self._seed, imported
                )


def _warm_part(
    compiled: Compiled, cache: Cache, seen: Seen, profile: Profile, seed: int, imported: dict[str, int]
) -> int:
    """Add a record for every step of one part; returns its result's digest."""
    keys = compiled.keys(Content())
    finals: list[int] = []
    results: list[int] = []
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
        if compiled.kinds[index] in (CONTEXT, PREAMBLE):
            continue
        if cache.record(key) is None:
            parents = tuple(finals[given] for given in compiled.parents[index])
            cache.add_record(key, result, 0.0, compiled.layer_bytes[index], parents, compiled.costs[index].cpu_s)
        if compiled.content_inputs[index]:
            cache.add_link(compiled.link_key(index, keys, imported), key)
        for mount in compiled.mounts[index]:
            cache.put_item("mount", (mount.id, 0), compiled.mount_bytes[index] / len(compiled.mounts[index]), 0.0)
        seen.keys[key] = -1
        seen.ops.add(compiled.ops[index])
    return results[compiled.results[0]]


def image_bytes(compiled: Compiled) -> float:
    """Bytes of the layers of a result: what its chain of root file systems adds."""
    total, stack, seen = 0.0, list(compiled.results), set(compiled.results)
    while stack:
        index = stack.pop()
        cost = compiled.costs[index]
        total += cost.layer_bytes or cost.write_bytes
        for position, given in enumerate(compiled.inputs[index]):
            if (
                given not in seen
                and position not in compiled.content_positions[index]
                and compiled.kinds[given] != CONTEXT
            ):
                seen.add(given)
                stack.append(given)
    return total


def _context_bytes(compiled: Compiled) -> float:
    return sum(cost.write_bytes for cost, kind in zip(compiled.costs, compiled.kinds, strict=True) if kind == CONTEXT)


def _bases_first(bases: dict[str, tuple[str, ...]]) -> list[str]:
    """Targets by name, each behind its own bases. Links make no circle: the graph's reader refuses them."""
    ordered: dict[str, None] = {}

    def visit(target: str) -> None:
        for base in bases[target]:
            if base in bases and base not in ordered:
                visit(base)
        ordered.setdefault(target)

    for target in sorted(bases):
        visit(target)
    return list(ordered)


def _is_numbered(name: str) -> bool:
    """A step of the Dockerfile, unlike `[internal] load .dockerignore` and `[context base] ...`."""
    return name.startswith("[") and not name.startswith(("[internal]", "[context "))


def _prefixed(target: str, name: str) -> str:
    return f"[{target} {name[1:]}" if name.startswith("[") else f"[{target}] {name}"
