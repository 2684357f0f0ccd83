"""Runs: a scenario made ready, simulated once or many times, in one process or over many.

In: scenarios (candidates are the same scenario with other settings), a root seed, a number of replications. Out: traces, or
what `measure` makes of each, in order of (candidate, replication): the same for any number of workers. In a replication
all candidates face the same requests and the same costs (common random numbers).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from math import inf
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sim import __version__
from sim.graph import Graphs, GraphSpec, TargetSpec, load_graphs
from sim.model.simulate import simulate as simulate_requests
from sim.profile import Profile
from sim.scenario import Scenario, load, resolve_farm
from sim.scenario.farm import Farm
from sim.trace import Json, Meta, Prices, Trace
from sim.workload import Request, draw

if TYPE_CHECKING:
    from sim.real.replay import Replayed, Settings

T = TypeVar("T")
Say = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario with everything that simulating it needs; it can be sent to another process."""

    label: str
    scenario: Scenario
    graphs: Graphs
    profile: Profile
    farm: Farm

    @property
    def workload_key(self) -> str:
        """Equal for cases whose requests are the same at the same seed."""
        drawn_from = {"workload", "edits", "start", "horizon", "requests"}
        return sha256(self.scenario.model_dump_json(include=drawn_from).encode()).hexdigest()


def graph_spec(scenario: Scenario) -> GraphSpec:
    """What `sim.graph` needs to know of a scenario."""
    platforms = tuple(scenario.farm.platforms or ()) or ("linux/amd64",)
    targets = {
        name: TargetSpec(one.dockerfile, one.context, one.target or "", one.args, one.platforms)
        for name, one in (scenario.targets or {}).items()
    }
    jobs = [job for entry in scenario.workload for job in entry.jobs]
    return GraphSpec(
        folder=scenario.folder,
        file=scenario.path.name,
        bake=scenario.bake,
        targets=targets,
        args_variants=tuple(dict.fromkeys(tuple(sorted(job.args.items())) for job in jobs)),
        platforms=platforms,
        places={
            name: scenario.where("workload", at, "build")
            for at, entry in enumerate(scenario.workload)
            for job in entry.jobs
            for name in job.build
        },
        asked=tuple(dict.fromkeys(name for job in jobs for name in job.build)) if scenario.bake else (),
    )


def to_stderr(text: str) -> None:
    """Messages go where data does not."""
    print(text, file=sys.stderr, flush=True)


def prepare(
    scenario: Scenario, *, label: str = "", graphs: Graphs | None = None, refresh: bool = False, say: Say = to_stderr
) -> Case:
    """Read the lock file (or make it), resolve the farm, collect the costs. `graphs`: another candidate's, if they are equal.

    Raises InputError for what does not fit together, EnvironmentMissing when a lock file must be made without Go.
    """
    graphs = graphs or load_graphs(graph_spec(scenario), refresh=refresh, say=say)
    for name in (name for entry in scenario.workload for job in entry.jobs for name in job.build):
        graphs.asked(name)
    farm = resolve_farm(scenario, graphs.targets, graphs.project_ids)
    file = scenario.folder / scenario.profile if scenario.profile else None
    return Case(label or scenario.name, scenario, graphs, Profile.of(scenario.costs, file), farm)


def seeds(root: int, replication: int) -> tuple[int, int]:
    """The seeds of a replication: for its requests, and for costs and chance on the farm."""
    requests, farm = np.random.SeedSequence(root, spawn_key=(replication,)).generate_state(2)
    return int(requests), int(farm)


def requests_of(case: Case, seed: int, replication: int = 0) -> list[Request]:
    """The requests of a replication."""
    return draw(case.scenario, case.graphs, seeds(seed, replication)[0])


def simulate_case(
    case: Case,
    *,
    seed: int = 1,
    replication: int = 0,
    requests: Sequence[Request] | None = None,
    steps: bool = True,
    samples_s: float | None = None,
) -> Trace:
    """One replication. `samples_s`: a row of samples a running runner that often."""
    scenario = case.scenario
    given = requests if requests is not None else requests_of(case, seed, replication)
    return simulate_requests(
        case.farm,
        given,
        case.profile,
        case.graphs,
        seed=seeds(seed, replication)[1],
        meta=meta_of(case, seed, replication),
        steps=steps,
        horizon_s=scenario.horizon or inf,
        samples_s=samples_s,
    )


def replay_case(
    case: Case,
    *,
    seed: int = 1,
    replication: int = 0,
    requests: Sequence[Request] | None = None,
    settings: Settings | None = None,
    say: Say = to_stderr,
    progress: Progress = lambda done, total: None,
) -> Replayed:
    """One replication on real daemons: the same requests, the same farm, and a trace of the same form."""
    from sim.real.replay import Settings, replay  # nobody else needs daemons

    return replay(
        case.farm,
        requests if requests is not None else requests_of(case, seed, replication),
        case.profile,
        case.graphs,
        spec=graph_spec(case.scenario),
        seed=seeds(seed, replication)[1],
        meta=meta_of(case, seed, replication),
        horizon_s=case.scenario.horizon or inf,
        settings=settings or Settings(),
        say=say,
        progress=progress,
    )


def simulate(given: Case | Scenario | str | Path, *, seed: int = 1, replication: int = 0) -> Trace:
    """A run of a scenario (a file, a loaded one, or one made ready): what a notebook starts with."""
    if isinstance(given, str | Path):
        given = load(given)
    case = given if isinstance(given, Case) else prepare(given)
    return simulate_case(case, seed=seed, replication=replication)


