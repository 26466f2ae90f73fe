"""What a sweep found: outcomes as a table of cells, replicates averaged, the best over the budget axis.

Reads the store and nothing else. The train function is never imported, so opening a stranger's
results runs none of their code.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gridrun.cell import Identity, Params, Value
from gridrun.errors import InputError
from gridrun.grid import Axis, cell_id
from gridrun.spec import Spec
from gridrun.store import FILE, Failure, Store

Floats = npt.NDArray[np.float64]

STATUSES = ("completed", "failed", "pending")
SHOWN_FAILURES = 100  # a report that lists a million tracebacks says nothing
CURVES = 3  # so many of the best, and as many of the worst


@dataclass(frozen=True)
class Curve:
    """Metrics by epoch of one combination, mean over its replicates. `place` is its rank, from 1."""

    place: int
    params: Params
    history: dict[str, list[float]]


@dataclass(frozen=True)
class Aggregate:
    """Everything a report says, and nothing that changes with the way the sweep was run.

    cells: one row a cell in grid order: its id, axes, replicates, status, metrics sorted by name.
    best: one row a combination of the axes without the budget axis, best first: the axes, the
        metric (mean over the completed replicates, then best over the budget axis), with
        replicates its standard deviation (n - 1) and count, and the budget it was reached at.
    values: the metric of `best` as an array with one dimension an axis of `axes`; NaN where
        nothing is completed or training diverged.
    main_effects: per axis the columns value, mean and count (of combinations averaged).
    """

    spec: Spec
    defaults: Params
    cells: pd.DataFrame
    best: pd.DataFrame
    axes: tuple[Axis, ...]
    budget: Axis | None
    values: Floats
    main_effects: dict[str, pd.DataFrame]
    counts: dict[str, int]
    diverged: int
    failures: tuple[tuple[Params, Failure], ...]
    failure_count: int
    curves: tuple[Curve, ...]

    @cached_property
    def names(self) -> "Names":
        return Names(self.spec, self.defaults)

    @cached_property
    def best_index(self) -> tuple[int, ...] | None:
        """Where in `values` the best is; None if every completed cell diverged."""
        if not np.isfinite(self.values).any():
            return None
        signed = np.where(np.isnan(self.values), -np.inf, _signed(self.values, self.spec.mode))
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(signed)), self.values.shape))


class Names:
    """Column names, kept apart: a metric that is called like a parameter becomes `<name> (metric)`."""

    def __init__(self, spec: Spec, defaults: Params) -> None:
        axes = {axis.name for axis in spec.grid.all_axes}
        self._taken = axes | set(spec.grid.fixed) | set(defaults) | {"cell", "status"}
        self.cell = "cell (id)" if "cell" in axes else "cell"
        self.status = "status (of the cell)" if "status" in axes else "status"
        self.metric = self.of(spec.metric)
        self.std = f"{self.metric} std"
        self.count = f"{self.metric} count"

    def of(self, metric: str) -> str:
        """The column of a metric."""
        return f"{metric} (metric)" if metric in self._taken else metric


def aggregate(store: Store) -> Aggregate:
    """Aggregate the outcomes of the grid that was swept last.

    Raises: InputError if no cell is completed yet, or none has the metric that is selected on.
    """
    where = str(store.directory / FILE)
    spec, identity, defaults = Spec.parse(store.grid_text(), where), store.identity(), store.defaults()
    names = Names(spec, defaults)
    gathered = _Gathered(spec, identity, store)
    if not gathered.completed.any():
        failed = f" ({gathered.failed.sum():,} failed)" if gathered.failed.any() else ""
        raise InputError(
            f"{store.directory}: no completed cell yet{failed}; `gridrun sweep` the grid first,"
            " or `gridrun status` says how far it is"
        )
    if spec.metric not in gathered.metrics:
        found = ", ".join(sorted(gathered.metrics)) or "none"
        raise InputError(
            f"{where}: no completed cell has the metric {spec.metric!r}, found {found};"
            " write one of these as [sweep] metric"
        )
    selected = gathered.metrics[spec.metric]
    # An infinite metric is as much a divergence as NaN, and must not win.
    selected = np.where(np.isfinite(selected), selected, np.nan)
    axes, budget = _split_axes(spec)
    reached = _Reached(spec, axes, budget, selected, gathered.completed)
    best, order = _rank(spec, names, axes, budget, reached)
    status = np.where(gathered.completed, 0, np.where(gathered.failed, 1, 2))
    return Aggregate(
        spec=spec,
        defaults=defaults,
        cells=_tabulate(spec, names, gathered, status),
        best=best,
        axes=axes,
        budget=budget,
        values=reached.value.reshape([len(axis.values) for axis in axes]),
        main_effects=_main_effects(axes, budget, reached),
        counts={name: int((status == i).sum()) for i, name in enumerate(STATUSES)},
        diverged=int((gathered.completed & np.isnan(selected)).sum()),
        failures=tuple(gathered.failures(store)),
        failure_count=len(gathered.broken),
        curves=_draw_curves(store, spec, axes, reached, order, gathered.ids),
    )


class _Gathered:
    """Outcomes laid out in grid order: one entry a cell in every array.

    Held small, as a report on a million cells must fit beside whatever else runs: no list of a tuple
    or a float a cell.
    """

    def __init__(self, spec: Spec, identity: Identity, store: Store) -> None:
        self._grid = spec.grid
        self.ids = list(spec.grid.trajectory_ids(identity))
        place = {name: index for index, name in enumerate(self.ids)}
        # A failure that a later run overtook is gone; where one is left, what lies beyond the history failed.
        self.broken = sorted(place[name] for name, _ in store.failures() if name in place)
        done, metrics = self._lay_out(place, store)
        self.completed = self._in_grid_order(done)
        self.metrics = {name: self._in_grid_order(table) for name, table in metrics.items()}
        broken = np.zeros(done.shape, bool)
        broken[:, self.broken] = True
        self.failed = self._in_grid_order(broken & ~done)

    def _lay_out(
        self, place: dict[str, int], store: Store
    ) -> tuple[npt.NDArray[np.bool_], dict[str, Floats]]:
        """What is completed, and its metrics: one row a budget, one column a trajectory."""
        budgets: Sequence[int | None] = self._grid.budgets or (None,)
        done = np.zeros((len(budgets), len(self.ids)), bool)
        metrics: dict[str, Floats] = {}
        for name, history in store.histories():
            index = place.get(name)
            if index is None:
                continue
            for row, budget in enumerate(budgets):
                if len(history) < (budget or 1):
                    continue
                done[row, index] = True
                for metric, value in history[-1 if budget is None else budget - 1].items():
                    table = metrics.get(metric)
                    if table is None:
                        table = metrics[metric] = np.full(done.shape, np.nan)
                    table[row, index] = value
        return done, metrics

    def _in_grid_order(self, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        grid = self._grid
        if grid.budget is None:
            return table.ravel()
        cube = table.reshape(len(table), *(len(axis.values) for axis in grid.trajectory_axes))
        return np.moveaxis(cube, 0, [axis.name for axis in grid.all_axes].index(grid.budget)).ravel()

    def cell_ids(self) -> npt.NDArray[Any]:
        """Every cell's name."""
        names = (cell_id(self.ids[index], budget) for index, budget in self._grid.cell_positions())
        return np.fromiter(names, object, len(self._grid))

    def failures(self, store: Store) -> Iterator[tuple[Params, Failure]]:
        """Yield the first failures in grid order, with what they were called with."""
        names = [axis.name for axis in self._grid.trajectory_axes]
        # Asked for one by one: a million tracebacks at once would be gigabytes.
        for index in self.broken[:SHOWN_FAILURES]:
            params = self._grid.trajectory_params(index)
            if (failure := store.failure_of(self.ids[index])) is not None:
                yield {name: params[name] for name in names}, failure


