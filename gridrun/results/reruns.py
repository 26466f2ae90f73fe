"""What was run once more after a sweep, as the store has it. Loads no NumPy: `show` asks, too."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gridrun.cell import Cell, Params, encode_params
from gridrun.directory import FILE
from gridrun.errors import InputError
from gridrun.grid import OUTER, Axis, Grid, cell_id
from gridrun.outcome import PENDING, Progress
from gridrun.refit import REFIT, Rerun
from gridrun.results.failures import describe_failure
from gridrun.selection import Rule
from gridrun.spec import Spec
from gridrun.store import Store


@dataclass(frozen=True)
class Ran:
    """A run after the sweep: what it was called with, what became of it, and the metrics of its last epoch.

    Of the last, also where a cell's best epoch speaks for it: to pick an epoch here were to choose by what no
    choice is to have seen.
    """

    name: str
    cell: Cell
    status: str
    metrics: Mapping[str, float]
    failure: str = ""


def gather_reruns(store: Store, spec: Spec) -> tuple[Ran, ...]:
    """Everything that was planned after the last sweep."""
    return tuple(_read(store, spec, *row) for row in store.reruns())


def read_reruns(directory: Path) -> tuple[Ran, ...]:
    """The same of a sweep directory."""
    with Store.read(directory) as store:
        return gather_reruns(store, Spec.parse(store.grid_text(), str(directory / FILE)))


def _read(store: Store, spec: Spec, name: str, trajectory: str, params: Params) -> Ran:
    budget = params.get(spec.grid.budget) if spec.grid.budget is not None else None
    budget = budget if isinstance(budget, int) else None
    (history, ended), failure = store.history_of(trajectory), store.failure_of(trajectory)
    status = Progress(len(history), failure is not None, ended).status(budget)
    at = Rule(spec.metric, spec.mode).epoch_of(history, budget, ended)
    return Ran(
        name,
        Cell(cell_id(trajectory, budget), trajectory, params, budget),
        status,
        {} if at is None else history[at],
        "" if failure is None or at is not None else describe_failure(failure),
    )


def find_rerun(store: Store, spec: Spec, query: str) -> tuple[Spec, Cell] | None:
    """The run after the sweep that is called so, with what its grid is; None if a query means cells.

    Raises: InputError if it has not been run.
    """
    if query != REFIT and not query.startswith(f"{OUTER} "):
        return None
    for ran in gather_reruns(store, spec):
        if ran.name == query:
            budget = spec.grid.budget
            axes = () if budget is None or ran.cell.budget is None else (Axis(budget, (ran.cell.budget,)),)
            return replace(spec, rule=Rule(spec.metric, spec.mode), grid=Grid(axes, budget=budget)), ran.cell
    raise InputError(
        f"{store.directory}: {query} has not been run; sweep to the end with [refit], or `outer`"
    )


def look_up(reruns: tuple[Ran, ...], wanted: Rerun) -> Ran:
    """What became of a run that is wanted now; pending if it was another that was run, or none."""
    text = encode_params(wanted.params)
    for ran in reruns:
        if ran.name == wanted.name and encode_params(ran.cell.params) == text:
            return ran
    return Ran(wanted.name, Cell("", "", wanted.params, wanted.budget), PENDING, {})
