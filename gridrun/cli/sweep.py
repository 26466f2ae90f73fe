"""`gridrun sweep`: run what is missing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridrun.cli.arguments import read_spec
from gridrun.cli.printing import note, say
from gridrun.command import how_to_go_on, how_to_show, same_command, write_command
from gridrun.directory import FILE, note_command
from gridrun.errors import EnvironmentFault, GridrunError, Interrupted
from gridrun.signals import Stop, drain_on_signals
from gridrun.terminal import Impatient, many, visible

if TYPE_CHECKING:
    from gridrun.spec import Run as RunOptions
    from gridrun.spec import Spec


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
    on_finish: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="A shell command for when the sweep has ended.")
    ] = None,
) -> None:
    """Run what is missing of a grid; the same command resumes.

    \b
    gridrun sweep
    gridrun sweep grid.toml --jobs 4 --out results/second
    gridrun sweep grid.toml --dry-run
    gridrun sweep grid.toml --retry-failed --on-finish 'gridrun report "$GRIDRUN_DIRECTORY"'

    The command of --on-finish is given to sh when the sweep has ended, however it has, with
    GRIDRUN_DIRECTORY and GRIDRUN_EXIT_CODE in its environment.
    """
    from dataclasses import replace

    spec = read_spec(grid)
    from gridrun.dispatch import check_backend, open_workers
    from gridrun.plan import plan_sweep
    from gridrun.progress import tell_plan

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
            say(tell_plan(plan, min(there.count, plan.trajectories)))
        return
    with _finishing(on_finish, directory):
        _run(spec, directory, run, grid, retry_failed=retry_failed, quiet=quiet)


def _run(
    spec: "Spec", directory: Path, run: "RunOptions", grid: Path, *, retry_failed: bool, quiet: bool
) -> None:
    from gridrun.execution import TooManyFailures, open_sweep
    from gridrun.progress import show_progress, tell_plan

    stop = Stop()
    # From here on nothing that is shown may end the sweep.
    sys.stdout, sys.stderr = Impatient(sys.stdout), Impatient(sys.stderr)
    try:
        with open_sweep(spec, directory, run, grid_file=grid, retry_failed=retry_failed) as begun:
            note_command(directory, sys.argv[1:])
            say(tell_plan(begun.plan, begun.workers))
            show = show_progress(
                begun.plan, begun.standings, directory, workers=begun.workers, quiet=quiet, stop=stop
            )
            # Not before: until now there is nothing to finish, and Ctrl-C ends a long planning at once.
            with show as screen, drain_on_signals(stop, shown=screen.live is not None):
                count = begun.run(stop, screen)
                again = begun.rerun(stop, screen)
    except TooManyFailures:
        _tell_failures(directory)
        raise
    interrupted = stop.asked and count.pending + again.pending > 0
    if not interrupted:
        following = f"; next: {write_command('report', directory)}" if count.completed else ""
        say(f"{count.completed} completed, {count.failed} failed{following}")
    if count.failed:
        _tell_failures(directory)
    if again.failed:
        _tell_failed_reruns(directory)
    if interrupted:
        raise Interrupted(
            f"interrupted with {count.completed} of {many(count.total, 'cell')} kept; {how_to_go_on()}"
        )
    if count.failed or again.failed:
        raise typer.Exit(1)


@contextmanager
def _finishing(command: str | None, directory: Path) -> Iterator[None]:
    """Run a command of the user's when the block has ended, however it has, and leave its end as it is."""
    code = EnvironmentFault.exit_code  # of whatever else may end it
    try:
        yield
        code = 0
    except (GridrunError, typer.Exit) as end:
        code = end.exit_code
        raise
    except KeyboardInterrupt:
        code = 130
        raise
    finally:
        if command is not None:
            sys.stdout.flush()
            given = {"GRIDRUN_DIRECTORY": str(directory.absolute()), "GRIDRUN_EXIT_CODE": str(code)}
            ended = subprocess.run(["/bin/sh", "-c", command], env={**os.environ, **given}, check=False)
            if ended.returncode:
                note(f"--on-finish: {command} ended with exit status {ended.returncode}")


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


def _tell_failed_reruns(directory: Path) -> None:
    """Say why what was run once more after the sweep failed."""
    from gridrun.results.reruns import read_reruns

    for ran in read_reruns(directory):
        if ran.failure:
            print(f"{ran.name} failed: {visible(ran.failure)}", file=sys.stderr)
            print(f"  {visible(how_to_show(ran.name, directory))}", file=sys.stderr, flush=True)
