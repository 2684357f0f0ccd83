"""A daemon's constants from measured traces whose step costs are known: what BuildKit itself takes beside them.

In: `Known` schedules (synthetic loads, or steps fitted elsewhere). Out: `ConstantFit`s with the spread of single executions and
the uncertainty of the value. Least squares over the logarithms of the constants (Levenberg-Marquardt), weights after
Huber, with a weak pull to the documented values, which alone decides where traces say nothing. Uncertainty: leave one
scenario out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from sim.fit.measured.executions import Execution
from sim.fit.measured.schedule import Schedule
from sim.profile.constants import CONSTANTS
from sim.profile.cost import Cost, Daemon
from sim.profile.variation import TIMES

Vector = NDArray[np.float64]

# What a vertex's duration depends on, by its kind. The others (bake, exports, registry) need builds that show them.
FITTED = (
    "context_cpu_s",
    "context_file_cpu_s",
    "context_byte_cpu_s",
    "run_cpu_s",
    "run_cores",
    "copy_cpu_s",
    "copy_file_cpu_s",
    "write_byte_cpu_s",
    "sync_byte_s",
    "sync_latency_s",
    "crowded_share",
    "merge_cpu_s",
    "client_latency_s",
    "open_cpu_s",
    "definition_cpu_s",
    "metadata_latency_s",
    "source_cpu_s",
    "dockerignore_cpu_s",
    "tail_latency_s",
    "tail_cpu_s",
)
_SHOWN_BY = {
    "exec": ("run_cpu_s", "run_cores", "sync_latency_s"),
    "copy": ("copy_cpu_s", "sync_latency_s", "crowded_share"),
    "context": ("context_cpu_s", "crowded_share"),
    "merge": ("merge_cpu_s",),
    "source": ("source_cpu_s", "crowded_share"),
    "opening": ("open_cpu_s", "client_latency_s", "crowded_share"),
    "tail": ("tail_cpu_s", "tail_latency_s", "crowded_share"),
    "bake tail": ("tail_cpu_s", "tail_latency_s", "crowded_share"),
}
LOADS = {
    "definition_cpu_s": "load build definition",
    "metadata_latency_s": "load metadata",
    "dockerignore_cpu_s": "load .dockerignore",
}
COUNTED = {"definition_cpu_s": 0.13, "open_cpu_s": 0.32, "dockerignore_cpu_s": 0.10, "tail_cpu_s": 0.45}
"""What a control group counts where nothing else runs, and durations hardly tell from waiting: shares of a cached build's work.

`tests/fit/daemon_parts.py` prints them: buildkitd 0.34.2, twice 30 builds, the counter every 0.3 ms: 3.1, 7.7, 2.2 and 10.6 of
24 core-ms, and nothing before the definition is asked for. A tail of 18 ms and an opening of 10 are mostly waiting."""
COUNTED_ERROR = 0.1  # of a suite's: 15 builds that differ by a seventh to a quarter, and the shares
_MEDIAN_ERROR = 1.2533  # sd of a median over that of a mean, normal law
_NOTHING = ("",)
MANY_FILES, _MANY_BYTES = 100, 1e6  # fewer do not show beside the rest
# Where the search begins if the documented value stands for "nobody measured it": there the pull to it is weak.
_BEGIN = {
    "sync_byte_s": 1e-9,
    "sync_latency_s": 5e-3,
    "crowded_share": 0.7,
    "open_cpu_s": 5e-3,
    "tail_latency_s": 5e-3,
    "source_cpu_s": 1e-2,
}
_UNMEASURED = 1.5  # the spread that such a value counts with
_ENOUGH = 5  # executions to tell a spread from
_SHORT_S, _SHARE = 0.015, 0.03  # how far one duration may be off: rounding and scheduling, and a share (13.3)
_SHOWN = 0.1  # of a duration, three times that share: a part which is smaller does not show
_COUNTED_S = 0.04  # core-seconds that a replay's daemons may take more or less (corpus)
_HUBER = 1.5  # of these
_PULL = 1.0  # the documented value counts as one execution whose logarithm has the constant's own spread
_STEP = 0.05  # of a logarithm, for slopes
_ROUNDS = 25
_FIRST_DAMPING = 1e-2


@dataclass(frozen=True, slots=True)
class Known:
    """A schedule and the costs of all its executions, but for the daemon's constants.

    `files` of each COPY and context; () where nobody knows: then contexts and what is copied of them tell nothing, and the
    constants for a file are not looked for.
    """

    schedule: Schedule
    costs: tuple[Cost, ...]
    files: tuple[int, ...] = ()

    def files_of(self, at: int) -> int:
        """How many files an execution copied or sent."""
        return self.files[at] if self.files else 0

    def tells(self, at: int) -> bool:
        """Whether an execution's length says something: it ran to its end, and what it moved is known."""
        one = self.schedule.executions[at]
        if not one.is_whole or one.kind in ("export", "digest"):
            return False
        if one.kind == "source":
            return self.costs[at].origin == "rule"
        return bool(self.files) or not (one.kind == "context" or (one.kind == "copy" and "--from=" not in one.name))


