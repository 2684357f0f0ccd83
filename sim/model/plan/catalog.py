"""What the model needs of graphs, prepared once a farm: compiled graphs, which lease they belong to, links and names.

In: `Graphs`, `Farm`, `Profile`. Out: for each request, its parts by (project, architecture).
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.dispatch import leases
from sim.graph import Graphs, cut
from sim.hide import hidden
from sim.model.plan.compiled import Compiled
from sim.profile import Profile
from sim.profile.cost import Cost
from sim.scenario.farm import Farm
from sim.workload.output import Output
from sim.workload.request import Request

Args = tuple[tuple[str, str], ...]
Names = tuple[list[str], list[tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Part(leases.Part):
    """One target of a lease, and its graph made ready."""

    compiled: Compiled


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

    def outputs(self, request: Request, target: str) -> tuple[Output, ...]:
        """What a target exports."""
        return leases.outputs_on(self._farm, request, self._graphs.outputs(target))

    def leases(self, request: Request) -> dict[tuple[str, str], dict[str, Part]]:
        """The parts of a request by (project, architecture), targets in the order of their names."""
        asked = (request.targets, request.args)
        found = self._leases.get(asked)
        if found is None:
            found = self._leases[asked] = {
                place: {
                    target: Part(
                        part.platforms,
                        part.links,
                        part.imports,
                        part.exports,
                        self._compile(target, request.args, part.platforms, part.imports),
                    )
                    for target, part in parts.items()
                }
                for place, parts in leases.leases_of(request, self._graphs, self._farm).items()
            }
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
                total, daemon = image_bytes(self._compile(base, args, platforms, ())), self._profile.daemon
                compiled.costs[index] = Cost(
                    download_bytes=total * daemon.gzip_share, cpu_s=total * daemon.unpack_byte_cpu_s, write_bytes=total
                )
                compiled.layer_bytes[index] = total
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
            for target in leases.bases_first({target: part.links for target, part in parts.items()}):
                compiled, platforms = parts[target].compiled, parts[target].platforms
                secrets = self._graphs.secrets(target, request.args)
                is_split = self.bake and len(platforms) == 1 < len(self._graphs.platforms(target))
                shown = []
                for name, digest in zip(compiled.names, compiled.digests, strict=True):
                    mine = hidden(name, secrets)
                    mine = _prefixed(platforms[0], mine) if is_split and _is_numbered(mine) else mine
                    mine = _prefixed(target, mine) if prefixed else mine
                    shown.append(first.setdefault(digest, mine) if digest else mine)
                inputs = [tuple(shown[given] for given in given_steps) for given_steps in compiled.inputs]
                found[target] = (shown, inputs)
            self._names[place] = found
        return found


def image_bytes(compiled: Compiled) -> float:
    """Bytes of the layers of a result."""
    return sum(compiled.layer_bytes[index] for index in compiled.layers)


def _is_numbered(name: str) -> bool:
    """A step of the Dockerfile, unlike `[internal] load .dockerignore` and `[context base] ...`."""
    return name.startswith("[") and not name.startswith(("[internal]", "[context "))


def _prefixed(target: str, name: str) -> str:
    return f"[{target} {name[1:]}" if name.startswith("[") else f"[{target}] {name}"
