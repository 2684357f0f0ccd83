"""`buildcast check` and `buildcast graph`: look at a scenario before anything is simulated.

In: parsed arguments. Out: lines, JSON or Graphviz's dot on stdout.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from sim.cli.terminal import Progress, bold, json_text
from sim.errors import EnvironmentMissing, InputError
from sim.graph import Graph, Step
from sim.graph.show import critical_path, to_dot, to_json, tree, width
from sim.hide import hidden
from sim.profile.cost import Cost
from sim.report.numbers import count
from sim.report.tables import cut
from sim.runs import Case, Say, prepare
from sim.scenario import Farm, Scenario, describe, load, resolve_farm
from sim.trace import Json
from sim.units import format_duration

_NAME = 100
_WORTH_A_LINE = 0.002  # of the critical path: the eight COPYs of 6 ms are not what a person looks for


def check(args: argparse.Namespace) -> int:
    """Validate; print what will be simulated, or the schema."""
    if args.schema:
        from sim.scenario.json_schema import schema_text

        print(schema_text(), end="")
        return 0
    if args.scenario is None:
        raise InputError("no scenario is given", hint="write `buildcast check SCENARIO` or `buildcast check --schema`")
    with Progress("checking", quiet=args.quiet) as progress:
        scenario = load(args.scenario, args.sets)
        farm, notes = _farm(scenario, progress.say)
    lines = [*describe(scenario, farm), *notes]
    if args.json:
        kept = [line.removeprefix("note: ") for line in lines if line.startswith("note: ")]
        said = [line for line in lines if not line.startswith("note: ")]
        fields: dict[str, Json] = {"scenario": scenario.name, "file": str(scenario.path), "valid": True}
        print(json_text(fields | {"description": said, "notes": kept}))
    else:
        print("\n".join([bold(lines[0]), *lines[1:], "valid"]))
    return 0


def graph(args: argparse.Namespace) -> int:
    """Print the graphs of the targets asked for."""
    with Progress("reading the graphs", quiet=args.quiet) as progress:
        case = prepare(load(args.scenario, args.sets), refresh=args.lock, say=progress.say)
    asked = [args.target] if args.target is not None else list(case.graphs.targets)
    graphs = {target: case.graphs.graph(target) for target in case.graphs.closure(asked)}
    # A target that is asked for by name is shown alone: what it links to stands in its own graph.
    if args.target in graphs:
        graphs = {args.target: graphs[args.target]}
    if args.dot:
        print("\n".join(to_dot(_shown(case, one)) for one in graphs.values()))
    elif args.json:
        print(json_text({"targets": [_graph_json(case, one) for one in graphs.values()]}))
    else:
        seen = Counter(step.digest for one in graphs.values() for step in one.steps)
        shared = {digest for digest, times in seen.items() if times > 1}
        print("\n\n".join("\n".join(_graph_lines(case, one, shared)) for one in graphs.values()))
        if shared:
            print(f"\n+ marks {count(len(shared), 'step')} that several targets need: on one runner each runs once")
    return 0


def _farm(scenario: Scenario, say: Say) -> tuple[Farm, list[str]]:
    """The farm; the graphs are checked too, unless they need a tool that is not there."""
    try:
        return prepare(scenario, say=say).farm, []
    except EnvironmentMissing as error:
        if scenario.targets is None:
            raise
        return resolve_farm(scenario, list(scenario.targets), {}), [f"note: the Dockerfiles were not read: {error}"]


def _graph_lines(case: Case, graph: Graph, shared: set[str]) -> list[str]:
    seconds, path = _path(case, graph)
    text = tree(_shown(case, graph), shared)
    return [
        *(bold(line) if not line.startswith((" ", "│", "*", "+")) else line for line in text.splitlines()),
        f"{count(len(graph.steps), 'step')}, at most {width(graph)} at once; critical path on "
        f"{case.farm.runner.cpus:g} cpus, nothing cached: {format_duration(seconds)}",
        *(
            f"  {format_duration(took_s):>8}  {cut(name, _NAME)}"
            for name, took_s in path
            if took_s >= _WORTH_A_LINE * seconds
        ),
    ]


def _graph_json(case: Case, graph: Graph) -> dict[str, Json]:
    seconds, path = _path(case, graph)
    plain: dict[str, Json] = to_json(_shown(case, graph))  # type: ignore[assignment]
    steps: list[Json] = [{"step": name, "seconds": took_s} for name, took_s in path]
    plain.update({"width": width(graph), "critical_path": {"seconds": seconds, "steps": steps}})
    return plain


def _path(case: Case, graph: Graph) -> tuple[float, list[tuple[str, float]]]:
    """The critical path by steps' names; those that take no time are left out."""
    took_s = _alone_s(case, graph)
    seconds, path = critical_path(graph, took_s)
    shown = _shown(case, graph).steps
    steps = [(shown[at].name, took_s(graph.steps[at])) for at in path]
    return seconds, [(name, took) for name, took in steps if took >= 0.001]


def _shown(case: Case, graph: Graph) -> Graph:
    """The graph without values of build arguments in its names."""
    secrets = case.graphs.secrets(graph.target)
    return replace(graph, steps=tuple(replace(step, name=hidden(step.name, secrets)) for step in graph.steps))


def _alone_s(case: Case, graph: Graph) -> Callable[[Step], float]:
    """What a step takes alone on the farm's runner at its median cost."""
    costs: Sequence[Cost] = case.profile.costs(graph)
    found = {id(step): _seconds(case, step, cost) for step, cost in zip(graph.steps, costs, strict=True)}
    return lambda step: found[id(step)]


def _seconds(case: Case, step: Step, cost: Cost) -> float:
    """The phases of `sim.model.buildkit.phases` with nothing beside them."""
    daemon, runner = case.profile.daemon, case.farm.runner
    written = daemon.context_byte_cpu_s if step.kind == "context" else daemon.write_byte_cpu_s
    serial_s = cost.cpu_s * cost.serial
    slower = case.farm.platforms.get(step.platform, 1.0) if step.kind == "exec" else 1.0
    compute_s = serial_s + (cost.cpu_s - serial_s) / min(cost.threads, runner.cpus)
    return (
        (daemon.run_cpu_s / min(daemon.run_cores, runner.cpus) if step.kind == "exec" else 0.0)
        + cost.latency_s
        + cost.download_bytes / runner.network_bytes_per_s
        + cost.read_bytes / runner.disk_read_bytes_per_s
        + compute_s * slower
        + cost.write_bytes * (written + 1 / runner.disk_write_bytes_per_s)
    )
