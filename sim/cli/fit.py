"""`buildcast calibrate`, `validate` and `regress`: a profile from what was measured; the model against reality, and as it was.

In: parsed arguments. Out: tables or JSON on stdout; files where asked; exit code 1 when something has moved.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sim.cli.folder import check_folder
from sim.cli.study import listed
from sim.cli.terminal import Progress, bold, json_text
from sim.cli.verbs.flags import tls_of
from sim.errors import InputError, InputErrors
from sim.fit import regress as regression
from sim.fit.held_out import HeldOut, can_hold_out, has_few_files
from sim.fit.validate import Cause, Subject, Validation
from sim.fit.validate import validate as run_validation
from sim.fit.validation.decisions import decisions
from sim.fit.validation.observed import measured_runs, observe
from sim.fit.validation.replays import Measured, Replays
from sim.profile import DAEMON, Profile
from sim.runs import Case, prepare
from sim.scenario import load
from sim.study.compare import candidates
from sim.trace import Json, Trace, read_trace
from sim.units import format_share

if TYPE_CHECKING:
    from sim.fit.constants_fit import ConstantFit
    from sim.fit.suite.measure import Suite
    from sim.fit.suite.numbers import Seen as Number
    from sim.scenario.fields.costs import CostRule


def calibrate(args: argparse.Namespace) -> int:
    """Measure and fit; write the profile."""
    from sim.fit.calibrate import Measured as Known
    from sim.fit.calibrate import calibrate as run_calibration
    from sim.fit.calibrate import with_constants
    from sim.fit.suite.machine import description
    from sim.fit.suite.numbers import constants_of, seen
    from sim.fit.writing import calibration_lines, constants_in, fields_of, write_profile
    from sim.profile.file import read_profile

    if not args.trace and not args.suite:
        raise InputError("nothing to calibrate from", hint="give traces, or --suite to build and measure")
    if args.daemon and not args.suite:
        raise InputError(
            "--daemon is for --suite", hint="an existing daemon's builds are read by buildcast import --daemon"
        )
    if args.start and (args.suite or not args.trace):
        raise InputError("nothing begins with it: a suite measures anew", where="--start", hint="give traces to fit")
    check_folder(str(Path(args.out).parent))
    start = read_profile(Path(args.start)) if args.start else None
    with Progress("calibrating", quiet=args.quiet) as progress:
        known, traces = _known(args), _traces(args)
        for where in (where for where, trace in traces if trace.meta.machine.get("busy")):
            progress.say(f"{where}: the machine was busy when this was measured; what others took counts as the steps'")
        measured = []
        for where, trace in traces:
            rules, is_small = known(trace)
            measured.append(Known.of(trace, where=where, cpus=args.cpus, rules=rules, has_few_files=is_small))
        constants: list[ConstantFit] = constants_in(start) if start else []
        numbers: dict[str, Number] = {}
        if args.suite:
            suite, numbers = _suite(args, progress)
            constants = constants_of(suite, DAEMON)
            numbers |= seen(suite, with_constants(DAEMON, constants))
        daemon = start.applied_to(DAEMON) if start else DAEMON
        found = run_calibration(measured, daemon, suite=constants, costs_known=args.constants)
        fields = fields_of(
            found.constants,
            found.sources,
            found.steps,
            {**numbers, **found.seen},
            note=f"made by `{_command()}`",
            machine=description(),
        )
        if start and start.core_speed:
            fields.setdefault("core_speed", start.core_speed.model_dump(exclude_none=True))
        write_profile(fields, Path(args.out))
        progress.say(f"wrote {args.out}")
    lines = calibration_lines(found.constants, found.steps, found.executions, found.missed)
    print(json_text(fields) if args.json else "\n".join(_bold_first(lines)))
    return 0


def validate(args: argparse.Namespace) -> int:
    """Measure or read what was measured, predict, compare."""
    from sim.report.validation import validation_lines, write_validation

    check_folder(args.out)
    if args.start and (args.profile or args.decisions or args.as_is):
        hint = "leave it out, or --profile, --decisions and --as-is"
        raise InputError("nothing is fitted on other scenarios here", where="--start", hint=hint)
    if args.search and (args.measured is not None or args.decisions):
        hint = "leave it out, or --measured and --decisions"
        raise InputError("a search makes up scenarios and replays them", where="--search", hint=hint)
    start = Profile.of((), Path(args.start)).daemon if args.start else DAEMON
    if args.decisions:
        return _decisions(args)
    with Progress("validating", quiet=args.quiet) as progress, TemporaryDirectory(prefix="buildcast-search-") as work:
        subjects = _subjects(args, progress)
        held_out = HeldOut(subjects, start=start) if not args.profile and can_hold_out(subjects) else None
        if args.start and held_out is None:
            progress.say("--start is not used: there are too few scenarios to fit on others")
        if args.search:
            subjects += _searched(args, progress, Path(args.keep or work) / "search", held_out)
        found = run_validation(
            subjects,
            replications=args.replications,
            seed=args.seed,
            workers=args.workers,
            profile_without=held_out,
            progress=progress,
        )
        found = replace(found, command=_command(), held_out=held_out.told() if held_out else "")
        if args.out:
            progress.say("wrote " + ", ".join(map(str, write_validation(found, Path(args.out)))))
    print(json_text(found.to_json()) if args.json else "\n".join(_bold_first(validation_lines(found))))
    return _within(found, args.limit)


def _within(found: Validation, limit: float | None) -> int:
    """1 if more than half of the makespans are farther off than allowed: one disturbed replay says nothing."""
    error = median(abs(one.errors.makespan.error) for one in found.judged)
    if limit is None or error <= limit:
        return 0
    print(
        f"the median makespan is off by {format_share(error)}, and --limit allows {format_share(limit)}",
        file=sys.stderr,
    )
    return 1


def _decisions(args: argparse.Namespace) -> int:
    """Replay the candidates beside each scenario: does the one win that was predicted to?"""
    from sim.report.validation import decision_lines, write_decisions

    with Progress("deciding", quiet=args.quiet) as progress:
        rows = []
        for path in args.scenario:
            named = listed(str(Path(path) / "candidates.yaml"))
            cases = candidates(path, [flags for _, flags in named], _sets(args), progress.say)
            rows.append(
                (Path(path).name, [replace(case, label=label) for case, (label, _) in zip(cases, named, strict=True)])
            )
        keep = Path(args.keep) if args.keep else None
        replays = Replays(args.times, args.seed, progress.say, as_is=args.as_is, keep=keep, bases=dict(args.base))
        found = decisions(rows, replays, replications=args.replications, workers=args.workers, progress=progress)
        if args.out:
            progress.say("wrote " + ", ".join(map(str, write_decisions(found, _command(), Path(args.out)))))
    rows_json: list[Json] = [one.to_json() for one in found]
    print(json_text({"rows": rows_json}) if args.json else "\n".join(_bold_first(decision_lines(found))))
    return 0


def regress(args: argparse.Namespace) -> int:
    """Compare with the baselines; 1 when a number has moved. Or write new ones."""
    root = Path(args.root)
    with Progress("regress", quiet=args.quiet) as progress:
        if args.update:
            written = regression.update(root, args.why or "", progress)
            print(json_text({"wrote": [str(path) for path in written]}) if args.json else _written(written))
            return 0
        found = regression.regress(root, progress)
    print(json_text(_regression_json(found)) if args.json else "\n".join(_regression_lines(found)))
    return 1 if found.drifts else 0


def _traces(args: argparse.Namespace) -> list[tuple[str, Trace]]:
    """All traces, or all their problems at once."""
    found: list[tuple[str, Trace]] = []
    problems: list[InputError] = []
    for path in args.trace:
        try:
            found.append((path, read_trace(path)))
        except InputError as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else InputErrors(problems)
    return found


def _known(args: argparse.Namespace) -> Callable[[Trace], tuple[tuple[CostRule, ...], bool]]:
    """For a trace the cost rules, and whether contexts are small: of the one scenario given, or of the one that has its name."""
    scenarios = [load(path) for path in args.scenario]
    known = {one.name: (one.costs, args.constants and has_few_files(prepare(one))) for one in scenarios}

    def of(trace: Trace) -> tuple[tuple[CostRule, ...], bool]:
        if len(scenarios) < 2:
            return known[scenarios[0].name] if scenarios else ((), False)
        if trace.meta.name not in known:
            raise InputError(
                f"the trace is of '{trace.meta.name}', and no scenario given is ({', '.join(known)})",
                where="--scenario",
            )
        return known[trace.meta.name]

    return of


def _suite(args: argparse.Namespace, progress: Progress) -> tuple[Suite, dict[str, Number]]:
    from sim.fit.suite.local import measure_here, measure_there

    if not args.daemon:
        return measure_here(rounds=args.rounds, say=progress.say, progress=progress, force=args.force)
    if not args.cpus:
        raise InputError("how many cores has the daemon?", where="--daemon", hint="say it: --cpus 4")
    return measure_there(
        args.daemon,
        tls=tls_of(args),
        cpus=args.cpus,
        rounds=args.rounds,
        say=progress.say,
        progress=progress,
        force=args.force,
    )


def _subjects(args: argparse.Namespace, progress: Progress) -> list[Subject]:
    """Every scenario with its measured runs: read, or replayed now."""
    cases = _cases(args, progress)
    cause: Cause = "cost" if args.as_is else "scheduling"
    if args.measured is not None:
        return [_recorded(case, args.measured, cause) for case in cases]
    keep = Path(args.keep) if args.keep else None
    replays = Replays(args.times, args.seed, progress.say, as_is=args.as_is, keep=keep, bases=dict(args.base))
    return [_subject(case, measured, cause) for case, measured in zip(cases, replays.all(cases, progress), strict=True)]


def _searched(args: argparse.Namespace, progress: Progress, work: Path, held_out: HeldOut | None) -> list[Subject]:
    """What a search for bad predictions finds, by the constants that the scenarios gave, replayed as often as they were."""
    replays = Replays(args.times, args.seed, progress.say)

    def fitted(case: Case) -> Case:
        return case if held_out is None else replace(case, profile=held_out(Subject(case, (), found="search")))

    found = replays.search(args.search, work, _sets(args), fitted, progress)
    worst = list(islice(found, _CONFIRMED))
    again = replays.all([case for _, case in worst], progress)
    return [
        replace(_subject(case, measured, "scheduling"), found="search", about=tried.told())
        for (tried, case), measured in zip(worst, again, strict=True)
    ]


_CONFIRMED = (
    3  # of the worst that a search finds: they are replayed again, for the largest of many errors is partly noise
)


def _cases(args: argparse.Namespace, progress: Progress) -> list[Case]:
    """All scenarios ready, or all their problems at once."""
    cases: list[Case] = []
    problems: list[InputError] = []
    for path in args.scenario:
        try:
            cases.append(prepare(load(path, _sets(args)), say=progress.say))
        except InputError as error:
            problems += error.problems if isinstance(error, InputErrors) else [error]
    if problems:
        raise problems[0] if len(problems) == 1 else InputErrors(problems)
    return cases


def _sets(args: argparse.Namespace) -> list[str]:
    return [*args.sets, *([f"profile={Path(args.profile).resolve()}"] if args.profile else [])]


def _subject(case: Case, measured: Measured, cause: Cause) -> Subject:
    runs = tuple(observe(trace) for trace in measured.traces)
    return Subject(case, runs, cause, traces=tuple(measured.traces), notes=measured.doubts(), burn_s=measured.burns_s())


def _recorded(case: Case, measured: str, cause: Cause) -> Subject:
    """What is there of a scenario: in DIR/NAME, one trace a folder, or beside the scenario."""
    folder = Path(measured) / case.label if measured else case.scenario.folder
    traces = [read_trace(one) for one in sorted(folder.glob("*")) if _is_trace(one)] if measured else []
    if traces:
        return _subject(case, Measured(traces), cause)
    runs = measured_runs(folder)
    if not runs:
        hint = "replay it: leave --measured out; or write traces to DIR/NAME/1, DIR/NAME/2, ..."
        raise InputError(f"no measured run of {case.label}", where=str(folder), hint=hint)
    return Subject(case, tuple(runs), cause)


def _is_trace(folder: Path) -> bool:
    return (folder / "meta.json").is_file() or (folder / "trace" / "meta.json").is_file()


def _command() -> str:
    return shlex.join(["buildcast", *sys.argv[1:]])


def _bold_first(lines: Sequence[str]) -> list[str]:
    return [bold(lines[0]), *lines[1:]]


def _written(paths: Sequence[Path]) -> str:
    return "wrote " + ", ".join(map(str, paths)) if paths else "nothing has moved; the baselines stay"


def _regression_lines(found: regression.Regression) -> list[str]:
    lines = [drift.line() for drift in found.drifts]
    moved = {drift.kind: None for drift in found.drifts}
    lines += [f"{kind}: since {found.baselines[kind].since}" for kind in moved]
    if lines:
        n = len(found.drifts)
        told = f"{n} of {found.compared} numbers {'has' if n == 1 else 'have'} moved"
        return [*lines, f'{told}; if that is meant: buildcast regress --update --why "..."']
    return [f"nothing has moved: {found.compared} numbers as in the baselines"]


def _regression_json(found: regression.Regression) -> dict[str, Json]:
    return {
        "compared": found.compared,
        "moved": [
            {"kind": one.kind, "case": one.case, "number": one.number, "was": one.was, "now": one.now}
            for one in found.drifts
        ],
        "baselines": {
            kind: {"commit": one.commit, "date": one.date, "why": one.why} for kind, one in found.baselines.items()
        },
    }
