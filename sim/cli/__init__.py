"""The command line: thin; each family of verbs is a file that is loaded when one of its verbs runs.

In: arguments. Out: data on stdout, messages on stderr, an exit code (design section 6). Errors are caught here, once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

OK, MISSED, BAD_INPUT, ENVIRONMENT, INTERRUPTED = 0, 1, 2, 3, 130
BUG = 70  # sysexits.h EX_SOFTWARE: a fault of ours is none of the contract's exits
TERMINATED = 143  # 128 + SIGTERM, as shells count


class _Terminated(BaseException):
    """SIGTERM as an exception, so that children and temporary files go before we do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0 ok, 1 a threshold missed, 2 bad usage or input, 3 environment, 130 on ^C; 70 is a bug."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    before = _catch_sigterm()
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BaseException as error:
        return _explain(error)
    finally:
        _restore_sigterm(before)


def _run(arguments: list[str]) -> int:
    from sim.cli.verbs import parse

    try:
        chosen = parse(arguments)
    except SystemExit as asked:  # argparse, after --help or bad usage
        return asked.code if isinstance(asked.code, int) else BAD_INPUT
    from importlib import import_module

    module, _, name = chosen.runs.partition(":")
    code: int = getattr(import_module(f"sim.cli.{module}"), name)(chosen)
    return code


def _explain(error: BaseException) -> int:
    """One clear line for whatever ended the command, and its exit code."""
    import contextlib
    import os

    from sim.errors import BuildcastError

    if os.environ.get("BUILDCAST_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, BrokenPipeError):  # `buildcast ... | head`: the reader has enough
        _silence_stdout()
        return OK
    text, code = f"internal error: {type(error).__name__}: {error}", BUG
    if isinstance(error, BuildcastError):
        text, code = str(error), error.exit_code
    elif isinstance(error, KeyboardInterrupt):
        text, code = "interrupted", INTERRUPTED
    elif isinstance(error, _Terminated):
        text, code = "terminated", TERMINATED
    elif isinstance(error, MemoryError):
        text, code = "out of memory; make the scenario smaller, or use fewer --workers", ENVIRONMENT
    elif isinstance(error, RecursionError):
        text, code = "the input is nested too deeply; make it flatter", BAD_INPUT
    elif isinstance(error, OSError):
        _silence_stdout()
        where = f"{error.filename or 'stdout'}: "
        text, code = f"{where}{error.strerror or error}; choose a place that is writable and has space", ENVIRONMENT
    else:
        text = " ".join(text.split()) + "; please report it, with the output of BUILDCAST_TRACEBACK=1"
    with contextlib.suppress(OSError):  # perhaps no one reads stderr either
        print(text, file=sys.stderr)
    return code


def _open_closed_streams() -> None:
    """A shell may close them (`>&-`); then Python has None there."""
    import os

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (open until the end)


def _silence_stdout() -> None:
    """Python flushes stdout once more at its end; a stdout that cannot be written must not fail then."""
    import contextlib
    import os

    with contextlib.suppress(OSError, ValueError):  # stdout is no file in a test that captures it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _catch_sigterm() -> object:
    import signal
    import threading

    def stop(number: int, frame: object) -> None:
        raise _Terminated

    return signal.signal(signal.SIGTERM, stop) if threading.current_thread() is threading.main_thread() else None


def _restore_sigterm(before: object) -> None:
    import signal

    if before is not None:
        signal.signal(signal.SIGTERM, before)  # type: ignore[arg-type]
