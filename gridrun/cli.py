"""The command line: the only place that prints, and the only one that knows exit codes.

Longer than other files: a function is a command, most of it its options with their help.
"""

import json
import os
import sys
from contextlib import suppress
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gridrun.command import how_to_go_on, same_command, write_command
from gridrun.directory import FILE, newest_directory, note_command
from gridrun.errors import EnvironmentFault, GridrunError, InputError, Interrupted
from gridrun.signals import Stop, drain_on_signals, end_on_signals
from gridrun.terminal import Impatient, Lasting, many, open_streams, spell_out, visible
from gridrun.threads import count_threads, thread_limits

if TYPE_CHECKING:
    from gridrun.cell import Cell
    from gridrun.spec import Spec

app = typer.Typer(
    help="Grid search that finishes what it starts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

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
        _leave_reader()
    except OSError as error:  # what nobody further down had better words for
        _leave(f"{error.filename or 'the output'}: {error.strerror or error}", EnvironmentFault.exit_code)
    except MemoryError:
        _leave("out of memory; nothing that was reported done is lost", EnvironmentFault.exit_code)


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
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("grid.toml"),
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="function or command, a small one beside it; estimator; or cnn, that of cnn_core.",
        ),
    ] = "function",
) -> None:
    """Write a commented grid.toml that runs at once, and a trainer beside it."""
    from gridrun.templates import write_templates

    names = " and ".join(str(file) for file in write_templates(path, kind))
    _say(f"wrote {names}; next: {write_command('sweep', path)}")


@app.command()
def sweep(
    grid: Annotated[Path, typer.Argument(metavar="GRID", readable=False, help="The grid.toml.")] = Path(
        "grid.toml"
    ),
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

    spec = _read_spec(grid)
    from gridrun.dispatch import check_backend, open_workers
    from gridrun.execution import TooManyFailures, open_sweep
    from gridrun.plan import plan_sweep
    from gridrun.progress import show_progress, tell_plan

    run = replace(
        spec.run,
        jobs=spec.run.jobs if jobs is None else jobs,
        backend=spec.run.backend if backend is None else backend,
        scheduler=spec.run.scheduler if scheduler is None else scheduler,
        max_failures=spec.run.max_failures if max_failures is None else max_failures,
    )
    check_backend(run)
    directory = out if out is not None else spec.directory()

    if dry_run:
        plan = plan_sweep(spec, grid, directory, retry_failed=retry_failed)
        with open_workers(run) as there:
            _say(tell_plan(plan, min(there.count, plan.trajectories)))
        return
    stop = Stop()
    # From here on nothing that is shown may end the sweep.
    sys.stdout, sys.stderr = Impatient(sys.stdout), Impatient(sys.stderr)
    try:
        with open_sweep(spec, directory, run, grid_file=grid, retry_failed=retry_failed) as begun:
            note_command(directory, sys.argv[1:])
            _say(tell_plan(begun.plan, begun.workers))
            show = show_progress(begun.plan, begun.standings, directory, workers=begun.workers, quiet=quiet)
            # Not before: until now there is nothing to finish, and Ctrl-C ends a long planning at once.
            with drain_on_signals(stop), show as screen:
                count = begun.run(stop, screen)
    except TooManyFailures:
        _tell_failures(directory)
        raise
    interrupted = stop.asked and count.pending > 0
    if not interrupted:
        following = f"; next: {write_command('report', directory)}" if count.completed else ""
        _say(f"{count.completed} completed, {count.failed} failed{following}")
    if count.failed:
        _tell_failures(directory)
    if interrupted:
        raise Interrupted(
            f"interrupted with {count.completed} of {many(count.total, 'cell')} kept; {how_to_go_on()}"
        )
    if count.failed:
        raise typer.Exit(1)


def _read_spec(grid: Path) -> "Spec":
    """Read grid.toml, and hold this process to its threads before any BLAS is loaded: cells may run here."""
    from gridrun.spec import Spec

    spec = Spec.read(grid)
    os.environ.update(thread_limits(count_threads(spec.run.threads)))
    return spec


def _tell_failures(directory: Path) -> None:
    """Say why cells of the sweep that ends here failed, and what to type."""
    from gridrun.results.failures import group_failures
    from gridrun.results.lines import tell_kinds
    from gridrun.spec import Spec
    from gridrun.store import Store

    with Store.read(directory) as store:
        grid = Spec.parse(store.grid_text(), str(directory / FILE)).grid
        kinds = group_failures(store, grid, store.identity(), store.progress())
    again = visible(same_command("--retry-failed"))
    print(*tell_kinds(kinds, directory), f"run them again: {again}", sep="\n", file=sys.stderr, flush=True)


@app.command(name="try")
def try_(
    grid: Annotated[Path, typer.Argument(metavar="GRID", readable=False, help="The grid.toml.")],
    params: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Parameters; the others are the grid's first values."),
    ] = None,
) -> None:
    """One cell, here, in the foreground, with what it prints; nothing is kept."""
    spec = _read_spec(grid)
    from gridrun.outcome import Metrics
    from gridrun.results.lines import tell_epoch, tell_params
    from gridrun.trial import open_trial

    trial = open_trial(spec, params or [], grid_file=grid)
    _say(f"{spec.name}: {tell_params(trial.params, trial.params)}")

    def tell(epoch: int, metrics: Metrics, seconds: float) -> None:
        _say(tell_epoch(epoch, metrics, seconds))

    outcome = trial.run(tell)
    if outcome.left_out:
        print(f"gridrun: {visible(outcome.left_out)}, neither a number nor a boolean array", file=sys.stderr)
    if outcome.failure is not None:
        words = outcome.failure.reason  # of a program: its stderr has been seen
        if outcome.failure.traceback.startswith("Traceback"):
            words = outcome.failure.traceback.rstrip()
        print(visible(words, keep="\n"), file=sys.stderr)
        _say(f"failed after {many(len(outcome.history), 'epoch')}; nothing was kept")
        raise typer.Exit(1)
    early = "; it ended by itself before its budget" if outcome.ended else ""
    _say(f"{many(len(outcome.history), 'epoch')} in {outcome.wall_s:.3g} s{early}; nothing was kept")


