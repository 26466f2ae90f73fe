"""`gridrun try`: one cell in the foreground."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gridrun.cli.arguments import read_spec
from gridrun.cli.printing import say
from gridrun.terminal import many, visible


def try_(
    grid: Annotated[Path, typer.Argument(metavar="GRID", readable=False, help="The grid.toml.")],
    params: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Parameters; the others are the grid's first values."),
    ] = None,
) -> None:
    """One cell, here, in the foreground, with what it prints; nothing is kept.

    \b
    gridrun try grid.toml
    gridrun try grid.toml learning_rate=0.1 epochs=2
    """
    spec = read_spec(grid)
    from gridrun.outcome import Metrics
    from gridrun.results.lines import tell_epoch, tell_params
    from gridrun.trial import open_trial

    trial = open_trial(spec, params or [], grid_file=grid)
    say(f"{spec.name}: {tell_params(trial.params, trial.params)}")

    def tell(epoch: int, metrics: Metrics, seconds: float) -> None:
        say(tell_epoch(epoch, metrics, seconds))

    outcome = trial.run(tell)
    if outcome.left_out:
        print(f"gridrun: {visible(outcome.left_out)}, neither a number nor a boolean array", file=sys.stderr)
    if outcome.failure is not None:
        words = outcome.failure.reason  # of a program: its stderr has been seen
        if outcome.failure.traceback.startswith("Traceback"):
            words = outcome.failure.traceback.rstrip()
        print(visible(words, keep="\n"), file=sys.stderr)
        say(f"failed after {many(len(outcome.history), 'epoch')}; nothing was kept")
        raise typer.Exit(1)
    early = "; it ended by itself before its budget" if outcome.ended else ""
    say(f"{many(len(outcome.history), 'epoch')} in {outcome.wall_s:.3g} s{early}; nothing was kept")
