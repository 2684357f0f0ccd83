"""The full model's works: a farm with everything on, and a month of a scenario through buildcast's own path.

In: a number of builds and a seed. Out: `Full`, run by `run_full`; what of it executed, and proof that every part worked.
All draws are made here, before the clock starts. The graphs are written by hand: 20 steps in three stages.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import pi, sin
from random import Random

from sim.graph import CacheMount, Context, Graph, Input, Step
from sim.model import simulate as model
from sim.model.record import Recorder
from sim.profile import DAEMON, Cost, Profile
from sim.profile.rules import Rule
from sim.scenario.farm import Autoscaling, CacheLimits, Farm, Price, Runner
from sim.trace import Trace
from sim.workload import Content, Request
from sim.workload.output import Output

AMD64 = "linux/amd64"
FILES_AT = "local://context"
MB, GB, GIB = 1e6, 1e9, 2.0**30
STEPS = 20
PROJECTS = {"web": "shop", "api": "shop", "batch": "nightly"}
SHARES = (0.4, 0.35, 0.25)
MODULES = 8

RATE_PER_S, SWING, PERIOD_S = 0.5, 0.8, 1200.0
"""Arrivals rise and fall every 20 minutes, so clones come and go all the time, also in the run of 1,000 builds."""

LEAST_EXECUTED = STEPS / 2
"""Cost per build depends on how much of it executes. Less than half would be an easy work."""


@dataclass(frozen=True, slots=True)
class Full:
    """A farm and what it is asked for."""

    farm: Farm
    requests: list[Request]
    profile: Profile
    graphs: Handmade
    seed: int


class Handmade:
    """What the model asks of `Graphs`, over graphs written by hand: no bake, no links."""

    bake = False

    def __init__(self, graphs: dict[str, Graph]) -> None:
        self._graphs = graphs
        self.targets = tuple(graphs)

    def platforms(self, target: str) -> tuple[str, ...]:
        return (AMD64,)

    def links(self, target: str) -> tuple[str, ...]:
        return ()

    def outputs(self, target: str) -> tuple[str, ...]:
        return ()

    def secrets(self, target: str, args: object = ()) -> dict[str, str]:
        return {}

    def graph(self, target: str, args: object = (), platforms: object = ()) -> Graph:
        return self._graphs[target]


class Deaf(Recorder):
    """A recorder without the rows of steps and all that is kept for them: what recording costs even when it is off."""

    def step(self, *_: object) -> None:
        pass

    def cached(self, *_: object) -> None:
        pass

    def export(self, *_: object) -> None:
        pass


def full_work(builds: int, seed: int = 1, rate_per_s: float = RATE_PER_S) -> Full:
    """Everything on. `rate_per_s`: of builds, in the mean."""
    graphs = Handmade({target: _graph(target) for target in PROJECTS})
    requests = list(_Requests(graphs, seed, rate_per_s).draw(builds))
    return Full(_farm(), requests, Profile(DAEMON, _rules(), with_priors=True), graphs, seed)


def run_full(work: Full, *, steps: bool = True, recorder: type[Recorder] = Recorder) -> Trace:
    """One run. `steps` off keeps no rows of steps; `recorder` takes the model's own one's place."""
    model.Recorder = recorder  # type: ignore[attr-defined]
    return model.simulate(work.farm, work.requests, work.profile, work.graphs, seed=work.seed, steps=steps)  # type: ignore[arg-type]


def mix(trace: Trace) -> dict[str, float]:
    """By outcome the mean number of the graph's 20 steps a build, and counts of what must have been at work."""
    steps, builds = trace.steps, len(trace.builds)
    internal = ("[internal] load build definition", "[internal] load .dockerignore")
    shown: Counter[str] = Counter()
    misses: Counter[str] = Counter()
    exports = lock_waits = received = 0
    columns = ("step", "kind", "outcome", "miss", "lock_wait_s", "received_bytes")
    for row in zip(*(steps[one].tolist() for one in columns), strict=True):
        name, kind, outcome, miss, lock_wait_s, received_bytes = row
        if kind == "export":
            exports += 1
        elif kind != "overhead" and not name.startswith(internal):
            shown[outcome] += 1
            misses[miss] += outcome == "executed"
            lock_waits += lock_wait_s > 0
            received += kind == "context" and received_bytes > 0
    found = {outcome: shown[outcome] / builds for outcome in ("executed", "shared", "cached", "failed", "cancelled")}
    found |= {"exports": exports, "waits for a locked mount": lock_waits, "contexts sent": received}
    found |= {f"misses: {why}": misses[why] for why in ("changed", "evicted", "clone", "no_cache")}
    clones = trace.runners["clone_of"]
    return found | {"clones": int((clones == clones).sum())}


