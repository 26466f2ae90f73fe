"""One cell while it runs: what it prints, as it comes."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gridrun.cell import Cell
from gridrun.directory import find_holder
from gridrun.errors import InputError
from gridrun.following import follow_log
from gridrun.outcome import PENDING, Progress
from gridrun.results.lines import tell_cell
from gridrun.spec import Spec
from gridrun.store import Store

LOOK_S = 0.2


def follow_cell(directory: Path, spec: Spec, cell: Cell, say: Callable[[str], None]) -> Iterator[str]:
    """Yield what a cell prints, from the beginning to its end; of one that has ended, all that is kept.

    Waits for one that does not run yet. `say` gets what is not output.
    Raises: InputError if it has not run and no sweep is running.
    """
    told = False
    while True:
        followed = False
        for text in follow_log(directory, cell.trajectory):
            followed = True
            if text:
                yield text
            elif find_holder(directory) is None:
                say(f"no sweep is running in {directory} any more: cell {cell.id} was interrupted")
                return
            else:
                time.sleep(LOOK_S)
        running = find_holder(directory) is not None  # asked first: it may end meanwhile
        with Store.read(directory) as store:
            status = _status(store, cell)
            if status != PENDING and not followed:
                yield "\n".join(tell_cell(store, spec, cell)) + "\n"
        if status != PENDING:
            if followed:
                say(f"cell {cell.id}: {status}")
            return
        if not running:
            raise InputError(
                f"cell {cell.id} has not run, and no sweep is running in {directory};"
                " run `gridrun sweep` first"
            )
        if not told:
            say(f"cell {cell.id} has not begun, or less than a second ago; waiting for it")
            told = True
        time.sleep(LOOK_S)


def _status(store: Store, cell: Cell) -> str:
    history, failure = store.history_of(cell.trajectory), store.failure_of(cell.trajectory)
    return Progress(len(history.metrics), failure is not None, history.ended).status(cell.budget)
