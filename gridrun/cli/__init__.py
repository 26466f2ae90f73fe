"""The command line: the only place that prints, and the only one that knows exit codes.

A command is a file and a line of `COMMANDS`. What takes time to load is imported within it.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version as package_version
from typing import Annotated, NoReturn

import typer

from gridrun.cli.compare import compare
from gridrun.cli.export import export
from gridrun.cli.init import init
from gridrun.cli.printing import leave_reader, say
from gridrun.cli.report import report
from gridrun.cli.show import show
from gridrun.cli.status import status
from gridrun.cli.sweep import sweep
from gridrun.cli.try_ import try_
from gridrun.errors import EnvironmentFault, GridrunError
from gridrun.signals import end_on_signals
from gridrun.terminal import Lasting, open_streams, spell_out, visible

# In the order of `gridrun --help`.
COMMANDS: dict[str, Callable[..., None]] = {
    "init": init,
    "sweep": sweep,
    "try": try_,
    "report": report,
    "status": status,
    "compare": compare,
    "show": show,
    "export": export,
}

THREADS_S = 5.0  # so long threads of this process may take to end
EXIT_CODES = (
    "Exit codes: 0 complete; 1 finished, some cells failed; 2 bad input;"
    " 3 the environment (store locked or corrupt, disk full, no workers); 130 interrupted."
)

app = typer.Typer(
    help="Grid search that finishes what it starts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=EXIT_CODES,
)
for name, command in COMMANDS.items():
    app.command(name=name, epilog=EXIT_CODES if name in ("sweep", "try") else None)(command)


def main() -> None:
    """Run the command line. Exit codes: 0 complete, 1 some cells failed, 2 bad input, 3 environment, 130."""
    before = threading.enumerate()
    try:
        _run()
    except SystemExit as end:
        _leave_threads(before, end.code)
        raise
    _leave_threads(before, 0)


def _run() -> None:
    open_streams()
    spell_out()
    end_on_signals()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except GridrunError as error:
        _leave(str(error), error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        leave_reader()
    except OSError as error:  # what nobody further down had better words for
        _leave(f"{error.filename or 'the output'}: {error.strerror or error}", EnvironmentFault.exit_code)
    except RuntimeError as error:
        if "start new thread" not in str(error):  # Python's words for what has no type of its own
            raise
        _leave("no thread can be started; allow more (ulimit -u, ulimit -v)", EnvironmentFault.exit_code)
    except MemoryError:
        _leave("out of memory; nothing that was reported done is lost", EnvironmentFault.exit_code)


def _leave(message: str, code: int) -> NoReturn:
    with suppress(OSError, ValueError):
        print(f"gridrun: {visible(message)}", file=sys.stderr, flush=True)
    sys.stdout = Lasting(sys.stdout)
    sys.exit(code)


def _leave_threads(before: Sequence[threading.Thread], code: object) -> None:
    """Have this process end, in a while, if a train function's module has started a thread that does not.

    Python waits for it for ever. What ends when Python does (a pool's threads, and its workers with them) is
    given the time to.
    """
    if any(thread not in before and not thread.daemon for thread in threading.enumerate()):
        with suppress(RuntimeError):  # no thread can be had
            threading.Thread(target=_end, args=(code,), name="gridrun-end", daemon=True).start()


def _end(code: object) -> None:
    time.sleep(THREADS_S)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _print_version(asked: bool) -> None:
    if asked:
        say(f"gridrun {package_version('gridrun')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