def replay(given: Case | Scenario | str | Path, *, seed: int = 1, settings: Settings | None = None) -> Trace:
    """A run of a scenario on real daemons. What ends it early (^C, a dead daemon) is raised."""
    if isinstance(given, str | Path):
        given = load(given)
    done = replay_case(given if isinstance(given, Case) else prepare(given), seed=seed, settings=settings)
    if done.stopped is not None:
        raise done.stopped
    return done.trace


def meta_of(case: Case, seed: int, replication: int = 0) -> Meta:
    """What a trace of this case says of itself."""
    scenario, farm = case.scenario, case.farm
    resolved: dict[str, Json] = {
        "file": scenario.path.name,
        "sha256": scenario.text_sha256,
        "farm": asdict(farm),
        "projects": dict(farm.projects),
        "root_seed": seed,
        "replication": replication,
    }
    return Meta(
        source="simulated",
        name=case.label,
        scenario=resolved,
        prices=Prices.of(farm),
        profile=scenario.profile or "priors",
        versions={"buildcast": __version__, "python": sys.version.split()[0]},
        horizon_s=scenario.horizon,
        warmup_s=scenario.warmup,
    )


def replicate(
    cases: Sequence[Case],
    measure: Callable[[Trace], T],
    *,
    replications: int,
    seed: int = 1,
    workers: int | None = None,
    executor: Executor | None = None,
    steps: bool = True,
    samples_s: float | None = None,
    progress: Progress | None = None,
) -> list[list[T]]:
    """`measure` of every case in every replication: one list a case, in order of replication.

    `measure` must be a module's function (it is sent to the workers). `workers` 1 runs here; default: the machine's
    cores. Any `concurrent.futures.Executor` may be given instead (dask's `client.get_executor()`, loky).
    """
    blob = pickle.dumps(list(cases))
    tasks = [(case, replication) for replication in range(replications) for case in range(len(cases))]
    found: dict[tuple[int, int], T] = {}

    def keep(place: tuple[int, int], value: T) -> None:
        found[place] = value
        if progress is not None:
            progress(len(found), len(tasks))

    workers = workers or len(os.sched_getaffinity(0))
    if executor is None and (workers == 1 or len(tasks) == 1):
        for case, replication in tasks:
            keep((case, replication), _work(blob, case, replication, seed, steps, samples_s, measure))
    elif executor is not None:
        _collect(executor, blob, tasks, seed, steps, samples_s, measure, keep)
    else:
        with _workers(min(workers, len(tasks)), blob) as pool:
            _collect(pool, b"", tasks, seed, steps, samples_s, measure, keep)
    return [[found[case, replication] for replication in range(replications)] for case in range(len(cases))]


def _collect(
    executor: Executor,
    blob: bytes,
    tasks: Sequence[tuple[int, int]],
    seed: int,
    steps: bool,
    samples_s: float | None,
    measure: Callable[[Trace], T],
    keep: Callable[[tuple[int, int], T], None],
) -> None:
    waiting: dict[Future[T], tuple[int, int]] = {}
    try:
        with _without_interrupts():
            for case, replication in tasks:
                waiting[executor.submit(_work, blob, case, replication, seed, steps, samples_s, measure)] = (
                    case,
                    replication,
                )
        for future in as_completed(waiting):
            keep(waiting[future], future.result())
    except BaseException:
        # Our own pool is ended as a whole; a future that is cancelled then would raise in the pool's thread.
        if blob:
            for future in waiting:
                future.cancel()
        raise


@contextlib.contextmanager
def _workers(number: int, blob: bytes) -> Iterator[ProcessPoolExecutor]:
    """Processes that know the cases. They are ended at once when we are interrupted, and end themselves when we are gone.

    The cases are not sent with every task: a pool whose worker dies while its pipe is full hangs (python/cpython#94777).
    """
    before = set(multiprocessing.active_children())
    # Spawned, not forked: the parent may have threads (pyarrow's, a notebook's).
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(number, context, initializer=_begin_worker, initargs=(blob,))
    try:
        yield pool
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """^C waits until the end. Processes that begin meanwhile never see it, for they inherit the blocked signal.

    The handler is needed too: another thread may take the signal that this one blocks.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if came:
        raise KeyboardInterrupt


_worker_blob = b""


def _begin_worker(blob: bytes) -> None:
    """In a worker: remember the cases, leave ^C to the parent, and end when it is gone, however that came."""
    global _worker_blob
    _worker_blob = blob
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@lru_cache(maxsize=4)
def _cases(blob: bytes) -> list[Case]:
    cases: list[Case] = pickle.loads(blob)
    return cases


@lru_cache(maxsize=4)
def _requests(blob: bytes, workload_key: str, case: int, seed: int, replication: int) -> list[Request]:
    return requests_of(_cases(blob)[case], seed, replication)


def _work(
    blob: bytes,
    case: int,
    replication: int,
    seed: int,
    steps: bool,
    samples_s: float | None,
    measure: Callable[[Trace], T],
) -> T:
    blob = blob or _worker_blob
    cases = _cases(blob)
    key = cases[case].workload_key
    first = next(at for at, one in enumerate(cases) if one.workload_key == key)
    requests = _requests(blob, key, first, seed, replication)
    return measure(
        simulate_case(
            cases[case], seed=seed, replication=replication, requests=requests, steps=steps, samples_s=samples_s
        )
    )
