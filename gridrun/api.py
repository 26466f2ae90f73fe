"""From Python: sweep any callable over a grid, and look at what was found.

    results = gridrun.sweep(train, {"lr": [0.01, 0.1], "seed": [0, 1, 2]}, metric="accuracy")

The same engine, the same directory and the same results as `gridrun sweep`; calling it again resumes.

Longer than other files, as its docstrings are the reference that `help(gridrun.sweep)` shows.
"""

import contextlib
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from gridrun.cell import as_given
from gridrun.directory import FILE, REPORT, find_holder, note_command
from gridrun.dispatch import check_backend
from gridrun.errors import GridrunError, InputError
from gridrun.execution import TooManyFailures, open_sweep
from gridrun.grid import FOLD, OUTER
from gridrun.outcome import COMPLETED, FAILED, PENDING
from gridrun.parcel import InHand, packed
from gridrun.plan import Count
from gridrun.progress import show_progress, tell_plan
from gridrun.results.aggregate import Aggregate, aggregate
from gridrun.results.answer import Answer, find_answer
from gridrun.results.costs import gather_costs
from gridrun.results.failures import describe_failure
from gridrun.results.frames import (
    tabulate_front,
    tabulate_isolation,
    tabulate_means,
    tabulate_sensitivity,
)
from gridrun.results.lookup import find_cells
from gridrun.signals import Stop, drain_on_interrupt
from gridrun.spec import Spec
from gridrun.spelling import spell
from gridrun.store import Store
from gridrun.terminal import Impatient, open_streams
from gridrun.trainers.callable import name_of, take
from gridrun.trainers.estimator_in_hand import is_estimator, take_estimator
from gridrun.writing import WHERE, in_words_of_the_call, write_grid

# Rows of the leaderboard that a notebook shows of itself.
SHOWN_ROWS = 5


def sweep(
    train: Any,
    grid: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    metric: str,
    mode: str | None = None,
    data: Any = None,
    cv: Any = None,
    scoring: Sequence[str] | str | None = None,
    outer: int | None = None,
    test_size: float | None = None,
    fixed: Mapping[str, Any] | None = None,
    replicate: Mapping[str, Any] | None = None,
    zip: Mapping[str, Mapping[str, Any]] | None = None,
    exclude: Sequence[Mapping[str, Any]] = (),
    select: Mapping[str, Any] | None = None,
    refit: Mapping[str, Any] | None = None,
    budget: str | None = None,
    epoch: str | None = None,
    call: str | None = None,
    name: str | None = None,
    out: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    backend: str = "loky",
    scheduler: str | None = None,
    timeout_s: float | None = None,
    max_attempts: int | None = None,
    max_failures: int | None = None,
    max_tasks_per_worker: int | None = None,
    threads: int | None = None,
    gpus: Sequence[int] | None = None,
    order: str | None = None,
    retry_failed: bool = False,
    quiet: bool = False,
) -> "Results":
    """Run what is missing of a grid, and return what was found. Calling it again resumes.

    `train` is called with each combination as keyword arguments, in worker processes, and gives a number, a
    mapping of metrics, or yields one mapping an epoch. It may be anything that can be called, a closure or a
    notebook's function as well. Its code and what it refers to are part of a cell's identity: an edited
    function runs anew, an unchanged one finds its finished cells (docs/python.md).

    >>> def train(x, epochs):
    ...     for epoch in range(epochs):
    ...         yield {"loss": (x - 3) ** 2 + 1 / (epoch + 1)}
    >>> results = sweep(train, {"x": [1, 2, 3], "epochs": [2, 4]}, metric="loss", mode="min",
    ...                 budget="epochs", quiet=True)
    >>> results.best_params
    {'x': 3, 'epochs': 4}
    >>> results
    Results: train, 6 of 6 cells completed; best loss 0.25 at x 3, epochs 4 (results/train)

    `train` may be an estimator of scikit-learn's kind, with `data` (X, y, and perhaps groups and sample
    weights, or a Bunch), `cv` (5, or a splitter) and `scoring`; its folds are replicates, and its scores are
    GridSearchCV's. `outer` folds around them score each inner choice (nested cross-validation), and
    `test_size` holds examples out of everything, for `refit`.

    All other arguments are those of a grid.toml, with their defaults. `grid`, `fixed`, `replicate`, `zip`,
    `exclude`, `select` and `refit` are its tables (an axis is a list, a range, an array, or
    `{"from": 1e-4, "to": 1e-1, "num": 4, "scale": "log"}`), a list of grids is their union; from `jobs` to
    `order` they are of its [run]. `out` is the sweep directory; without it, results/<name>. `name` is that
    of the function if it is left out.

    Ctrl-C lets the cells in flight finish and returns what is there (`interrupted`); a second one, a second
    or more later, stops at once by KeyboardInterrupt. A cell that raises has failed, and the others go on
    (`failures`).

    Raises: InputError for what no sweep can be made of; EnvironmentFault if the directory is locked, damaged
    or full, or there are no workers; TooManyFailures if all cells fail, or the first ten fail alike. Each is
    a GridrunError of one line; what was completed before is kept.
    """
    tables: dict[str, Any] = {
        "sweep": {"metric": metric, "mode": mode, "budget": budget, "epoch": epoch, "call": call},
        "fixed": fixed or {},
        "grid": grid,
        "zip": zip or {},
        "exclude": exclude,
        "replicate": replicate or {},
        "select": select or {},
        **({} if refit is None else {"refit": refit}),
        "run": {
            **{"jobs": jobs, "backend": backend, "scheduler": scheduler, "timeout_s": timeout_s},
            **{"max_attempts": max_attempts, "max_failures": max_failures, "order": order},
            **{"max_tasks_per_worker": max_tasks_per_worker, "threads": threads, "gpus": gpus},
        },
    }
    with _in_words_of_the_call(tables):
        study = {"data": data, "cv": cv, "scoring": scoring, "outer": outer, "test_size": test_size}
        trainer = _take(train, tables, study)
        tables["sweep"] |= {"train" if trainer.by_name else "callable": trainer.name}
        tables["sweep"]["name"] = name if name is not None else _name_after(train)
        spec = _read(tables, trainer)
        directory = Path(out) if out is not None else spec.directory()
        count, stopped = _run(spec, trainer, directory, retry_failed=retry_failed, quiet=quiet)
        results = Results(directory)
        if count.failed and not count.completed and not stopped:
            reason = results.failures["reason"].iloc[0]
            raise TooManyFailures(
                f"no cell has completed, {count.failed} failed: {reason}; {_see(directory)}"
            )
        return results


