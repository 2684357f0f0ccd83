"""Profiles for scenarios that were not fitted on: the corpus in folds, the daemon's constants from all others.

In: subjects with whole traces of synthetic loads, whose steps' costs are known. Out: for each subject a profile that has seen no
trace of its fold (simulators.md 3: split scenarios, not runs). One fit a fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import log
from statistics import stdev

from sim.fit.calibrate import Calibration, Measured, calibrate, with_constants
from sim.fit.constants_fit import MANY_FILES
from sim.fit.validate import DOCUMENTED, Subject
from sim.profile import DAEMON, Profile
from sim.profile.cost import Daemon
from sim.runs import Case
from sim.trace import Trace

FOLDS = 4


@dataclass(slots=True)
class HeldOut:
    """`HeldOut(subjects)(subject)` is the profile for it. Neighbours of the list (of one kind) fall into different folds.

    `start`: constants to begin with, as a suite of builds measured them on this machine; they stand where traces say nothing.
    """

    subjects: Sequence[Subject]
    folds: int = FOLDS
    start: Daemon = DAEMON
    _fits: dict[int, Calibration] = field(default_factory=dict)

    def __call__(self, subject: Subject) -> Profile:
        """The subject's own rules, behind them what the other folds say."""
        of_fold = self._fold(subject)
        if of_fold not in self._fits:
            self._fits[of_fold] = calibrate(self._measured(of_fold), self.start, costs_known=True)
        found = self._fits[of_fold]
        profile = found.profile(subject.case.scenario.costs).with_daemon(with_constants(self.start, found.constants))
        # The traces know the cost of their steps in CPU time: how the cores' speed varies, the burns beside them say.
        errors = {**dict(DOCUMENTED.errors), **dict(profile.variation.errors)}
        return profile.varying(
            replace(profile.variation, core=self._core_spread(of_fold), errors=tuple(errors.items()))
        )

    def _core_spread(self, fold: int) -> float:
        burns = [log(one) for other in self.subjects if self._fold(other) != fold for one in other.burn_s]
        return stdev(burns) if len(burns) > FOLDS else DOCUMENTED.core

    def told(self) -> str:
        """What a report says of it."""
        start = "" if self.start == DAEMON else ", from what a suite of builds measured"
        return (
            f"the daemon's constants fitted on the scenarios of the other {self.folds - 1} of {self.folds} folds{start}"
        )

    def _fold(self, subject: Subject) -> int:
        names = [one.case.label for one in self.subjects]
        if subject.case.label not in names:  # what a search has found is in no fold
            return 0
        return names.index(subject.case.label) % self.folds

    def _measured(self, fold: int) -> list[Measured]:
        return [
            Measured.of(
                trace,
                where=other.case.label,
                rules=other.case.scenario.costs,
                has_few_files=has_few_files(other.case),
            )
            for other in self.subjects
            if self._fold(other) != fold and other.found == "corpus"
            for trace in _quiet(other)[:1]
        ]


def can_hold_out(subjects: Sequence[Subject]) -> bool:
    """Whether there is enough to fit on: traces of synthetic loads on a quiet machine, of two scenarios a fold at least."""
    corpus = [one for one in subjects if one.found == "corpus"]
    usable = [one for one in corpus if one.cause == "scheduling" and _quiet(one)]
    return len(usable) >= 2 * FOLDS and all(one.cause == "scheduling" for one in corpus)


def has_few_files(case: Case) -> bool:
    """Whether no context of its targets has so many files that their number shows in how long it takes."""
    graphs = [case.graphs.graph(target) for target in case.farm.projects]
    return all(len(context.files) <= MANY_FILES for graph in graphs for context in graph.contexts.values())


def _quiet(subject: Subject) -> list[Trace]:
    """Its traces that can be trusted: a busy machine makes everything look costly."""
    return [trace for trace in subject.traces if trace.meta.machine.get("busy") is not True]
