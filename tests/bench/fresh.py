"""One measured run, in a fresh process of its own that takes its own CPU time.

In: what runs, on which work, of which size. Out: numbers by name, `cpu_s` among them. Imports and the drawing of the work
are not timed, but for `month`, whose `whole_s` is everything that the process did.
"""

from __future__ import annotations

import cProfile
import gc
import importlib
import json
import os
import pstats
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sim.errors import BuildcastError

ROOT = Path(__file__).resolve().parents[2]
IMPLEMENTATIONS = ("naive", "heap_loop", "ours")
BARE = {"c": "c", "b64": "b"}
"""Bare works: their name here, and the function (`run_work_*`) that runs them."""

MONTHS = {"monorepo-bake": (1, 8), "frequent-small": (3, 3)}
"""Scenarios of `month`, with requests and builds a push: a bake of four targets on two platforms, three jobs."""

BUILDS_A_DAY = 1000
ENOUGH_S = 0.3
"""A fast run repeats its work until it has taken this much CPU time, so that the clock and warm-up do not count."""

Answer = dict[str, float]


class BenchFailed(BuildcastError):
    """The bench found the model wrong or too slow. Exit code 1."""

    exit_code = 1


def in_fresh_process(what: str, work: str, size: int, seed: int, compiled: Path | None = None) -> Answer:
    """Run `run_once` in a new Python, on the compiled model where one is given; BenchFailed with its last line when it fails."""
    given = ["--one", what, work, "--size", str(size), "--seed", str(seed)]
    command = [sys.executable, str(Path(__file__).with_name("__main__.py")), *given]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    if compiled is not None:
        environment["PYTHONPATH"] = str(compiled.absolute())
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        hint = f"run it alone: python -m tests.bench {' '.join(given)}"
        raise BenchFailed(last, where=f"{what}, {work}", hint=hint)
    answer: Answer = json.loads(done.stdout)
    return answer


def run_once(what: str, work: str, size: int, seed: int) -> Answer:
    """Inside the fresh process."""
    if what == "month":
        return _month(work, size, seed)
    if what == "full":
        return _trace(size, seed) if work == "trace" else _full(size, seed)
    return _bare(what, work, size, seed)


def _bare(implementation: str, work_name: str, size: int, seed: int) -> Answer:
    """CPU seconds of one pass of an implementation over a bare work."""
    from tests.bench.work import work_b, work_c

    module = importlib.import_module(f"tests.bench.{implementation}")
    work = work_c(size, seed) if work_name == "c" else work_b(int(work_name[1:]), size, seed)
    run: Callable[[object], float] = getattr(module, f"run_work_{BARE[work_name]}")
    _freeze()
    passes = 0
    began_s = time.process_time()
    while not passes or time.process_time() - began_s < ENOUGH_S:
        mean_response_s = run(work)
        passes += 1
    return {"cpu_s": (time.process_time() - began_s) / passes, "mean_response_s": mean_response_s}


def _full(size: int, seed: int) -> Answer:
    """CPU seconds of one run with everything on, its trace included; the process's peak RSS; what executed."""
    from tests.bench import full

    work = full.full_work(size, seed)
    _freeze()
    began_s = time.process_time()
    trace = full.run_full(work)
    cpu_s = time.process_time() - began_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_bytes = peak if sys.platform == "darwin" else peak * 1024
    found = full.mix(trace)
    if easy := full.too_easy(found):
        raise BenchFailed(
            easy, where=f"full work of {size} builds", hint="it would say little; mend tests/bench/full.py"
        )
    return {"cpu_s": cpu_s, "rss_mb": peak_bytes / 1e6, **found}


def _trace(size: int, seed: int) -> Answer:
    """CPU seconds of the same run with the trace on, off, and with a recorder that does nothing: the least of four."""
    from sim.model.record import Recorder
    from tests.bench import full

    work = full.full_work(size, seed)
    variants = {"on": (True, Recorder), "off": (False, Recorder), "deaf": (False, full.Deaf)}
    full.run_full(work)
    _freeze()
    least_s = dict.fromkeys(variants, float("inf"))
    for name in [*variants, *reversed(variants)] * 2:
        steps, recorder = variants[name]
        began_s = time.process_time()
        full.run_full(work, steps=steps, recorder=recorder)
        least_s[name] = min(least_s[name], time.process_time() - began_s)
    return least_s


def _month(name: str, days: int, seed: int) -> Answer:
    """CPU seconds of a scenario for `days` days, through the path of `buildcast run`: `simulate` alone, and everything."""
    from sim.metrics import summarise
    from sim.runs import prepare, requests_of, simulate_case
    from sim.scenario import load

    requests_each, builds_each = MONTHS[name]
    sets = [
        f"workload.0.arrivals.rate={BUILDS_A_DAY / builds_each / 24}/h",
        "workload.0.arrivals.pattern=weekly",
        f"requests={BUILDS_A_DAY * days // builds_each * requests_each}",
    ]
    case = prepare(load(ROOT / "scenarios" / name, sets))
    requests = requests_of(case, seed)
    began_s = time.process_time()
    trace = simulate_case(case, seed=seed, requests=requests)
    cpu_s = time.process_time() - began_s
    summarise(trace)
    return {"cpu_s": cpu_s, "whole_s": time.process_time(), "builds": len(trace.builds), "requests": len(requests)}


def profile(size: int, seed: int) -> None:
    """Print where a full run's time goes: the 25 functions with the most time of their own."""
    from tests.bench import full

    work = full.full_work(size, seed)
    profiler = cProfile.Profile()
    profiler.enable()
    full.run_full(work)
    profiler.disable()
    pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(25)


def _freeze() -> None:
    """The work's own objects are no part of what is measured."""
    gc.collect()
    gc.freeze()