def too_easy(found: dict[str, float]) -> str:
    """Why these numbers do not stand for a full model's work; empty: they do."""
    if found["executed"] < LEAST_EXECUTED:
        return f"only {found['executed']:.1f} of {STEPS} steps of a build execute"
    idle = [name for name, value in found.items() if not value and name != "cancelled"]
    return f"not at work: {', '.join(idle)}" if idle else ""


# The farm. Sizes are those of the preset `depot` (sim/scenario/presets.yaml); a cache this small is always full.


def _farm() -> Farm:
    return Farm(
        Runner(16, 32 * GIB, 1 * GB, 500 * MB, 625 * MB, price_per_minute=0.04, size="default"),
        PROJECTS,
        max_parallelism=12,
        autoscaling=Autoscaling(builds_per_instance=4, max_instances=12),
        boot_s=25.0,
        clone_s=3.0,
        standby_count=1,
        standby_boot_s=2.0,
        idle_timeout_s=120.0,
        acquire_timeout_s=300.0,
        cache=CacheLimits(max_bytes=20 * GB, keep_s=14 * 86400.0),
        price=Price(cache_gb_month=0.2, wait_hour=100.0),
    )


def _rules() -> tuple[Rule, ...]:
    """What the RUNs cost: guesses in the range of the scenarios' own; about 45 core-seconds and 250 MB a build."""
    return (
        _rule("*apt-get install*", cpu_s=8, latency_s=2, download=60, write=180),
        _rule("*npm ci*", cpu_s=12, threads=4, latency_s=1, download=120, read=20, write=300, memory_gib=1, warm=0.5),
        _rule("*generate*", cpu_s=2, read=10, write=5),
        _rule("*compile*", cpu_s=16, threads=4, serial=0.1, read=80, write=60, memory_gib=2, warm=0.6, overlap=True),
        _rule("*lint*", cpu_s=4, read=20, memory_gib=0.75),
        _rule("*npm test*", cpu_s=16, threads=3, latency_s=1, read=40, write=5, memory_gib=3),
        _rule("*bundle*", cpu_s=5, threads=2, write=40, memory_gib=1, warm=0.7),
        _rule("*apk add*", cpu_s=1.5, latency_s=0.5, download=12, write=40),
        _rule("*COPY --from*", write=30),
        _rule("*RUN*", cpu_s=0.4, read=1, write=1),
    )


def _rule(
    pattern: str,
    *,
    download: float = 0.0,
    read: float = 0.0,
    write: float = 0.0,
    memory_gib: float = 0.0,
    **amounts: float,
) -> Rule:
    """Sizes in MB. 0.2 is the spread that the profile gives a scenario's rule without one."""
    cost = Cost(
        download_bytes=download * MB,
        read_bytes=read * MB,
        write_bytes=write * MB,
        layer_bytes=write * MB,
        memory_bytes=memory_gib * GIB,
        spread=0.2,
        origin="rule",
    )
    return Rule(pattern, None, replace(cost, **amounts))  # type: ignore[arg-type]


# The graphs: stages deps (shared by all three), build (with lint and tests beside it) and the image with its tools.


def _graph(target: str) -> Graph:
    steps: list[Step] = []

    def add(
        stage: str, kind: str, text: str, *inputs: Input, mounts: tuple[CacheMount, ...] = (), source: str = ""
    ) -> int:
        digest = f"{text}({', '.join(steps[one.step].digest + ''.join(one.paths) for one in inputs)})"
        name = text if kind == "context" else f"[{stage}] {text}"
        steps.append(Step(digest, text, name, kind, AMD64, inputs, mounts, source))  # type: ignore[arg-type]
        return len(steps) - 1

    def taken(step: int, *paths: str) -> Input:
        return Input(step, True, paths)

    def cached(name: str, sharing: str) -> tuple[CacheMount, ...]:
        return (CacheMount(name, f"/{name}", sharing),)  # type: ignore[arg-type]

    node = add("deps", "source", "FROM node:22", source="docker-image://node:22")
    alpine = add("image", "source", "FROM alpine", source="docker-image://alpine")
    files = add("", "context", "[internal] load build context", source=FILES_AT)
    tools = add("deps", "exec", "RUN apt-get install", Input(node), mounts=cached("apt", "locked"))
    lock = add("deps", "copy", "COPY package*.json", Input(tools), taken(files, "/package.json", "/package-lock.json"))
    deps = add("deps", "exec", "RUN npm ci", Input(lock), mounts=cached("npm", "shared"))
    source = add(f"{target} build", "copy", f"COPY {target}/src", Input(deps), taken(files, f"/{target}/src"))
    generated = add(f"{target} build", "exec", "RUN generate", Input(source))
    compiled = add(
        f"{target} build", "exec", "RUN compile", Input(generated), mounts=cached(f"{target}-compiled", "private")
    )
    lint = add(f"{target} build", "exec", "RUN lint", Input(generated))
    tests = add(f"{target} build", "exec", "RUN npm test", Input(compiled))
    bundle = add(f"{target} build", "exec", "RUN bundle", Input(compiled), mounts=cached(f"{target}-bundle", "locked"))
    packages = add("image", "exec", "RUN apk add", Input(alpine))
    config = add(f"{target} tools", "copy", f"COPY {target}/config", Input(packages), taken(files, f"/{target}/config"))
    configured = add(f"{target} tools", "exec", "RUN configure", Input(config))
    user = add("image", "exec", "RUN adduser", Input(packages))
    app = add(f"{target} image", "copy", "COPY --from=build /app", Input(user), taken(bundle, "/app"))
    linked = add(f"{target} image", "exec", "RUN link", Input(app), taken(configured, "/etc"))
    report = add(f"{target} image", "copy", "COPY --from=test /report", Input(linked), taken(tests, "/report"))
    add(f"{target} image", "exec", "RUN label", Input(report), taken(lint, "/lint"))
    assert len(steps) == STEPS
    return Graph(target, (AMD64,), tuple(steps), (len(steps) - 1,), "Dockerfile", {FILES_AT: Context(".", _files())})


