"""Is the candidate that wins on real daemons the one that was predicted to win?

In: a row's candidates, made ready, and who replays them. Out: a `Decision`: both winners, both margins to the best of the others,
and the noise of the measured one. Replications and replays of all candidates face the same requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan

from sim.fit.validate import Subject, client_bytes, with_clients
from sim.fit.validation.errors import mean
from sim.fit.validation.replays import Replays
from sim.runs import Case, Progress, replicate
from sim.study.interval import Interval, t_interval
from sim.study.measures import measure
from sim.trace import Json, Trace


@dataclass(frozen=True, slots=True)
class Choice:
    """A candidate: its objective, predicted and measured. Noise is a replay's mean distance from the mean of the others."""

    label: str
    predicted: float
    measured: float
    noise: float


@dataclass(frozen=True, slots=True)
class Decision:
    """A row. Margins are how much worse the best of the others is than the winner, as shares of the winner's.

    `regret`: what following the prediction costs: the predicted winner's measured objective over the measured winner's, less 1.
    `is_clear`: the measured margin is larger than the noise of replays.
    """

    name: str
    objective: str
    choices: tuple[Choice, ...]
    predicted_winner: str
    measured_winner: str
    predicted_margin: float
    measured_margin: float
    measured_interval: Interval
    noise: float
    regret: float

    @property
    def agrees(self) -> bool:
        """The same winner."""
        return self.predicted_winner == self.measured_winner

    @property
    def is_clear(self) -> bool:
        """Whether the measured winner wins by more than noise."""
        return self.measured_margin > self.noise

    def to_json(self) -> dict[str, Json]:
        """Plain JSON."""
        return {
            "row": self.name,
            "objective": self.objective,
            "predicted_winner": self.predicted_winner,
            "measured_winner": self.measured_winner,
            "agrees": self.agrees,
            "is_clear": self.is_clear,
            "predicted_margin": self.predicted_margin,
            "measured_margin": self.measured_margin,
            "measured_interval": [self.measured_interval.low, self.measured_interval.high],
            "noise": self.noise,
            "regret": self.regret,
            "candidates": [
                {"label": one.label, "predicted": one.predicted, "measured": one.measured, "noise": one.noise}
                for one in self.choices
            ],
        }


def decisions(
    rows: Sequence[tuple[str, Sequence[Case]]],
    replays: Replays,
    *,
    replications: int,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Decision]:
    """Replay and simulate the candidates of all rows; replays are interleaved over rows and candidates."""
    labels = [
        replace(case, label=f"{name}-{number}") for name, of_row in rows for number, case in enumerate(of_row, start=1)
    ]
    traces = [measured.traces for measured in replays.all(labels, progress)]
    cases = _on_that_machine(labels, traces)
    told = replicate(cases, measure, replications=replications, seed=replays.seed, workers=workers)
    found, at = [], 0
    for name, of_row in rows:
        here = slice(at, at + len(of_row))
        objective = of_row[0].scenario.objective or "mean_duration"
        predicted = [[run[objective] for run in runs] for runs in told[here]]
        seen = [[measure(trace)[objective] for trace in of_case] for of_case in traces[here]]
        found.append(decide(name, objective, [case.label for case in of_row], predicted, seen))
        at += len(of_row)
    return found


def _on_that_machine(cases: Sequence[Case], traces: Sequence[list[Trace]]) -> list[Case]:
    """The cases where clients run beside the daemons, as in replays; what they take, the other candidates' replays say."""
    subjects = [Subject(case, (), traces=tuple(some)) for case, some in zip(cases, traces, strict=True)]
    received_bytes = {case.label: client_bytes(case) for case in cases}
    return [with_clients(one, subjects, None, received_bytes).case for one in subjects]


def decide(
    name: str,
    objective: str,
    labels: Sequence[str],
    predicted: Sequence[Sequence[float]],
    measured: Sequence[Sequence[float]],
) -> Decision:
    """Compare the winners; the lowest mean wins. `measured[candidate][round]`: rounds are interleaved, so they are paired."""
    told, seen = ([mean(values) for values in side] for side in (predicted, measured))
    chosen, best = told.index(min(told)), seen.index(min(seen))
    rival = min((at for at in range(len(labels)) if at != best), key=seen.__getitem__)
    gaps = [other - own for other, own in zip(measured[rival], measured[best], strict=True)]
    interval = t_interval(gaps)
    return Decision(
        name=name,
        objective=objective,
        choices=tuple(
            Choice(label, told[at], seen[at], _noise(measured[at]) / seen[best]) for at, label in enumerate(labels)
        ),
        predicted_winner=labels[chosen],
        measured_winner=labels[best],
        predicted_margin=min(told[at] for at in range(len(labels)) if at != chosen) / told[chosen] - 1,
        measured_margin=seen[rival] / seen[best] - 1,
        measured_interval=Interval(*(value / seen[best] for value in (interval.mean, interval.low, interval.high))),
        noise=_noise(gaps) / seen[best],
        regret=seen[chosen] / seen[best] - 1,
    )


def _noise(values: Sequence[float]) -> float:
    n, total = len(values), sum(values)
    return sum(abs(one - (total - one) / (n - 1)) for one in values) / n if n > 1 else nan