class _Reached:
    """The metric by combination: mean over replicates first, then the best over the budget axis.

    mean: (combinations, budgets); NaN where nothing is completed or one replicate diverged.
    value, std, count, at: (combinations,); `at` is the index of the budget value chosen.
    any: whether the combination has a completed cell at all.
    """

    def __init__(
        self,
        spec: Spec,
        axes: tuple[Axis, ...],
        budget: Axis | None,
        selected: Floats,
        completed: npt.NDArray[np.bool_],
    ) -> None:
        grid = spec.grid
        shape = [len(axis.values) for axis in grid.all_axes]
        combinations = math.prod(len(axis.values) for axis in axes)
        budgets = 1 if budget is None else len(budget.values)

        def fold(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
            cube = column.reshape(shape)
            if budget is not None:
                cube = np.moveaxis(cube, grid.axes.index(budget), len(grid.axes) - 1)
            return cube.reshape(combinations, budgets, -1)

        cube, done = fold(selected), fold(completed)
        count = done.sum(axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.mean = np.where(done, cube, 0.0).sum(axis=2) / count  # 0 / 0: nothing completed, NaN
            spread = np.where(done, cube - self.mean[..., None], 0.0)
            std = np.sqrt((spread**2).sum(axis=2) / (count - 1))
        std[count < 2] = np.nan
        signed = np.where(np.isnan(self.mean), -np.inf, _signed(self.mean, spec.mode))
        # A combination that only diverged is told at a budget where something was completed.
        signed = np.where(np.isnan(self.mean) & (count > 0), np.finfo(float).min, signed)
        self.at = signed.argmax(axis=1)  # the first of equals: ties in grid order
        every = np.arange(combinations)
        self.value, self.std = self.mean[every, self.at], std[every, self.at]
        self.count, self.any = count[every, self.at], (count > 0).any(axis=1)


def _signed(values: Floats, mode: str) -> Floats:
    return values if mode == "max" else -values


def _split_axes(spec: Spec) -> tuple[tuple[Axis, ...], Axis | None]:
    """The axes to tell apart, and the budget axis to take the best over.

    A budget axis that is the only axis is no choice to take the best over: it is what was asked.
    """
    others = tuple(axis for axis in spec.grid.axes if axis.name != spec.grid.budget)
    if not others:
        return spec.grid.axes, None
    return others, next((axis for axis in spec.grid.axes if axis.name == spec.grid.budget), None)


def _rank(
    spec: Spec, names: Names, axes: tuple[Axis, ...], budget: Axis | None, reached: _Reached
) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Combinations with a completed cell, best first, NaN last, ties in grid order; and that order."""
    shown = np.flatnonzero(reached.any)
    signed = _signed(reached.value[shown], spec.mode)
    order = shown[np.argsort(np.where(np.isnan(signed), np.inf, -signed), kind="stable")]
    columns: dict[str, Any] = {}
    shape = [len(axis.values) for axis in axes]
    for axis, codes in zip(axes, np.unravel_index(order, shape), strict=True):
        columns[axis.name] = column_of(axis)[codes]
    columns[names.metric] = reached.value[order]
    if spec.grid.replicates:
        columns[names.std], columns[names.count] = reached.std[order], reached.count[order]
    if budget is not None:
        columns[budget.name] = column_of(budget)[reached.at[order]]
    return pd.DataFrame(columns), order


def _tabulate(spec: Spec, names: Names, gathered: _Gathered, status: npt.NDArray[np.int64]) -> pd.DataFrame:
    columns: dict[str, Any] = {names.cell: gathered.cell_ids()}
    every, shape = np.arange(len(spec.grid)), [len(axis.values) for axis in spec.grid.all_axes]
    for axis, codes in zip(spec.grid.all_axes, np.unravel_index(every, shape), strict=True):
        columns[axis.name] = column_of(axis)[codes]
    columns[names.status] = np.array(STATUSES, dtype=object)[status]
    for metric in sorted(gathered.metrics):
        columns[names.of(metric)] = gathered.metrics[metric]
    return pd.DataFrame(columns)


def column_of(axis: Axis) -> npt.NDArray[Any]:
    """An axis's values as an array that keeps them what they are: whole numbers whole, lists lists."""
    kinds = {type(value) for value in axis.values}
    if kinds in ({int}, {float}, {bool}):
        return np.array(axis.values)
    if kinds == {int, float} and all(abs(value) <= 2**53 for value in axis.values):  # type: ignore[arg-type]
        return np.array(axis.values, dtype=float)
    column = np.empty(len(axis.values), dtype=object)
    column[:] = axis.values if tuple not in kinds else None
    if tuple in kinds:
        for index, value in enumerate(axis.values):  # NumPy would take equal lists for a second dimension
            column[index] = value
    return column


def _main_effects(axes: tuple[Axis, ...], budget: Axis | None, reached: _Reached) -> dict[str, pd.DataFrame]:
    cube = reached.value.reshape([len(axis.values) for axis in axes])
    effects = {}
    for place, axis in enumerate(axes):
        flat = np.moveaxis(cube, place, 0).reshape(len(axis.values), -1)
        effects[axis.name] = _mean_rows(axis.values, flat)
    if budget is not None:
        effects[budget.name] = _mean_rows(budget.values, reached.mean.T)
    return effects


def _mean_rows(values: Iterable[Value], rows: Floats) -> pd.DataFrame:
    finite = np.isfinite(rows)
    count = finite.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean = np.where(finite, rows, 0.0).sum(axis=1) / count
    kept = np.empty(len(rows), dtype=object)
    for index, value in enumerate(values):
        kept[index] = value
    return pd.DataFrame({"value": pd.Series(kept, dtype=object), "mean": mean, "count": count})


def _draw_curves(
    store: Store,
    spec: Spec,
    axes: tuple[Axis, ...],
    reached: _Reached,
    order: npt.NDArray[np.int64],
    ids: list[str],
) -> tuple[Curve, ...]:
    """Histories of the best and the worst combinations, as far as the grid as now written goes."""
    if axes == spec.grid.axes and spec.grid.budget is not None:
        picked = [(1, 0)]  # the budget axis alone: every combination is the same trajectory
    else:
        finite = order[np.isfinite(reached.value[order])]
        places = sorted({*range(min(CURVES, len(finite))), *range(max(0, len(finite) - CURVES), len(finite))})
        picked = [(place + 1, int(finite[place])) for place in places]
    repeats = math.prod(len(axis.values) for axis in spec.grid.replicates)
    longest = max(spec.grid.budgets, default=None)
    curves = []
    for place, combination in picked:
        # Trajectories follow grid order without the budget axis, replicates fastest.
        mine = range(combination * repeats, (combination + 1) * repeats)
        histories = [history for index in mine if (history := store.history_of(ids[index])[:longest])]
        params = spec.grid.trajectory_params(mine.start)
        named = {axis.name: params[axis.name] for axis in axes if axis.name in params}
        curves.append(Curve(place, named, _mean_history(histories)))
    return tuple(curves)


def _mean_history(histories: list[list[dict[str, float]]]) -> dict[str, list[float]]:
    metrics = sorted({metric for history in histories for epoch in history for metric in epoch})
    length = max(map(len, histories), default=0)
    mean = {}
    for metric in metrics:
        by_epoch = [[h[k].get(metric, math.nan) for h in histories if len(h) > k] for k in range(length)]
        mean[metric] = [math.fsum(v) / len(v) if all(map(math.isfinite, v)) else math.nan for v in by_epoch]
    return mean