def _files() -> dict[str, int]:
    """Some 300 files and 6 MB."""
    random = Random("files")
    sizes = {"package.json": 4_000, "package-lock.json": 600_000}
    for target in PROJECTS:
        sizes |= {f"{target}/config/{number}.json": 2_000 for number in range(4)}
        for module in range(MODULES):
            for number in range(12):
                sizes[f"{target}/src/{module}/{number}.ts"] = random.randrange(2_000, 35_000)
    return sizes


# The requests.


class _Requests:
    """Pushes to one trunk. Now and then one starts its build more than once, within seconds: a pull request's twin.

    Now and then an older commit is built again, whose records garbage collection has taken by then.
    """

    def __init__(self, graphs: Handmade, seed: int, rate_per_s: float) -> None:
        self._random = Random(f"full work {seed}")
        self._graphs = graphs
        self._rate_per_s = rate_per_s
        self._versions: dict[str, tuple[str, int]] = {}  # pairs that all later contents share
        self._now_s = 0.0
        self._older: deque[Request] = deque(maxlen=400)

    def draw(self, builds: int) -> Iterator[Request]:
        random = self._random
        index = commit = 0
        while index < builds:
            commit += 1
            self._wait()
            target = random.choices(tuple(PROJECTS), SHARES)[0]
            first = self._push(index, commit, target)
            if random.random() < 0.05 and self._older:
                first = random.choice(self._older)
            else:
                self._older.append(first)
            again = random.choices((0, 1, 2), (0.88, 0.08, 0.04))[0]
            for twin in range(min(again + 1, builds - index)):
                self._now_s += twin * random.uniform(0.1, 4.0)
                yield replace(first, index=index, arrived_s=self._now_s)
                index += 1

    def _wait(self) -> None:
        """To the next push of a Poisson stream whose rate swings, by thinning [Lewis & Shedler 1979]. 1.16 builds a push."""
        most_per_s = self._rate_per_s / 1.16 * (1 + SWING)
        while True:
            self._now_s += self._random.expovariate(most_per_s)
            swing = 1 + SWING * sin(2 * pi * self._now_s / PERIOD_S)
            if self._random.random() * (1 + SWING) < swing:
                return

    def _push(self, index: int, commit: int, target: str) -> Request:
        random = self._random
        changed = [f"{target}/src/{module}/" for module in random.sample(range(MODULES), random.randint(1, 2))]
        if random.random() < 0.35:
            changed += ["package.json", "package-lock.json"]
        if random.random() < 0.15:
            changed.append(f"{target}/config/")
        self._versions |= {path: (path, commit) for path in changed}
        keeps = random.random() < 0.4  # a developer, whose checkout and runner's copy stay; else a fresh CI job
        tests = next(step for step in self._graphs.graph(target).steps if step.op == "RUN npm test")
        return Request(
            index,
            self._now_s,
            target,
            (target,),
            content=Content(tuple(sorted(self._versions.values()))),
            commit=commit,
            branch=random.randrange(8),
            no_cache=random.random() < 0.02,
            cancel_after_s=random.uniform(5.0, 40.0) if random.random() < 0.02 else None,
            failing=frozenset({tests.digest}) if random.random() < 0.03 else frozenset(),
            touched=tuple(changed),
            fresh_checkout=not keeps,
            client=random.randrange(40) if keeps else None,
            uplink_bytes_per_s=12.5 * MB if keeps else 125 * MB,
            output=Output("image", push=True),
        )