def load(directory: str | os.PathLike[str]) -> "Results":
    """What a sweep has found, finished or not, whether it was begun here or by `gridrun sweep`.

    >>> load("results/train").complete
    True

    Raises: InputError if the directory holds no sweep; EnvironmentFault if it is damaged.
    """
    return Results(Path(directory))


class Results:
    """What a sweep has found so far: a snapshot of its directory, `gridrun.load` takes another.

    >>> results = load("results/train")
    >>> results.cells["loss"].tolist()
    [4.5, 4.25, 1.5, 1.25, 0.5, 0.25]
    >>> list(results.best.columns)
    ['x', 'loss', 'epochs', 'cell', 'failed']
    >>> results.history("best")["loss"].tolist()
    [1.0, 0.5, 0.3333333333333333, 0.25]
    >>> results.effects["term"].tolist()
    ['x', 'epochs', 'x:epochs']
    >>> [edge["try"] for edge in results.summary["boundary"]]
    [4, 6]
    >>> results.sensitivity[["axis", "value", "metric"]].values.tolist()
    [['x', 1, 4.25], ['x', 2, 1.25], ['x', 3, 0.25], ['epochs', 2, 0.5], ['epochs', 4, 0.25]]
    """

    directory: Path
    """The sweep directory."""
    cells: pd.DataFrame
    """One row a cell in grid order: its id, parameters, status, epoch and metrics, as in cells.csv."""
    best: pd.DataFrame
    """One row a combination, best first, as in best.csv."""
    failures: pd.DataFrame
    """One row a failed cell: its id, parameters, and the reason."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        running = find_holder(directory) is not None
        with Store.read(directory) as store:
            self._found = aggregate(store)
            reasons = {name: describe_failure(failure) for name, failure in store.failures()}
        self.cells = _as_given(self._found.cells, self._found)
        self.best = _as_given(self._found.best, self._found)
        self.failures = self._list_failures(reasons)
        self.complete: bool = self._found.counts[PENDING] == 0
        self.interrupted: bool = not (self.complete or running)

    @property
    def best_params(self) -> dict[str, Any]:
        """The best combination with its budget and what is fixed, as `train` is called, without replicates.

        Raises: GridrunError if there is none yet.
        """
        from gridrun.report.captions import missing

        found = self._found
        if not self._has_best:
            words = missing(found) or f"every completed cell diverged in {found.spec.metric}"
            raise GridrunError(f"{self.directory}: {words}")
        row = int((found.cells[found.names.cell] == found.best[found.names.cell].iloc[0]).argmax())
        params = self._params(row)
        return {name: value for name, value in params.items() if name not in self._replicates}

    def history(self, cell: str) -> pd.DataFrame:
        """Every epoch of one cell: the epoch, from 1, and its metrics.

        `cell` is an id or its beginning, "best", or parameters: "lr=0.1,epochs=5". Of several cells, which
        differ in a replicate, the first. Raises: InputError if there is none.
        """
        with Store.read(self.directory) as store:
            spec = Spec.parse(store.grid_text(), str(self.directory / FILE))
            place = next(find_cells(store, spec, cell), None)
            if place is None:
                raise InputError(f"{self.directory}: no cell is {cell!r}; write an id, or best")
            index, budget = place
            history = store.history_of(spec.grid.trajectory_id(store.identity(), index)).metrics[:budget]
        table = pd.DataFrame(list(history))
        table.insert(0, self._found.names.epoch, range(1, len(history) + 1))
        return table

    @property
    def effects(self) -> pd.DataFrame:
        """How much of the metric's variance each axis and each interplay explains, as in effects.csv."""
        from gridrun.report.csv import EFFECTS, rows_of_effects

        return pd.DataFrame(list(rows_of_effects(self._found)), columns=list(EFFECTS))

    @property
    def isolation(self) -> pd.DataFrame:
        """For each value of each axis the best metric over all else, as in isolation.csv."""
        return tabulate_isolation(self._found)

    @property
    def means(self) -> pd.DataFrame:
        """For each value of each axis the mean metric over all else, and of how many combinations it is."""
        return tabulate_means(self._found)

    @property
    def sensitivity(self) -> pd.DataFrame:
        """The metric where one axis alone is changed at the best, as in sensitivity.csv."""
        return tabulate_sensitivity(self._answer)

    @property
    def front(self) -> pd.DataFrame:
        """What no other combination and budget is better than in as little time, the quickest first.

        The axes, the metric, and the mean `seconds` of a run, which differ from one sweep to another.
        """
        with Store.read(self.directory) as store:
            return tabulate_front(gather_costs(self._found, store)[0])

    @property
    def chosen_params(self) -> dict[str, Any]:
        """The combination that `select` chooses, as `best_params`. Raises: GridrunError if there is none."""
        answer = self._answer
        if answer is None:
            return self.best_params  # which says why there is none
        return {name: as_given(value) for name, value in answer.chosen.params.items()}

    @cached_property
    def _answer(self) -> Answer | None:
        return find_answer(self._found)

    @property
    def summary(self) -> dict[str, Any]:
        """What a report says first, as in summary.json: what is chosen, tied, at an edge."""
        from gridrun.report.summary import summarise

        return summarise(self._found, self._answer)

    def report(self) -> Path:
        """Write the report: tables, pictures, a page. Returns the page's path. Raises: EnvironmentFault."""
        from gridrun.report import write_report

        write_report(self.directory)
        return self.directory / REPORT / "report.html"

    def __repr__(self) -> str:
        found, counts = self._found, self._found.counts
        words = f"{counts[COMPLETED]:,} of {len(self.cells):,} cells completed"
        words += f", {counts[FAILED]:,} failed" if counts[FAILED] else ""
        words += f", {counts[PENDING]:,} pending" if counts[PENDING] else ""
        if self._has_best:
            varied = {axis.name for axis in found.spec.grid.axes}
            params = ", ".join(f"{name} {spell(v)}" for name, v in self.best_params.items() if name in varied)
            words += f"; best {found.spec.metric} {found.best[found.names.metric].iloc[0]:.6g} at {params}"
        return f"Results: {found.spec.name}, {words} ({self.directory})"

    def _repr_html_(self) -> str:
        from html import escape

        table = self.best.head(SHOWN_ROWS).to_html(index=False) if len(self.best) else ""
        return f"<p>{escape(repr(self))}</p>{table}"

    @property
    def _has_best(self) -> bool:
        """Whether a combination has a finite metric; those that diverged are the last."""
        values = self._found.best[self._found.names.metric]
        return len(values) > 0 and math.isfinite(values.iloc[0])

    @property
    def _replicates(self) -> set[str]:
        return {axis.name for axis in self._found.spec.grid.replicates}

    def _params(self, row: int) -> dict[str, Any]:
        """The parameters of the cell in that row of `cells`, fixed ones first, otherwise in grid order."""
        grid = self._found.spec.grid
        index, budget = next(islice(grid.cell_positions(), row, None))
        params = grid.cell(index, "", budget).params
        order = [*grid.fixed, *(axis.name for axis in grid.all_axes)]
        return {name: as_given(params[name]) for name in order if name in params}

    def _list_failures(self, reasons: Mapping[str, str]) -> pd.DataFrame:
        found = self._found
        failed = (found.cells[found.names.status] == FAILED).to_numpy()
        named = [axis.name for axis in found.spec.grid.all_axes]
        table = self.cells.loc[failed, [found.names.cell, *named]].reset_index(drop=True)
        places = zip(found.spec.grid.cell_positions(), failed, strict=True) if reasons else ()
        told = [reasons.get(found.trajectories[index], "") for (index, _), here in places if here]
        table["reason"] = pd.Series(told, dtype=object)
        return table