@dataclass(frozen=True, slots=True)
class ConstantFit:
    """A constant. `spread`: sigma of single executions around the model (log scale); `error`: of the value; `n` executions."""

    name: str
    value: float
    spread: float
    error: float
    n: int


def counted(daemon: Daemon) -> list[str]:
    """What a suite has counted, that is, found to be other than documented."""
    return [name for name in (*COUNTED, "context_cpu_s") if getattr(daemon, name) != CONSTANTS[name].value]


def fit_constants(
    known: Sequence[Known], daemon: Daemon, names: Sequence[str], given: Sequence[str] = ()
) -> list[ConstantFit]:
    """The constants that these schedules show; one that none of them shows is left out. `given`: the daemon has their values."""
    names = [name for name in names if name not in given]
    counts = {
        name: sum(
            part.tells(at) and _shows(name, one, part.files_of(at), part.costs[at].write_bytes)
            for part in known
            for at, one in enumerate(part.schedule.executions)
        )
        for name in (*names, *given)
    }
    shown = [name for name in names if counts[name]]
    if not shown:
        return []
    start = _documented(shown)
    whole = _minimum(known, daemon, shown, start)
    left_out = []
    for scenario in dict.fromkeys(part.schedule.observation.name for part in known):
        others = [part for part in known if part.schedule.observation.name != scenario]
        left_out.append(_minimum(others, daemon, shown, whole) if others else whole)
    after = applied(daemon, shown, whole)
    fitted = [replace(part, costs=tuple(recosted(part, daemon, after))) for part in known]
    spreads = single_spreads(fitted, after, [*shown, *given])
    found = []
    for at, name in enumerate(shown):
        without = np.array([one[at] for one in left_out])
        k = len(without)
        # Jackknife, no more than what nobody measured counts with; one or two scenarios say nothing of the next one, so the
        # documented spread stands.
        jackknife = float(np.sqrt((k - 1) / k * np.sum((without - without.mean()) ** 2)))
        error = min(jackknife, _UNMEASURED) if k > 2 else CONSTANTS[name].spread
        found.append(ConstantFit(name, float(np.exp(whole[at])), spreads[name], error, counts[name]))
    found += [
        ConstantFit(name, getattr(daemon, name), spreads[name], COUNTED_ERROR, counts[name])
        for name in given
        if counts[name]
    ]
    return found


def applied(daemon: Daemon, names: Sequence[str], logs: Vector) -> Daemon:
    """A daemon with other constants; `recosted` takes care of the costs that hold some."""
    values: dict[str, float] = {name: float(np.exp(value)) for name, value in zip(names, logs, strict=True)}
    return replace(daemon, **values)  # type: ignore[arg-type]


