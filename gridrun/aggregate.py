"""Outcomes to tables: every cell, and the best over the budget axis with replicates averaged first.

Never imports the train function: opening a stranger's results runs none of their code.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from gridrun.cell import Params, Value, encode_value
from gridrun.errors import InputError
from gridrun.grid import Axis, Grid, cell_id
from gridrun.spec import Spec
from gridrun.store import FILE, Failure, Store


@dataclass(frozen=True, eq=False)
class Aggregate:
    """One study's outcomes.

    `cells` has one row a cell in grid order: cell, axes, replicates, status, metrics. `best` has one row
    for each combination of `axes` (those of the grid without the budget axis), best first: the axes, the
    metric (mean over replicates), `std` over them, `count`, and `budget`, where the best was reached.
    `trajectories` are in grid order, `histories` their
    metrics by epoch, as far as there are any; `fixed` also holds the train function's defaults.
    """

    spec: Spec
    axes: tuple[Axis, ...]
    fixed: Params
    cells: pd.DataFrame
    best: pd.DataFrame
    trajectories: tuple[str, ...]
    histories: Mapping[str, list[dict[str, float]]]
    failures: Mapping[str, Failure]

    @property
    def selected_on(self) -> str:
        """What the numbers are, for every caption: metric, direction, split and replicates."""
        spec = self.spec
        split = f" on split = {self.fixed['split']}" if "split" in self.fixed else ""
        over = f", best over {spec.grid.budget}" if spec.grid.budget else ""
        seeds = math.prod(len(axis.values) for axis in spec.grid.replicates)
        mean = f", mean of {seeds} replicates" if spec.grid.replicates else ""
        return f"{spec.metric} ({spec.mode}){split}{over}{mean}"

    @property
    def diverged(self) -> int:
        """Completed cells whose metric is NaN."""
        done = self.cells["status"] == "completed"
        return int((done & self.cells[metric_column(self.spec)].isna()).sum())


def aggregate(store: Store) -> Aggregate:
    """Read a store. Raises: InputError if no cell is completed; EnvironmentFault if it can't be read."""
    spec = Spec.parse(store.grid_text(), str(store.directory / FILE))
    identity, grid = store.identity(), spec.grid
    ids = tuple(grid.trajectory_ids(identity))
    wanted = set(ids)
    histories = {name: history for name, history in store.histories() if name in wanted}
    failures = {name: failure for name, failure in store.failures() if name in wanted}
    cells = _cells(grid, ids, histories, failures)
    if not (cells["status"] == "completed").any():
        raise InputError(f"{store.directory}: no cell is completed yet; run `gridrun sweep` first")
    axes = tuple(axis for axis in grid.axes if axis.name != grid.budget)
    fixed = {**store.defaults(), **grid.fixed}
    return Aggregate(spec, axes, fixed, cells, _best(spec, axes, cells), ids, histories, failures)


def metric_column(spec: Spec) -> str:
    """The column of `cells` with the metric that is selected on."""
    return _column(spec.metric, spec.grid)


def main_effects(result: Aggregate) -> dict[str, list[tuple[Value, float]]]:
    """For each axis, the mean of the best table's metric at each of its values; NaN left out."""
    effects: dict[str, list[tuple[Value, float]]] = {}
    for axis in result.axes:
        column = result.best[axis.name].map(lambda v: encode_value(v))
        means = result.best.groupby(column)["metric"].mean()
        effects[axis.name] = [
            (value, float(means.get(encode_value(value), math.nan))) for value in axis.values
        ]
    return effects


def _column(metric: str, grid: Grid) -> str:
    taken = {"cell", "status", *grid.fixed, *(axis.name for axis in grid.all_axes)}
    return f"{metric} (metric)" if metric in taken else metric


def _cells(
    grid: Grid, ids: tuple[str, ...], histories: Mapping[str, Any], failures: Mapping[str, Any]
) -> pd.DataFrame:
    names = sorted({name for history in histories.values() for metrics in history for name in metrics})
    data: dict[str, Any] = {"cell": []}
    combinations = list(zip(*product(*(axis.values for axis in grid.all_axes)), strict=True))
    for axis, values in zip(grid.all_axes, combinations, strict=True):
        data[axis.name] = _series(values)
    data["status"] = []
    metrics: dict[str, list[float]] = {name: [] for name in names}
    for index, budget in grid.cell_positions():
        name = ids[index]
        history = histories.get(name, ())
        done = len(history) >= (budget or 1)
        data["cell"].append(cell_id(name, budget))
        data["status"].append("completed" if done else "failed" if name in failures else "pending")
        row = history[(budget or len(history)) - 1] if done else {}
        for metric in names:
            metrics[metric].append(row.get(metric, math.nan))
    data.update({_column(name, grid): values for name, values in metrics.items()})
    return pd.DataFrame(data)


def _series(values: tuple[Value, ...]) -> "pd.Series[Any]":
    """A column with its type kept: whole numbers stay whole, mixed columns stay Python objects."""
    kinds = {type(value) for value in values}
    return pd.Series(list(values), dtype=kinds.pop() if kinds <= {int} or kinds <= {float} else object)


def _best(spec: Spec, axes: tuple[Axis, ...], cells: pd.DataFrame) -> pd.DataFrame:
    """Mean over replicates, then the best over the budget axis, then sorted; ties stay in grid order."""
    grid = spec.grid
    shape = tuple(len(axis.values) for axis in grid.all_axes)
    done = (cells["status"] == "completed").to_numpy().reshape(shape)
    values = cells[metric_column(spec)].to_numpy(float).reshape(shape)
    over = tuple(range(len(grid.axes), len(shape)))  # the replicate axes
    count = done.sum(axis=over)
    # A replicate that diverged is completed with NaN, and makes its mean NaN: it can't win by being left out.
    total = np.where(done, values, 0).sum(axis=over)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        std = np.sqrt(
            np.where(done, (values - np.expand_dims(mean, over)) ** 2, 0).sum(axis=over) / (count - 1)
        )
    sign = -1.0 if spec.mode == "max" else 1.0
    rank = np.where(np.isnan(mean), np.inf, sign * mean)
    if grid.budget is not None:
        place = [axis.name for axis in grid.axes].index(grid.budget)
        winner = np.expand_dims(rank.argmin(axis=place), place)
        mean, std, rank, count = (
            np.take_along_axis(a, winner, place).squeeze(place) for a in (mean, std, rank, count)
        )
        budgets = np.asarray(grid.budgets)[winner.squeeze(place)].ravel()
    columns = list(zip(*product(*(axis.values for axis in axes)), strict=True))
    data: dict[str, Any] = {axis.name: _series(v) for axis, v in zip(axes, columns, strict=True)}
    data |= {"metric": mean.ravel(), "std": std.ravel(), "count": count.ravel()}
    if grid.budget is not None:
        data["budget"] = budgets
    order = np.argsort(rank.ravel(), kind="stable")
    table = pd.DataFrame(data, index=range(rank.size)).iloc[order]
    return table[table["count"] > 0].reset_index(drop=True)
