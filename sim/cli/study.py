"""`buildcast compare` and `buildcast matrix`: studies of many runs.

In: parsed arguments. Out: tables or JSON on stdout; files where asked.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from sim.cli.folder import check_folder
from sim.cli.terminal import Progress, bold, json_text
from sim.errors import InputError, InputErrors, replacing
from sim.report.comparison import comparison_lines
from sim.runs import replicate
from sim.scenario.yaml_source import Node, read
from sim.study.compare import Comparison, candidates, evaluate, vary
from sim.study.matrix import Matrix
from sim.study.matrix import matrix as run_matrix
from sim.study.measures import measure

Named = tuple[str, tuple[str, ...]]


def compare(args: argparse.Namespace) -> int:
    """Compare candidates on the same requests."""
    check_folder(args.out)
    with Progress("comparing", quiet=args.quiet) as progress:
        found = _compared(args, progress)
        fields = found.to_json()
        if args.out:
            written = _write(found, json_text(fields), Path(args.out))
            progress.say(f"wrote {' and '.join(map(str, written))}")
    if args.json:
        print(json_text(fields))
    else:
        lines = comparison_lines(found)
        winner = f"  {found.winner}  "
        print(
            "\n".join(
                bold(line) if at == 0 or (line + "  ").startswith(winner) else line for at, line in enumerate(lines)
            )
        )
    return 0


def matrix(args: argparse.Namespace) -> int:
    """Run the decision matrix."""
    from sim.report.matrix import matrix_lines, write_matrix

    folder = Path(args.folder) if args.folder is not None else _packaged()
    check_folder(args.out)
    with Progress("decision matrix", quiet=args.quiet) as progress:
        found: Matrix = run_matrix(
            folder,
            quick=args.quick,
            replications=args.replications,
            requests=args.requests,
            seed=args.seed,
            workers=args.workers,
            progress=progress,
            say=progress.say,
        )
        if args.out:
            progress.say("wrote " + ", ".join(map(str, write_matrix(found, Path(args.out)))))
    print(json_text(found.to_json()) if args.json else "\n".join(matrix_lines(found)))
    return 0


def _compared(args: argparse.Namespace, progress: Progress) -> Comparison:
    if bool(args.candidates) == bool(args.vary):
        raise InputError(
            "give either --vary or --candidates",
            hint="for example --vary farm.size=default,large; several flags combine",
        )
    named: list[Named] = listed(args.candidates) if args.candidates else [("", flags) for flags in vary(args.vary)]
    settings = [flags for _, flags in named]
    cases = candidates(args.scenario, settings, args.sets, progress.say)
    cases = [replace(case, label=label) if label else case for case, (label, _) in zip(cases, named, strict=True)]
    results = replicate(
        cases,
        measure,
        replications=args.replications,
        seed=args.seed,
        workers=args.workers,
        progress=progress,
    )
    return evaluate(cases, settings, results, args.seed)


def listed(file: str) -> list[Named]:
    """The candidates of a file: `- {label: two, set: [farm.size=large]}`. InputErrors with line and column."""
    tree, _ = read(Path(file), file)
    found: list[Named] = []
    problems: list[InputError] = []
    for entry in tree.value if isinstance(tree.value, list) else []:
        try:
            found.append(_candidate(entry, [label for label, _ in found]))
        except InputError as error:
            problems.append(error)
    if problems:
        raise InputErrors(problems)
    if len(found) < 2:
        hint = "write a list of two or more: - {label: large, set: [farm.size=large]}"
        raise InputError("no list of candidates to compare", where=tree.where, hint=hint)
    return found


def _candidate(entry: Node, taken: list[str]) -> Named:
    hint = "write {label: large, set: [farm.size=large]}"
    label, flags = entry.given("label"), entry.given("set")
    if unknown := [name for name, _ in entry.items() if name not in ("label", "set")]:
        raise InputError(f"unknown field '{unknown[0]}'", where=entry.where_key(unknown[0]), hint=hint)
    if label is None or not label.text.strip() or flags is None:
        raise InputError("a candidate needs label and set", where=entry.where, hint=hint)
    if label.text in taken:
        raise InputError(f"label '{label.text}' is taken", where=label.where, hint="give each candidate its own")
    for flag in flags.entries():
        if not isinstance(flag.value, str) or "=" not in flag.value:
            raise InputError(f"'{flag.text}' is not a setting", where=flag.where, hint="write farm.size=large")
    return label.text, tuple(flag.text for flag in flags.entries())


def _write(found: Comparison, text: str, folder: Path) -> tuple[Path, Path]:
    from sim.report.figures import comparison_figure, save

    numbers, picture = folder / "compare.json", folder / "compare.png"
    with replacing(numbers) as file:
        file.write(text + "\n")
    save(comparison_figure(found), picture)
    return numbers, picture


def _packaged() -> Path:
    """The four rows' scenarios: in a wheel beside the code, in a checkout at its root."""
    import sim

    package = Path(sim.__file__).parent
    found = next((one for one in (package / "_scenarios", package.parent / "scenarios") if one.is_dir()), None)
    if found is None:
        raise InputError("this installation holds no scenarios", hint="give the folder that holds the four rows")
    return found
