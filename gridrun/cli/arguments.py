"""Arguments that several commands take, and what they mean."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridrun.cli.complete import complete_sweep
from gridrun.directory import newest_directory
from gridrun.threads import count_threads, thread_limits

if TYPE_CHECKING:
    from gridrun.spec import Spec

Directory = Annotated[
    Path | None,
    # readable=False: what cannot be read is told in one line of ours, not in four of typer's.
    typer.Argument(
        metavar="[DIR]",
        readable=False,
        help="The sweep directory; default: the newest under results/.",
        autocompletion=complete_sweep,
    ),
]


def sweep_directory(given: Path | None) -> Path:
    """The sweep directory asked for, or the newest under results/."""
    return newest_directory() if given is None else given


def read_spec(grid: Path) -> "Spec":
    """Read grid.toml, and hold this process to its threads before any BLAS is loaded: cells may run here."""
    from gridrun.spec import Spec

    spec = Spec.read(grid)
    os.environ.update(thread_limits(count_threads(spec.run.threads)))
    return spec