def _take(train: Any, tables: dict[str, Any], study: Mapping[str, Any]) -> InHand:
    """Take what is to be swept; the folds of an estimator are a replicate axis. Raises: InputError."""
    if not is_estimator(train):
        if given := [name for name, value in study.items() if value is not None]:
            *names, last = given
            told = f"{', '.join(names)} and {last} go" if names else f"{last} goes"
            raise InputError(f"{WHERE}: {told} with an estimator; leave {'them' if names else 'it'} out")
        return take(train, tables["sweep"]["call"] or "keywords", WHERE)
    trainer = take_estimator(train, study, tables, WHERE)
    for axis, name in ((FOLD, "cv"), (OUTER, "outer")):
        if axis in tables["replicate"]:
            raise InputError(f"{WHERE}: replicate[{axis!r}] is what {name} makes; leave it out")
    if "refit" in tables and study["test_size"] is None:
        raise InputError(f"{WHERE}: refit needs data that took no part; write test_size=0.2")
    tables["replicate"] = {**tables["replicate"], **trainer.replicates}
    tables["sweep"]["overlap"] = trainer.overlap
    return trainer


def _read(tables: Mapping[str, Any], trainer: InHand) -> Spec:
    """Read a call as the grid.toml that it would be. Raises: InputError."""
    said = {
        name: {key: value for key, value in table.items() if value is not None}
        if name in ("sweep", "run")
        else table
        for name, table in tables.items()
    }
    return replace(Spec.parse(write_grid(said), WHERE, strict=True), trainer=trainer)


