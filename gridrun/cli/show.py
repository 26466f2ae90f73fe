"""`gridrun show`: cells, one by one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridrun.cli.arguments import Directory, sweep_directory
from gridrun.cli.complete import complete_cell
from gridrun.cli.printing import note, say, write
from gridrun.directory import FILE
from gridrun.errors import InputError
from gridrun.terminal import visible

if TYPE_CHECKING:
    from gridrun.cell import Cell
    from gridrun.spec import Spec


def show(
    cell: Annotated[
        str | None,
        typer.Argument(
            metavar="CELL",
            autocompletion=complete_cell,
            help="A cell's id, or its beginning; best; '#3', of the leaderboard; lr=0.1,bs=16, parameters;"
            " refit, what was run once more.",
        ),
    ] = None,
    directory: Directory = None,
    failed: Annotated[bool, typer.Option("--failed", help="The failed cells, one a line.")] = False,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Lines of a list.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", help="What a running cell prints, as it comes, until it ends.")
    ] = False,
) -> None:
    """One cell: its parameters, metrics by epoch, output, traceback. Several: one a line.

    \b
    gridrun show best
    gridrun show 9cb1 results/lenet-digits
    gridrun show '#3'
    gridrun show learning_rate=0.1,batch_size=10
    gridrun show --failed
    """
    from itertools import chain, islice

    from gridrun.results.lines import list_cells, tell_cell
    from gridrun.results.lookup import find_cells
    from gridrun.results.reruns import find_rerun
    from gridrun.spec import Spec
    from gridrun.store import Store

    if failed and cell is not None and directory is None:
        directory, cell = Path(cell), None
    if cell is None and not failed:
        raise InputError("which cell? write its id, best, '#3', lr=0.1,bs=16, or --failed")
    directory = sweep_directory(directory)
    with Store.read(directory) as store:
        spec = Spec.parse(store.grid_text(), str(directory / FILE))
        if cell is not None and not follow and (rerun := find_rerun(store, spec, cell)) is not None:
            say("\n".join(tell_cell(store, *rerun)))
            return
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
        say("\n".join(lines or ["no cell has failed"]))


def _follow(directory: Path, spec: "Spec", cell: "Cell") -> None:
    from gridrun.output import collapse
    from gridrun.results.follow import follow_cell

    moving = sys.stdout.isatty()  # there a bar is drawn over itself
    for text in follow_cell(directory, spec, cell, note):
        write(visible(text, keep="\n\t\r") if moving else visible(collapse(text), keep="\n\t"))
