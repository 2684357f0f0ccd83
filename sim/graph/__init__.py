"""What is built: graphs of steps as BuildKit sees them, frozen in a lock file beside the scenario."""

from sim.graph.graphs import Graphs, load_graphs
from sim.graph.read import cut
from sim.graph.spec import GraphSpec, TargetSpec
from sim.graph.types import CacheMount, Context, Graph, Input, Link, Step

__all__ = [
    "CacheMount",
    "Context",
    "Graph",
    "GraphSpec",
    "Graphs",
    "Input",
    "Link",
    "Step",
    "TargetSpec",
    "cut",
    "load_graphs",
]