def _run(
    spec: Spec, trainer: InHand, directory: Path, *, retry_failed: bool, quiet: bool
) -> tuple[Count, bool]:
    """Run what is missing; return the count of all cells, and whether Ctrl-C ended it."""
    check_backend(spec.run)
    open_streams()
    stop = Stop()
    with contextlib.ExitStack() as stack:
        if sys.stderr is not None:  # nothing that is shown may end the sweep
            stack.enter_context(contextlib.redirect_stderr(Impatient(sys.stderr)))
        # Cells that run in this process hold its libraries to their threads: until the sweep is over.
        stack.enter_context(threadpool_limits(limits=None))
        trainer = stack.enter_context(packed(trainer, spec.run.backend, WHERE))
        begun = stack.enter_context(
            open_sweep(
                replace(spec, trainer=trainer),
                directory,
                spec.run,
                grid_file=_place(),
                retry_failed=retry_failed,
            )
        )
        note_command(directory, [WHERE])
        if not quiet:
            print(in_words_of_the_call(tell_plan(begun.plan, begun.workers)), file=sys.stderr, flush=True)
        show = show_progress(
            begun.plan, begun.standings, directory, workers=begun.workers, quiet=quiet, stop=stop
        )
        with show as screen, drain_on_interrupt(stop, shown=screen.live is not None):
            count = begun.run(stop, screen)
            begun.rerun(stop, screen)
    return count, stop.asked


def _place() -> Path:
    """Where workers look for what the function imports: beside the script, as it does itself; or here."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    beside = Path(script).resolve().parent if script else Path.cwd()
    # Not beside a program that was started by `python -m` or is installed: its neighbours are no modules.
    return (beside if str(beside) in map(os.path.realpath, sys.path) else Path.cwd()) / WHERE


@contextlib.contextmanager
def _in_words_of_the_call(tables: Mapping[str, Any]) -> Iterator[None]:
    """Turn errors about grid.toml or the command line into the words of the call."""
    try:
        yield
    except GridrunError as error:
        found = [tables[name] for name in ("fixed", "grid", "replicate")]
        mappings = [one for table in found for one in (table if isinstance(table, list | tuple) else [table])]
        names = {name for table in mappings if isinstance(table, Mapping) for name in table}
        raise type(error)(
            in_words_of_the_call(str(error), [n for n in names if isinstance(n, str)])
        ) from None


def _name_after(train: Any) -> str:
    """A sweep's name after its function's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name_of(train))[:100].strip("-.") or "sweep"


def _see(directory: Path) -> str:
    return f"gridrun.load({str(directory)!r}).failures lists them"


def _as_given(table: pd.DataFrame, found: Aggregate) -> pd.DataFrame:
    """A table with lists for tuples, as the values were given."""
    table = table.copy()
    for axis in found.spec.grid.all_axes:
        if axis.name in table and any(isinstance(value, tuple | dict) for value in axis.values):
            table[axis.name] = pd.Series([as_given(value) for value in table[axis.name]], dtype=object)
    return table
