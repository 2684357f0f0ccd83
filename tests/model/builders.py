"""Small worlds for tests: graphs written by hand, and the few questions that the model asks of `Graphs`."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

from sim.graph import CacheMount, Context, Graph, Input, Step
from sim.model.simulate import simulate
from sim.profile import Profile
from sim.scenario.farm import Autoscaling, Farm, Runner
from sim.workload import Content, Request

AMD64 = "linux/amd64"
CONTEXT = "local://context"
FILES = Context(".", {"a.txt": 100, "b.txt": 200, "src/c.txt": 300})


def source(name="alpine"):
    return Step(name, name, f"[1/9] FROM {name}", "source", AMD64, source=f"docker-image://{name}")


def context():
    return Step("context", "context", "[internal] load build context", "context", AMD64, source=CONTEXT)


def run(name, *inputs, mounts=(), by_content=()):
    """A RUN on its first input; `by_content` are (step, paths) of read-only mounts."""
    given = tuple(Input(step) for step in inputs) + tuple(Input(step, True, paths) for step, paths in by_content)
    digest = f"{name}({','.join(map(str, given))})"
    return Step(digest, f"RUN {name}", f"RUN {name}", "exec", AMD64, given, tuple(mounts))


def copy(name, base, origin, *paths):
    given = (*(() if base is None else (Input(base),)), Input(origin, True, paths or ("/",)))
    return Step(f"{name}({given})", f"COPY {name}", f"COPY {name}", "copy", AMD64, given)


def locked(mount_id="cache"):
    return CacheMount(mount_id, "/cache", "locked")


def a_graph(*steps, target="app", results=None, links=()):
    return Graph(target, (AMD64,), steps, results or (len(steps) - 1,), "Dockerfile", {CONTEXT: FILES}, tuple(links))


@dataclass
class Handmade:
    """What the model asks of `Graphs`, over graphs written by hand."""

    graphs: dict[str, Graph]
    linked: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bake: bool = False

    def platforms(self, target):
        return self.graphs[target].platforms

    def secrets(self, target, args=()):
        return {}

    def links(self, target):
        return self.linked.get(target, ())

    def outputs(self, target):
        return ()

    def graph(self, target, args=(), platforms=()):
        return self.graphs[target]


def a_rule(pattern, **amounts):
    """A scenario's cost rule."""
    plain = dict.fromkeys(("latency", "download", "read", "cpu", "serial", "write", "memory"), 0.0)
    rest = {"platform": None, "threads": 1.0, "layer": None, "warm": 1.0, "spread": 0.0, "fails": 0.0}
    rest |= {"reproducible": True, "same_output": False, "overlap": False}
    return SimpleNamespace(step=pattern, **(plain | rest | amounts))


def a_farm(cpus=2.0, targets=("app",), limit=None, **fields):
    scaling = None if limit is None else Autoscaling(limit, fields.pop("max_instances", 20))
    projects = fields.pop("projects", dict.fromkeys(targets, "main"))
    return Farm(Runner(cpus), projects, autoscaling=scaling, **fields)


def a_request(index, at_s=0.0, targets=("app",), changed=(), **fields):
    content = Content(tuple(sorted(changed)))
    return Request(index, at_s, " ".join(targets), tuple(targets), content=content, **fields)


def ideal(*rules):
    """A daemon without overheads: what the rules say is all that takes time."""
    return Profile.ideal([a_rule(pattern, **amounts) for pattern, amounts in rules])


def simulated(graphs, requests, profile, farm=None, **options):
    """A trace; one graph stands for target `app`."""
    if isinstance(graphs, Graph):
        graphs = Handmade({"app": graphs})
    return simulate(farm or a_farm(targets=tuple(graphs.graphs)), requests, profile, graphs, **options)


def ends(trace):
    """When each build ended, by build."""
    return dict(zip(trace.builds["build"].astype(int).tolist(), trace.builds["completed_s"].tolist(), strict=True))


def outcomes(trace, build=None):
    """[(step, outcome)] of a build (None: of all), in the order of the rows; steps of its graph only."""
    rows = zip(*(trace.steps[name] for name in ("build", "step", "outcome", "kind")), strict=True)
    return [
        (step, outcome)
        for of, step, outcome, kind in rows
        if build in (None, of) and "internal]" not in step and kind not in ("export", "overhead")
    ]