def residuals(known: Sequence[Known], before: Daemon, daemon: Daemon) -> list[Vector]:
    """Measured minus simulated duration of each execution that ran to its end, in units of how far one may be off; behind them
    the core-seconds of all, where a cgroup counted them: durations alone cannot tell work from waiting.
    """
    found = []
    for part in known:
        executions = part.schedule.executions
        costs = recosted(part, before, daemon)
        took_s = np.array([one.took_s for one in executions])
        spent = part.schedule.simulate(costs, daemon)
        counts = np.array([part.tells(at) for at in range(len(executions))])
        rows = np.where(counts, (took_s - spent.took_s) / np.hypot(_SHORT_S, _SHARE * took_s), 0.0)
        counted_s = part.schedule.observation.cpu_s
        if counted_s is not None:
            rows = np.append(rows, (counted_s - spent.cpu_s) / _COUNTED_S)
        found.append(rows)
    return found


def recosted(part: Known, before: Daemon, daemon: Daemon) -> list[Cost]:
    """The costs with other constants: a `Cost` holds those of COPY, context and merge itself."""
    found = []
    for at, (one, cost) in enumerate(zip(part.schedule.executions, part.costs, strict=True)):
        if one.kind in ("copy", "context", "merge"):
            cpu_s = cost.cpu_s + _own_s(one, daemon, part.files_of(at)) - _own_s(one, before, part.files_of(at))
            threads = daemon.copy_cores if one.kind == "copy" else cost.threads
            cost = replace(cost, cpu_s=max(0.0, cpu_s), threads=threads)
        found.append(cost)
    return found


def _own_s(one: Execution, daemon: Daemon, files: int) -> float:
    """Core-seconds of a COPY, context or merge beside its bytes."""
    if one.kind == "copy":
        return daemon.copy_cpu_s + files * daemon.copy_file_cpu_s
    return daemon.context_cpu_s + files * daemon.context_file_cpu_s if one.kind == "context" else daemon.merge_cpu_s


def _documented(names: Sequence[str]) -> Vector:
    return np.array([log(_BEGIN.get(name, CONSTANTS[name].value)) for name in names])


def _minimum(known: Sequence[Known], daemon: Daemon, names: Sequence[str], start: Vector) -> Vector:
    documented = _documented(names)
    pull = np.array([_PULL / (_UNMEASURED if name in _BEGIN else max(CONSTANTS[name].spread, 0.1)) for name in names])

    def rows(logs: Vector) -> Vector:
        parts = residuals(known, daemon, applied(daemon, names, logs))
        return np.concatenate([*parts, pull * (logs - documented)])

    return least_squares(rows, start, robust=_HUBER)


def least_squares(rows: Callable[[Vector], Vector], start: Vector, *, robust: float) -> Vector:
    """Levenberg-Marquardt with Huber's weights and one-sided slopes; `rows` may have kinks."""
    point, damping = start.copy(), _FIRST_DAMPING
    value = rows(point)
    for _ in range(_ROUNDS):
        weights = np.sqrt(np.minimum(1.0, robust / np.maximum(np.abs(value), 1e-12)))
        slopes = (
            np.column_stack([(rows(point + _STEP * one) - value) / _STEP for one in np.eye(len(point))])
            * weights[:, None]
        )
        normal, right = slopes.T @ slopes, -slopes.T @ (weights * value)
        improved = False
        while damping < 1e6 and not improved:
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), right)
            step = np.clip(step, -1.0, 1.0)
            tried = rows(point + step)
            improved = _huber(tried, robust) < _huber(value, robust)
            damping = damping / 4 if improved else damping * 4
        if not improved:
            break
        gain = _huber(value, robust) - _huber(tried, robust)
        point, value = point + step, tried
        if gain < 1e-4 * _huber(value, robust) or float(np.max(np.abs(step))) < 1e-3:
            break
    return point


def _huber(value: Vector, robust: float) -> float:
    size = np.abs(value)
    return float(np.sum(np.where(size <= robust, size**2 / 2, robust * (size - robust / 2))))


def _shows(name: str, one: Execution, files: int, written_bytes: float) -> bool:
    """Whether an execution's duration depends on a constant."""
    if name == "context_byte_cpu_s":
        return one.kind == "context" and (one.bytes or 0.0) > _MANY_BYTES
    if name in ("copy_file_cpu_s", "context_file_cpu_s"):
        return files > MANY_FILES and name.startswith(one.kind)
    if name in ("write_byte_cpu_s", "sync_byte_s"):
        return one.kind in ("exec", "copy") and written_bytes > _MANY_BYTES
    if name in LOADS:
        return one.kind == "preamble" and LOADS[name] in one.name
    return name in _SHOWN_BY.get(one.kind, ())


