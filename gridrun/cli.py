"""The command line: the only place that prints, and the only one that knows exit codes."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version as package_version
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gridrun.errors import EnvironmentFault, GridrunError, InputError, Interrupted
from gridrun.terminal import Lasting, open_streams, visible

if TYPE_CHECKING:
    from gridrun.dispatch import Stop

app = typer.Typer(
    help="Grid search that finishes what it starts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A wrapper (timeout, uv run) passes on the signal that the terminal or it itself sent to all of the group:
# what comes within so many seconds of the first is the first.
ECHO_S = 1.0

Directory = Annotated[
    Path | None,
    # readable=False: what cannot be read is told in one line of ours, not in four of typer's.
    typer.Argument(
        metavar="[DIR]", readable=False, help="The sweep directory; default: the newest under results/."
    ),
]


def main() -> None:
    """Run the command line. Exit codes: 0 complete, 1 some cells failed, 2 bad input, 3 environment, 130."""
    open_streams()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
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
        _leave_reader()
    except OSError as error:  # what nobody further down had better words for
        _leave(f"{error.filename or 'the output'}: {error.strerror or error}", EnvironmentFault.exit_code)
    except MemoryError:
        _leave("out of memory; nothing that was reported done is lost", EnvironmentFault.exit_code)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Outside a sweep's own handling of signals (see `_signals`): Ctrl-C, SIGTERM and SIGHUP end it."""
    _tell("gridrun: interrupted; nothing was changed")
    raise KeyboardInterrupt


def _leave(message: str, code: int) -> NoReturn:
    with suppress(OSError, ValueError):
        print(f"gridrun: {visible(message)}", file=sys.stderr, flush=True)
    sys.stdout = Lasting(sys.stdout)
    sys.exit(code)


def _leave_reader() -> NoReturn:
    """The reader of a pipe has gone (`gridrun status | head`); nothing is left to say."""
    sys.stdout = Lasting(sys.stdout)
    sys.exit(0)


def _say(text: str) -> None:
    """Print a result: it may be a stranger's, and the reader may have gone."""
    _write(visible(text, keep="\n") + "\n")


def _write(text: str) -> None:
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        _leave_reader()


def _print_version(asked: bool) -> None:
    if asked:
        _say(f"gridrun {package_version('gridrun')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def init(path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("grid.toml")) -> None:
    """Write a commented grid.toml to start from."""
    text = files("gridrun").joinpath("template.toml").read_text(encoding="utf-8").format(file=path.name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path}: is there already; name another file") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror}; name a file in a directory of yours"
        ) from None
    _say(f"wrote {path}; next: gridrun sweep {path}")


