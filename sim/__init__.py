"""buildcast: forecast a container-build farm before you buy it. What a notebook uses is loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_LAZY = {
    "load": "sim.scenario",
    "prepare": "sim.runs",
    "simulate": "sim.runs",
    "replay": "sim.runs",
    "compare": "sim.study.compare",
    "matrix": "sim.study.matrix",
    "read_trace": "sim.trace",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