def single_spreads(known: Sequence[Known], daemon: Daemon, names: Sequence[str]) -> dict[str, float]:
    """Sigma of single executions: how far the daemon's share of each is from the model's, in logarithms, robustly.

    Those of bytes, files and cores are not to be told from it: their documented spread stands.
    """
    ratios: dict[str, list[float]] = {name: [] for name in names}
    for part in known:
        spent = part.schedule.simulate(part.costs, daemon)
        for at, one in enumerate(part.schedule.executions):
            own_s = float(
                spent.daemon[at]
                if one.kind in ("exec", "preamble", "opening", "tail", "bake tail")
                else spent.took_s[at]
            )
            missed_s = one.took_s - float(spent.took_s[at])
            name = _SHOWN_BY.get(one.kind, _NOTHING)[0]
            # Beside a long command the daemon's share does not show.
            if name in ratios and part.tells(at) and own_s > _SHOWN * one.took_s and own_s + missed_s > 0.0:
                ratios[name].append(log((own_s + missed_s) / own_s))
    return {
        name: robust_sigma(found) if len(found) >= _ENOUGH else CONSTANTS[name].spread for name, found in ratios.items()
    }


def between_scenarios(known: Sequence[Known], daemon: Daemon, before: Daemon) -> tuple[float, int]:
    """Sigma of the daemon's time as a whole from one scenario to the next, what its constants do not explain; and of how many.

    Each has a factor of its own, by least squares over how long executions took, and a standard error; what the factors differ
    by beyond their errors is the sigma [DerSimonian, Laird 1986]. (0, 0): too few. What exports take is not known: they are left
    out.
    """
    parts = [part for part in known if all(one.kind != "export" for one in part.schedule.executions)]
    if len(parts) < _ENOUGH:
        return 0.0, 0
    factors, errors = np.array([_own_factor(part, daemon, before) for part in parts]).T
    weights = errors**-2
    total = float(weights.sum())
    scatter = float((weights * (factors - (weights * factors).sum() / total) ** 2).sum())
    square = (scatter - (len(parts) - 1)) / (total - float((weights**2).sum()) / total)
    return sqrt(max(0.0, square)), len(parts)


def _own_factor(part: Known, daemon: Daemon, before: Daemon) -> tuple[float, float]:
    """By what factor the daemon is slower in one scenario, and the standard error of that, as logarithms."""
    count = len(part.schedule.executions)

    def rows(logs: Vector) -> Vector:
        factor = float(np.exp(logs[0]))
        slower = {name: getattr(daemon, name) * factor for name in TIMES}
        return residuals([part], before, replace(daemon, **slower))[0][:count]

    best = least_squares(rows, np.zeros(1), robust=_HUBER)
    missed, slopes = rows(best), (rows(best + _STEP) - rows(best - _STEP)) / (2 * _STEP)
    weights = np.minimum(1.0, _HUBER / np.maximum(np.abs(missed), 1e-9))
    freedom = max(1, sum(part.tells(at) for at in range(count)) - 1)
    spread = max(1.0, float((weights * missed**2).sum()) / freedom)
    return float(best[0]), sqrt(spread / max(float((weights * slopes**2).sum()), 1e-9))


def median_fit(name: str, values: Sequence[float]) -> list[ConstantFit]:
    """The constant that measurements above 0 give by themselves; none where there are none."""
    kept = [one for one in values if one > 0.0]
    if not kept:
        return []
    sigma = robust_sigma([log(one) for one in kept])
    return [ConstantFit(name, float(np.median(kept)), sigma, _MEDIAN_ERROR * sigma / sqrt(len(kept)), len(kept))]


def robust_sigma(values: Sequence[float]) -> float:
    """Standard deviation by the median absolute deviation: 1.4826 MAD is sigma for a normal law."""
    array = np.array(values)
    return float(1.4826 * np.median(np.abs(array - np.median(array))))
