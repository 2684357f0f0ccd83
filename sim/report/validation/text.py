"""A validation in words and tables: errors by class beside the noise floor, every scenario, what was wrong, the worst cases.

In: a `Validation`. Out: lines for a terminal, or of a Markdown page. Errors are percent of max(1 s, measured).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan

from sim.fit.validate import MAX_MIN, MEDIAN, PATH, SUM, Judged, Validation
from sim.fit.validation.errors import BAND, SHORTEST_S, ClassErrors, mean
from sim.report.numbers import count
from sim.report.tables import markdown, table

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], list[str]]

_WRONG = 12  # outcomes named; the rest is in the JSON
_CLASS_HEADER = (
    "class",
    "scenarios",
    "builds",
    "makespan",
    "bias",
    "floor",
    "beyond",
    "a build",
    "bias ",
    "floor ",
    "beyond ",
    "outcomes",
    "repeated",
    "settled",
    f"in {100 * BAND:.0f}% bands",
)
_CASE_HEADER = ("scenario", "class", "measured", "predicted", "error", "floor", MAX_MIN, "a build", "outcomes", "bands")


def validation_lines(found: Validation) -> list[str]:
    """For a terminal."""
    return [
        "Predicted beside measured",
        *("  " + line for line in table(_CLASS_HEADER, _classes(found))),
        "",
        *_sentences(found),
        "",
        *("  " + line for line in table(_CASE_HEADER, _cases(found.judged))),
        *_wrong(found, "  "),
    ]


def validation_markdown(found: Validation) -> list[str]:
    """A page. The command that made it stands first."""
    lines = ["# Predicted beside measured", ""]
    if found.command:
        lines += [f"Made by `{found.command}`.", ""]
    lines += [*_how(found), "", *markdown(_CLASS_HEADER, _classes(found)), ""]
    lines += [f"- {line}" for line in _sentences(found)]
    lines += [
        "",
        "## Simpler predictors",
        "",
        "Mean absolute error of the makespan.",
        "",
        *_references(found, markdown),
    ]
    searched = found.searched()
    if searched:
        lines += ["", "## Where it is worst", "", _SEARCHED, "", *markdown(_CASE_HEADER, _cases(searched)), ""]
        lines += [f"- {one.errors.name}: {one.subject.about}" for one in searched if one.subject.about]
    listed = [one for one in found.judged if one.subject.found == "corpus"]
    lines += ["", "## Every scenario", "", *markdown(_CASE_HEADER, _cases(listed))]
    wrong = _wrong(found, "- ")
    return [*lines, *(["", "## Outcomes that were wrong", "", *wrong[1:]] if wrong else [])]


_SEARCHED = (
    "A search over random scenarios that looks for large errors found these; they count for no mean above. The largest of many "
    "noisy errors is partly noise, so each was replayed again before it was written down."
)


def _how(found: Validation) -> list[str]:
    replays = max((one.errors.replays for one in found.judged), default=0)
    return [
        f"Predicted is the mean of {count(found.replications, 'replication')} (seed {found.seed}), measured the mean of "
        f"{count(replays, 'replay')} of the same requests on real BuildKit. Errors are shares of max({SHORTEST_S:g} s, "
        "measured); the floor is how far a replay is from the mean of the others; beyond is the error less the floor. Repeated "
        "is how often a step's outcome in one replay is that of another: builds that start at once race; settled is how many of "
        "those outcomes are right that all replays have in common. A band "
        f"should hold {100 * BAND:.0f} % of further replays of a build. Profile: {found.profile}"
        + (f", {found.held_out}." if found.held_out else "."),
        *(f"{note}." for note in found.notes),
    ]


def _classes(found: Validation) -> list[list[str]]:
    rows = [_class_row(one) for one in found.classes]
    return [*rows, _class_row(found.cost)] if found.cost is not None else rows


def _class_row(one: ClassErrors) -> list[str]:
    return [
        "true builds" if one.kind == "cost" else one.kind,
        str(one.cases),
        str(one.n),
        share(one.makespan_mape),
        share(one.makespan_bias, signed=True),
        share(one.noise_floor),
        share(one.makespan_excess, signed=True),
        share(one.build_mape),
        share(one.build_bias, signed=True),
        share(one.build_noise_floor),
        share(one.build_excess, signed=True),
        share(one.outcome_accuracy),
        share(one.outcome_repeated),
        share(one.settled_accuracy),
        share(one.coverage),
    ]


def _cases(judged: Sequence[Judged]) -> list[list[str]]:
    return [_case_row(one) for one in sorted(judged, key=lambda one: -abs(one.errors.makespan.error))]


def _case_row(one: Judged) -> list[str]:
    errors = one.errors
    seen = sum(score.runs for score in errors.builds)
    inside = sum(score.inside for score in errors.builds)
    mark = "*" if one.subject.notes else ""
    return [
        errors.name + mark,
        "true builds" if one.subject.cause == "cost" else errors.kind,
        f"{errors.makespan.measured_s:.2f} s",
        f"{errors.makespan.predicted_s:.2f} s",
        share(errors.makespan.error, signed=True),
        share(errors.makespan.noise),
        share(one.reference(MAX_MIN).makespan_error, signed=True),
        share(mean(abs(score.error) for score in errors.builds)),
        f"{errors.outcomes.right}/{errors.outcomes.total}",
        f"{inside}/{seen}",
    ]


def _sentences(found: Validation) -> list[str]:
    signs = found.signs
    lines = []
    if signs.better + signs.worse:
        verdict = f"p = {signs.p:.2g}" if signs.p >= 1e-4 else "p < 0.0001"
        lines.append(
            f"Against {MAX_MIN}: nearer in {signs.better}, farther in {signs.worse} of "
            f"{count(signs.better + signs.worse + signs.ties, 'scenario')} (paired sign test, one-sided: {verdict})."
        )
    if signs.beyond_floor:
        lines.append(f"Farther than {MAX_MIN} by more than the floor: {', '.join(signs.beyond_floor)}.")
    if any(one.outcome_at_best < 1.0 for one in found.classes):
        best = ", ".join(f"{share(one.outcome_at_best)} ({one.kind})" for one in found.classes)
        lines.append(f"Replays differ: no prediction could have more outcomes right than {best}.")
    unmatched = [
        f"{one.errors.name}: {', '.join(one.errors.unmatched)}" for one in found.judged if one.errors.unmatched
    ]
    if unmatched:
        lines.append(f"Builds that only one side has: {'; '.join(unmatched)}.")
    doubtful = sorted({f"{one.errors.name}: {note}" for one in found.judged for note in one.subject.notes})
    return lines + [f"* {note}." for note in doubtful]


def _references(found: Validation, drawn: Table) -> list[str]:
    header = ["class", "buildcast", MAX_MIN, SUM, PATH, MEDIAN]
    rows = [
        [
            one.kind,
            share(one.makespan_mape),
            *(share(found.reference_mape(one.kind, name)) for name in (MAX_MIN, SUM, PATH, MEDIAN)),
        ]
        for one in found.classes
    ]
    return drawn(header, rows)


def _wrong(found: Validation, before: str) -> list[str]:
    listed = [f"{one.errors.name}: {text}" for one in found.judged for text in one.errors.outcomes.wrong]
    if not listed:
        return []
    more = [f"{before}and {len(listed) - _WRONG} more"] if len(listed) > _WRONG else []
    return ["", *(f"{before}{line}" for line in listed[:_WRONG]), *more]


def share(value: float, *, signed: bool = False) -> str:
    """`1.23%`, `+0.40%`, `n/a`."""
    if isnan(value):
        return "n/a"
    return f"{100 * value:+.2f}%" if signed else f"{100 * value:.2f}%"
