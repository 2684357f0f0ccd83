"""Random farms, graphs, costs and workloads with every feature on: what `test_stress.py` draws its examples from.

In: hypothesis. Out: `Drawn`, all that a simulation takes. Sizes are small, so that an example takes some hundredths of a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from builders import AMD64, Handmade, a_rule
from hypothesis import strategies as st

from sim.graph import CacheMount, Context, Graph, Input, Link, Step
from sim.graph.read import select
from sim.profile import Profile
from sim.profile.constants import DAEMON
from sim.scenario.farm import Autoscaling, CacheLimits, Farm, Override, Price, Runner
from sim.workload.output import Output
from sim.workload.request import Content, Request

MB = 1e6
ARM64 = "linux/arm64"
TARGETS = ("app", "base", "job")
CONTEXTS = {
    "local://context": Context(".", {"a.txt": 100_000, "b.txt": 2_000_000, "src/c.txt": 5_000_000}),
    "local://other": Context("other", {"x.txt": 1_000_000, "lib/": 3_000_000}),
}
PATHS = ("a.txt", "src/", "src/c.txt", "other/x.txt", "new.txt")
RUNS = 6


@dataclass(frozen=True)
class Drawn:
    """One example. Its `repr` is what hypothesis prints, so it says all."""

    farm: Farm
    graphs: Handmade
    requests: list[Request]
    profile: Profile = field(repr=False)
    costs: str
    seed: int


class Stages(Handmade):
    """Graphs of one or two platforms with outputs of their own."""

    def __init__(self, graphs, linked, bake, own_outputs):
        super().__init__(graphs, linked, bake)
        self.own_outputs = own_outputs
        self._selected = {}

    def outputs(self, target):
        return self.own_outputs.get(target, ())

    def graph(self, target, args=(), platforms=()):
        whole = self.graphs[target]
        wanted = platforms or whole.platforms
        if wanted == whole.platforms:
            return whole
        found = self._selected.get((target, wanted))
        if found is None:
            results = [whole.results[whole.platforms.index(platform)] for platform in wanted]
            parts = select(whole, results)
            found = Graph(target, wanted, parts.steps, parts.results, whole.dockerfile, parts.contexts, parts.links)
            self._selected[target, wanted] = found
        return found


# Graphs: one plan of stages, laid out once for each platform over shared contexts; targets are results of it.

MOUNTS = st.lists(
    st.builds(
        CacheMount, st.sampled_from(["npm", "go"]), st.just("/cache"), st.sampled_from(["shared", "private", "locked"])
    ),
    max_size=2,
    unique_by=lambda mount: mount.id,
)


@dataclass(frozen=True)
class Stage:
    """One step of the plan. `base` and `other` choose among what stands before it."""

    kind: str
    base: int
    other: int
    path: str
    mounts: tuple[CacheMount, ...]


STAGES = st.builds(
    Stage,
    st.sampled_from(
        ["run", "run", "run", "run", "copy", "copy", "copy_other", "from", "from", "link", "bind", "cross"]
    ),
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from(["/", "/a.txt", "/src", "/out"]),
    MOUNTS.map(tuple),
)


class _Pool:
    """Steps of all platforms, each digest once; `at[platform]` are those that a later step of it may stand on."""

    def __init__(self):
        self.steps = []
        self.numbers = {}
        self.at = {}
        self.contexts = [self.add("context", source, "", (), source=source) for source in CONTEXTS]

    def add(self, kind, op, platform, inputs, mounts=(), source="", line=0):
        below = ",".join(f"{self.steps[given.step].digest}{given.paths}" for given in inputs)
        op = f"{op} {platform}" if kind in ("exec", "source") else op
        name = f"[{platform} stage {line}/9] {op}" if line else op
        step = Step(f"{op}({below})", op, name, kind, platform or AMD64, inputs, mounts, source, "Dockerfile", line)
        if step.digest not in self.numbers:
            self.numbers[step.digest] = len(self.steps)
            self.steps.append(step)
        return self.numbers[step.digest]

    def lay(self, plan, platform, first):
        """All steps of the plan on one platform. `first`: those of the first platform, for cross builds."""
        mine = self.at[platform] = [
            self.add("source", f"FROM {name}", platform, (), source=f"docker-image://{name}")
            for name in ("alpine", "golang")
        ]
        for number, stage in enumerate(plan):
            mine.append(self._step(stage, number, platform, mine, first or mine))

    def _step(self, stage, number, platform, mine, first):
        base, other = mine[stage.base % len(mine)], mine[stage.other % len(mine)]
        under, line = Input(base), number + 1
        if stage.kind == "cross":
            other = first[stage.other % min(len(mine), len(first))]
        if stage.kind in ("run", "bind"):
            inputs = (under, Input(other, True, (stage.path,))) if stage.kind == "bind" else (under,)
            return self.add("exec", f"RUN r{number % RUNS}.{number}", platform, inputs, stage.mounts, line=line)
        if stage.kind in ("from", "cross"):
            return self.add(
                "copy", f"COPY --from {number}", platform, (under, Input(other, True, (stage.path,))), line=line
            )
        context = Input(self.contexts[stage.kind == "copy_other"], True, (stage.path,))
        if stage.kind == "link":
            alone = self.add("copy", f"COPY --link {number}", platform, (context,), line=line)
            return self.add("merge", f"LINK {number}", platform, (under, Input(alone)), line=line)
        return self.add("copy", f"COPY {number}", platform, (under, context), line=line)


@st.composite
def graphs(draw, platforms):
    """Three targets; `app` and `job` may be linked to `base` or to each other where they stand on it."""
    plan = draw(st.lists(STAGES, min_size=4, max_size=12))
    pool = _Pool()
    for platform in platforms:
        pool.lay(plan, platform, pool.at.get(platforms[0]))
    made, linked, results = {}, {}, {}
    for target in TARGETS:
        wanted = draw(st.sampled_from([platforms, platforms[:1], platforms]))
        results[target] = draw(st.integers(2 if target == "base" else 4, len(plan) + 1))
        heads = tuple(pool.at[platform][results[target]] for platform in wanted)
        made[target] = Graph(target, wanted, tuple(pool.steps), heads, "Dockerfile", CONTEXTS)
    for target, base in draw(
        st.sampled_from([(), (("app", "base"),), (("app", "base"), ("job", "app")), (("app", "base"), ("job", "base"))])
    ):
        if set(made[target].platforms) <= set(made[base].platforms) and results[base] < results[target]:
            links = tuple(Link(base, pool.at[platform][results[base]]) for platform in made[target].platforms)
            below = made[target].links + links
            made[target] = Graph(
                target, made[target].platforms, tuple(pool.steps), made[target].results, "Dockerfile", CONTEXTS, below
            )
            linked[target] = (*linked.get(target, ()), base)
    own = draw(
        st.dictionaries(
            st.sampled_from(TARGETS), st.sampled_from([("type=image,push=true",), ("type=local,dest=o", "type=oci")])
        )
    )
    pruned = {target: select(graph, graph.results) for target, graph in made.items()}
    return Stages(pruned, linked, draw(st.booleans()), own)


# Costs.

AMOUNTS = st.fixed_dictionaries(
    {
        "latency": st.sampled_from([0.0, 0.0, 0.3, 5.0]),
        "download": st.sampled_from([0.0, 0.0, 5 * MB]),
        "read": st.sampled_from([0.0, 0.0, 20 * MB]),
        "cpu": st.sampled_from([0.0, 0.5, 1.0, 8.0]),
        "threads": st.sampled_from([0.5, 1.0, 4.0, inf]),
        "serial": st.sampled_from([0.0, 0.3, 1.0]),
        "write": st.sampled_from([0.0, 3 * MB, 60 * MB]),
        "memory": st.sampled_from([0.0, 0.0, 100 * MB, 200 * MB]),
        "layer": st.sampled_from([None, None, 20 * MB]),
        "warm": st.sampled_from([1.0, 0.2, 0.0]),
        "spread": st.sampled_from([0.0, 0.5]),
        "fails": st.sampled_from([*[0.0] * 14, 0.2, 1.0]),
        "reproducible": st.sampled_from([True, True, False]),
        "same_output": st.sampled_from([False, True, 0.5, ("/out", "/src")]),
        "overlap": st.booleans(),
    }
)
OF_COPIES = st.fixed_dictionaries({"write": st.sampled_from([0.0, 10 * MB]), "cpu": st.sampled_from([0.0, 0.4])})
OF_SOURCES = st.fixed_dictionaries(
    {
        "download": st.sampled_from([0.0, 15 * MB]),
        "cpu": st.sampled_from([0.0, 0.2]),
        "write": st.sampled_from([0.0, 40 * MB]),
        "latency": st.sampled_from([0.0, 0.1]),
    }
)


@st.composite
def profiles(draw):
    """Rules for all RUNs, copies and sources, and a daemon of either cgroup, or one that costs nothing."""
    rules = {f"*RUN r{number}.*": draw(AMOUNTS) for number in range(RUNS)}
    rules["*COPY --from*"] = draw(OF_COPIES)
    rules["*FROM*"] = draw(OF_SOURCES)
    written = [a_rule(pattern, **amounts) for pattern, amounts in rules.items()]
    if draw(st.integers(0, 2)) == 0:
        return Profile.ideal(written), f"ideal {rules}"
    profile = Profile.of(written)
    if draw(st.booleans()):
        from dataclasses import replace

        profile = Profile(replace(DAEMON, daemon_cgroup="root"), profile._rules, with_priors=True)
    return profile, f"{profile.daemon.daemon_cgroup} {rules}"


# Farms.

RUNNERS = st.builds(
    Runner,
    cpus=st.sampled_from([0.5, 1.0, 2.0, 8.0]),
    memory_bytes=st.sampled_from([inf, 300 * MB, 600 * MB]),
    disk_read_bytes_per_s=st.sampled_from([inf, 50 * MB]),
    disk_write_bytes_per_s=st.sampled_from([inf, 30 * MB]),
    network_bytes_per_s=st.sampled_from([inf, 20 * MB]),
    price_per_minute=st.sampled_from([0.0, 0.04, 0.3]),
)
CACHES = st.builds(
    CacheLimits,
    max_bytes=st.sampled_from([inf, inf, 100 * MB, 10 * MB, 0.0]),
    keep_s=st.sampled_from([inf, inf, 60.0, 5.0]),
    policy=st.sampled_from(["buildkit", "lru"]),
    start=st.sampled_from(["cold", "cold", "images", "warm"]),
)
PLATFORMS = st.sampled_from([{AMD64: 1.0}, {AMD64: 1.0}, {AMD64: 1.0, ARM64: 1.0}, {AMD64: 1.0, ARM64: 4.0}])


@st.composite
def farms(draw, platforms: Mapping[str, float]):
    """The whole of `Farm`."""
    projects = draw(
        st.sampled_from(
            [
                dict.fromkeys(TARGETS, "one"),
                {"app": "one", "base": "one", "job": "two"},
                {"app": "two", "base": "one", "job": "one"},
                {target: target for target in TARGETS},
            ]
        )
    )
    overrides = st.builds(Override, st.sampled_from([None, "one", "app"]), st.sampled_from([None, *platforms]), RUNNERS)
    scaling = st.builds(
        Autoscaling, st.sampled_from([1, 1, 2, 3]), st.sampled_from([1, 2, 3, 20]), st.sampled_from(["queue", "share"])
    )
    return draw(
        st.builds(
            Farm,
            runner=RUNNERS,
            projects=st.just(projects),
            platforms=st.just(platforms),
            overrides=st.lists(overrides, max_size=2).map(tuple),
            max_parallelism=st.sampled_from([0, 1, 2, 5]),
            autoscaling=st.one_of(st.none(), scaling, scaling),
            boot_s=st.sampled_from([0.0, 1.0, 25.0]),
            boot_law=st.sampled_from(["fixed", "exponential"]),
            boots_at_once=st.sampled_from([0, 1, 2]),
            clone_s=st.sampled_from([0.0, 0.5, 3.0]),
            standby_count=st.sampled_from([0, 0, 1, 2]),
            standby_boot_s=st.sampled_from([0.0, 2.0]),
            idle_timeout_s=st.sampled_from([inf, 0.0, 2.0, 20.0]),
            acquire_timeout_s=st.sampled_from([*[inf] * 6, 0.0, 3.0, 30.0]),
            cache=CACHES,
            write_back=st.sampled_from(["discard", "last_write_wins", "fork_commit", "registry"]),
            routing=st.sampled_from(["fill_first", "least_loaded", "sticky", "random"]),
            dedup=st.sampled_from([True, True, True, False]),
            bake_link_barrier=st.booleans(),
            price=st.builds(
                Price, st.sampled_from(["lease", "runner"]), st.sampled_from([0.0, 0.2]), st.sampled_from([0.0, 100.0])
            ),
            host=st.one_of(st.none(), st.none(), RUNNERS),
            keep_alive_limit=st.sampled_from([inf, inf, inf, 1.5]),
        )
    )


# Workloads.

OUTPUTS = st.builds(
    Output,
    st.sampled_from(["image", "registry", "docker", "oci", "tar", "local", "cacheonly"]),
    st.booleans(),
    st.sampled_from(["gzip", "zstd", "estargz", "uncompressed"]),
    st.sampled_from(["none", "none", "inline", "registry", "local", "gha", "s3", "azblob"]),
    st.sampled_from(["min", "max"]),
    st.sampled_from(["none", "registry"]),
)
LISTS = st.lists(st.sampled_from(TARGETS), min_size=1, max_size=3, unique=True)


@st.composite
def workloads(draw, made):
    """Up to a dozen requests: timed, after others, closed clients; each asks for targets and their bases."""
    digests = sorted({step.digest for graph in made.graphs.values() for step in graph.steps if step.kind == "exec"})
    found, now_s, versions, touches = [], 0.0, {}, {}
    for index in range(draw(st.integers(3, 14))):
        now_s += draw(st.sampled_from([0.0, 0.0, 0.01, 0.5, 3.0, 40.0]))
        for path in draw(st.lists(st.sampled_from(PATHS), max_size=2)):
            kept = draw(st.booleans())
            (touches if kept else versions)[path] = index + 1
        kind = draw(st.sampled_from([*["timed"] * 6, "needs", "after"])) if index else "timed"
        earlier = st.lists(st.integers(0, max(index - 1, 0)), min_size=1, max_size=2, unique=True)
        found.append(
            Request(
                index,
                now_s if kind == "timed" else 0.0,
                "+".join(asked := draw(LISTS)),
                _closure(made, asked),
                args=draw(st.sampled_from([(), (), (("V", "1"),)])),
                content=Content(tuple(sorted(versions.items()))),
                commit=index,
                no_cache=draw(st.integers(0, 9)) == 9,
                cancel_after_s=draw(st.sampled_from([*[None] * 20, 0.0, 0.3, 1.0, 6.0])),
                needs=tuple(draw(earlier)) if kind == "needs" else (),
                after_s=draw(st.sampled_from([0.0, 2.0])),
                after=draw(st.integers(0, index - 1)) if kind == "after" else None,
                think_s=draw(st.sampled_from([0.0, 1.0])),
                failing=frozenset(draw(st.lists(st.sampled_from(digests), max_size=1)))
                if digests and draw(st.integers(0, 9)) == 9
                else frozenset(),
                fresh_checkout=draw(st.booleans()),
                output=draw(st.one_of(st.none(), OUTPUTS)),
                uplink_bytes_per_s=draw(st.sampled_from([inf, inf, 10 * MB])),
                client=draw(st.sampled_from([None, 0, 1])),
                touches=tuple(sorted(touches.items())),
                superseded_by=None,
            )
        )
    return _superseded(draw, found)


def _superseded(draw, found):
    """Some requests are cancelled by a later one."""
    from dataclasses import replace

    for index in range(len(found) - 1):
        if draw(st.integers(0, 9)) == 9:
            found[index] = replace(found[index], superseded_by=draw(st.integers(index + 1, len(found) - 1)))
    return found


def _closure(made, asked):
    """The targets and all bases that they are linked to, sorted, as buildx solves them."""
    found, stack = set(), list(asked)
    while stack:
        target = stack.pop()
        if target not in found:
            found.add(target)
            stack.extend(made.links(target))
    return tuple(sorted(found))


@st.composite
def worlds(draw):
    """A farm and what it has to build."""
    platforms = draw(PLATFORMS)
    made = draw(graphs(tuple(platforms)))
    profile, costs = draw(profiles())
    return Drawn(draw(farms(platforms)), made, draw(workloads(made)), profile, costs, draw(st.integers(0, 99)))