@app.command()
def sweep(
    grid: Annotated[Path, typer.Argument(metavar="GRID", readable=False, help="The grid.toml.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", readable=False, help="The sweep directory; default: results/NAME."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(metavar="N", help="Worker processes; -1 is every core.")] = None,
    backend: Annotated[str | None, typer.Option(metavar="B", help="loky, sequential, dask or ray.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDR", help="For dask or ray: whose workers run the cells.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, and change nothing.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    max_failures: Annotated[
        int | None,
        typer.Option(metavar="N", help="Stop after N failures; default: when the first 10 fail alike."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on the terminal.")] = False,
) -> None:
    """Run what is missing of a grid; the same command resumes."""
    from dataclasses import replace

    from gridrun.dispatch import SINGLE_THREADED, Stop, check_backend, open_workers
    from gridrun.progress import show_progress
    from gridrun.spec import Spec
    from gridrun.sweep import Plan, plan_sweep, run_sweep

    os.environ.update(SINGLE_THREADED)  # here too, before any BLAS is loaded: sequential cells run here
    spec = Spec.read(grid)
    run = replace(
        spec.run,
        jobs=spec.run.jobs if jobs is None else jobs,
        backend=spec.run.backend if backend is None else backend,
        scheduler=spec.run.scheduler if scheduler is None else scheduler,
        max_failures=spec.run.max_failures if max_failures is None else max_failures,
    )
    check_backend(run)
    directory = out if out is not None else spec.directory()

    def describe(plan: Plan, workers: int) -> None:
        count = plan.count
        failed = f", {count.failed} failed (see --retry-failed)" if count.failed else ""
        _say(
            f"{spec.name}: {_many(count.total, 'cell')}, {count.completed} cached{failed},"
            f" {count.pending} new, {_many(plan.trajectories, 'trajectory', 'trajectories')},"
            f" {_many(workers, 'worker')}"
        )

    if dry_run:
        plan = plan_sweep(spec, grid, directory, retry_failed=retry_failed)
        with open_workers(run) as there:
            describe(plan, min(there.count, plan.trajectories))
        return
    stop = Stop()
    # From here on nothing that is shown may end the sweep.
    sys.stdout, sys.stderr = Lasting(sys.stdout), Lasting(sys.stderr)
    with ExitStack() as stack, show_progress(quiet=quiet) as screen:

        def begin(plan: Plan, workers: int) -> None:
            describe(plan, workers)
            # Not before: until now there is nothing to finish, and Ctrl-C ends a long planning at once.
            stack.enter_context(_signals(stop))
            screen.begin(plan)

        count = run_sweep(
            spec,
            directory,
            run,
            grid_file=grid,
            retry_failed=retry_failed,
            stop=stop,
            started=begin,
            saved=screen.add,
            tell=screen.say,
        )
    if stop.asked and count.pending:
        raise Interrupted(
            f"interrupted with {count.completed} of {_many(count.total, 'cell')} kept; {_going_on()}"
        )
    _say(f"{count.completed} completed, {count.failed} failed; next: gridrun report {directory}")
    if count.failed:
        raise typer.Exit(1)


@app.command()
def report(
    directory: Directory = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Rows of the leaderboard.")] = 10,
) -> None:
    """Write DIR/report/ and print the leaderboard."""
    from rich.console import Console

    from gridrun.report import write_report
    from gridrun.report.tables import leaderboard

    directory = _directory(directory)
    result = write_report(directory)
    console = Console()
    with console.capture() as drawn:
        console.print(leaderboard(result, top))
    _write(drawn.get())
    _say(f"wrote {directory / 'report'}/")


@app.command()
def status(
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """How far a sweep is, while it runs or afterwards."""
    from gridrun.spec import Spec
    from gridrun.store import FILE, Store
    from gridrun.sweep import best_so_far, count_cells

    directory = _directory(directory)
    with Store.read(directory) as store:
        spec = Spec.parse(store.grid_text(), str(directory / FILE))
        count, left = count_cells(spec.grid, store.identity(), store.progress())
        best = best_so_far(store, spec)
    if as_json:
        states = {"completed": count.completed, "failed": count.failed, "pending": count.pending}
        _say(json.dumps({"total": count.total, **states}))
        return
    share = f"{count.completed / count.total:.0%}"
    _say(f"{spec.name}: {count.completed} of {_many(count.total, 'cell')} completed ({share})")
    _say(
        f"failed {count.failed}, pending {count.pending} ({_many(left, 'trajectory', 'trajectories')} to run)"
    )
    if best is not None:
        value, cell = best
        params = ", ".join(f"{axis.name} {cell.params[axis.name]}" for axis in spec.grid.all_axes)
        _say(visible(f"best {spec.metric} {value:.6g}: {params} (cell {cell.id})"))


@app.command()
def show(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="A cell's id, or a unique beginning of it.")],
    directory: Directory = None,
) -> None:
    """One cell: its parameters, its metrics by epoch, its traceback."""
    from gridrun.spec import Spec
    from gridrun.store import FILE, Store
    from gridrun.sweep import find_cell

    directory = _directory(directory)
    with Store.read(directory) as store:
        spec = Spec.parse(store.grid_text(), str(directory / FILE))
        found = find_cell(spec.grid, store.identity(), cell)
        history = store.history_of(found.trajectory)
        failure = store.failure_of(found.trajectory)
        run = store.run_of(found.trajectory)
    enough = len(history) >= (found.budget or 1)
    state = "completed" if enough else "failed" if failure is not None else "pending"
    lines = [
        f"cell {found.id}: {state}",
        *(f"  {name} = {visible(str(value))}" for name, value in found.params.items()),
    ]
    if history:
        lines += ["", "epoch  " + "  ".join(f"{visible(name):>13}" for name in history[0])]
    for epoch, metrics in enumerate(history[: found.budget], start=1):
        lines.append(f"{epoch:>5}  " + "  ".join(f"{value:>13.6g}" for value in metrics.values()))
    if failure is not None and not enough:
        lines += ["", failure.reason, failure.traceback.rstrip()]
    if run:
        lines += ["", ", ".join(f"{name} {value}" for name, value in run.items())]
    _say("\n".join(lines))


def _directory(given: Path | None) -> Path:
    """The sweep directory asked for, or the newest under results/."""
    from gridrun.store import FILE

    if given is not None:
        return given
    newest: dict[Path, float] = {}
    for path in Path("results").glob(f"*/{FILE}*"):
        with suppress(OSError):  # a log goes when the sweep that wrote it ends
            newest[path.parent] = max(path.stat().st_mtime, newest.get(path.parent, 0.0))
    stores = [directory for directory in newest if (directory / FILE).is_file()]
    if not stores:
        raise InputError(
            "results/: holds no sweep; run `gridrun sweep grid.toml` first, or name its directory"
        )
    return max(stores, key=newest.__getitem__)


@contextmanager
def _signals(stop: "Stop") -> Iterator[None]:
    """First Ctrl-C, SIGTERM or SIGHUP: finish what is in flight. Second: stop now."""
    first = 0.0

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal first
        if stop.asked and time.monotonic() - first < ECHO_S:
            return
        if stop.asked:
            # As SIGKILL would, and as safely: no cleaning up that could hang, nothing raised within
            # a cell that runs here. The guard ends the workers.
            if os.isatty(2):
                with suppress(OSError):
                    os.write(2, b"\x1b[?25h\n")  # the cursor, which the progress bar hides
            _tell(f"gridrun: stopped at once; what was reported done is kept; {_going_on()}")
            os._exit(130)
        stop.asked, first = True, time.monotonic()
        _tell("\ngridrun: finishing the cells in flight; once more stops at once")

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup's wish, and a shell's for what runs in the background
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(message: str) -> None:
    """Print from within a signal handler, where print is not safe; the terminal may be gone."""
    with suppress(OSError):
        os.write(2, (visible(message, keep="\n") + "\n").encode(errors="replace"))


def _going_on() -> str:
    import shlex

    return "the same command goes on: " + shlex.join(["gridrun", *sys.argv[1:]])


def _many(count: int, one: str, more: str | None = None) -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"