@app.command()
def report(
    directory: Directory = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Rows of the leaderboard.")] = 10,
) -> None:
    """Write DIR/report/ and print the leaderboard."""
    from rich.console import Console

    from gridrun.report import write_and_answer
    from gridrun.report.captions import missing, mixed, state
    from gridrun.report.sentences import tell
    from gridrun.report.tables import leaderboard

    directory = _directory(directory)
    result, answer, costs = write_and_answer(directory)
    if words := missing(result):
        _say(f"{result.spec.name}: {words}")
    else:
        console = Console()
        with console.capture() as drawn:
            console.print(leaderboard(result, top, console.width))
        _write(drawn.get())
    for line in tell(result, answer, costs):
        _say(line)
    _say(f"{state(result)}.")
    if words := mixed(result):
        _say(words)
    _say(f"wrote {directory / 'report'}/")


@app.command()
def status(
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object, on one line.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, while the sweep runs.")] = False,
) -> None:
    """How far a sweep is, while it runs or afterwards."""
    from gridrun.state import RUNNING, read_state
    from gridrun.store import Store

    directory = _directory(directory)

    def look() -> tuple[str, bool]:
        with Store.read(directory) as store:
            state = read_state(store)
        text = json.dumps(state.as_json()) if as_json else "\n".join(state.as_lines())
        return text, state.word == RUNNING

    if watch:
        from gridrun.watch import show_changes

        show_changes(look, _say, lines=as_json)
    else:
        _say(look()[0])


@app.command()
def compare(
    one: Annotated[Path, typer.Argument(metavar="A", readable=False, help="A sweep directory.")],
    other: Annotated[Path, typer.Argument(metavar="B", readable=False, help="Another one.")],
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Rows of the table.")] = 10,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", readable=False, help="All pairs, as a CSV; - is stdout.")
    ] = None,
) -> None:
    """Two sweeps where their combinations meet: which is better, and what is beyond noise."""
    from rich.console import Console

    from gridrun.report.versus import as_csv, table, tell
    from gridrun.results.aggregate import aggregate
    from gridrun.results.compare import compare as compare_sweeps
    from gridrun.store import Store

    results = []
    for directory in (one, other):
        with Store.read(directory) as store:
            results.append(aggregate(store))
    found = compare_sweeps(*results)
    if csv == Path("-"):
        _write(as_csv(found))
        return
    for line in tell(found):
        _say(line)
    console = Console()
    with console.capture() as drawn:
        console.print(table(found, top, console.width))
    _write(drawn.get())
    if csv is not None:
        try:
            csv.write_text(as_csv(found), encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise EnvironmentFault(f"{csv}: cannot be written ({error.strerror})") from None


@app.command()
def show(
    cell: Annotated[
        str | None,
        typer.Argument(
            metavar="CELL",
            help="A cell's id, or its beginning; best; '#3', of the leaderboard; lr=0.1,bs=16, parameters.",
        ),
    ] = None,
    directory: Directory = None,
    failed: Annotated[bool, typer.Option("--failed", help="The failed cells, one a line.")] = False,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Lines of a list.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", help="What a running cell prints, as it comes, until it ends.")
    ] = False,
) -> None:
    """One cell: its parameters, metrics by epoch, output, traceback. Several: one a line."""
    from itertools import chain, islice

    from gridrun.results.lines import list_cells, tell_cell
    from gridrun.results.lookup import find_cells
    from gridrun.spec import Spec
    from gridrun.store import Store

    if failed and cell is not None and directory is None:
        directory, cell = Path(cell), None
    if cell is None and not failed:
        raise InputError("which cell? write its id, best, '#3', lr=0.1,bs=16, or --failed")
    directory = _directory(directory)
    with Store.read(directory) as store:
        spec = Spec.parse(store.grid_text(), str(directory / FILE))
        found = find_cells(store, spec, cell)
        first = list(islice(found, 2))
        if follow and (failed or len(first) > 1):
            raise InputError("--follow takes one cell; write its id, or the value of every axis that varies")
        if failed or len(first) > 1:
            lines = list_cells(store, spec, chain(first, found), top, failed=failed)
        else:
            index, budget = first[0]
            name = spec.grid.trajectory_id(store.identity(), index)
            one = spec.grid.cell(index, name, budget)
            lines = [] if follow else tell_cell(store, spec, one)
    if follow:
        _follow(directory, spec, one)
    else:
        _say("\n".join(lines or ["no cell has failed"]))


def _follow(directory: Path, spec: "Spec", cell: "Cell") -> None:
    from gridrun.output import collapse
    from gridrun.results.follow import follow_cell

    moving = sys.stdout.isatty()  # there a bar is drawn over itself
    for text in follow_cell(directory, spec, cell, _note):
        _write(visible(text, keep="\n\t\r") if moving else visible(collapse(text), keep="\n\t"))


def _note(message: str) -> None:
    print(f"gridrun: {visible(message)}", file=sys.stderr, flush=True)


def _directory(given: Path | None) -> Path:
    """The sweep directory asked for, or the newest under results/."""
    return newest_directory() if given is None else given
