"""What a report says: cells as a table, combinations ranked, main effects, curves.

Reads the store and nothing else. The trainer is never imported, so opening a stranger's results runs
none of their code.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gridrun.cell import Params, Value
from gridrun.directory import FILE
from gridrun.effects import Effects, find_effects
from gridrun.grid import Axis
from gridrun.outcome import STATUSES, Failure
from gridrun.results.curves import Curve, pick_curves
from gridrun.results.examples import Examples, gather_examples
from gridrun.results.gather import Floats, Gathered
from gridrun.results.layout import Layout, Part
from gridrun.results.provenance import trace
from gridrun.results.ranking import Reached, mean_where
from gridrun.results.reruns import Ran, gather_reruns
from gridrun.selection import Rule, merits, sounds_lower
from gridrun.spec import Spec
from gridrun.store import Store


@dataclass(frozen=True)
class Aggregate:
    """Everything a report says, and nothing that changes with the way the sweep was run.

    cells: one row a cell in grid order: its id, axes, replicates, status, metrics sorted by name.
    best: one row a combination of the axes without the budget axis, best first: the axes, the
        metric (mean over the completed replicates, then best over the budget axis), with
        replicates its standard deviation (n - 1) and count, the budget it was reached at, the id of
        the first completed replicate's cell there, and how many replicates failed. Empty while no
        cell has the metric.
    order, reached_at: where each row of `best` is: its combination's place in grid order, and its
        budget's on the budget axis.
    present: whether a cell's epoch has each metric (by column of `cells`) at all.
    trajectories: their names in grid order; `recorded`: every metric of any epoch of theirs, sorted.
    layout: how combinations are told apart, and where they stand.
    by_combination, by_budget, by_run: the metric of every combination (combinations,), of each with each
        budget (combinations, budgets), of every run (combinations, budgets, replicates); NaN where it is
        not completed or training diverged.
    diverged, absent, stopped_early: how many completed cells have NaN or an infinity for the metric
        that is selected on, have none at all, have that of a run which ended by itself before.
    defaults: the trainer's values, common to all that is completed, of what grid.toml leaves alone.
    versions: of every package that a session was run with; several where sessions differ.
    mixtures: sentences about what is not common to it: versions of the code, defaults.
    reruns: what was run once more after the sweep, whatever its choice was then.
    examples: which held-out examples the best choices got right, where the trainer tells.
    main_effects: per axis the columns value, mean and count (of the combinations averaged, that have it).
    """

    spec: Spec
    names: "Names"
    defaults: Params
    mixtures: tuple[str, ...]
    versions: Mapping[str, Value]
    cells: pd.DataFrame
    best: pd.DataFrame
    order: npt.NDArray[np.int64]
    reached_at: npt.NDArray[np.int64]
    present: dict[str, npt.NDArray[np.bool_]]
    trajectories: Sequence[str]
    recorded: Sequence[str]
    layout: Layout
    by_combination: Floats
    by_budget: Floats
    by_run: Floats
    examples: Examples | None
    reruns: tuple[Ran, ...]
    main_effects: dict[str, pd.DataFrame]
    counts: dict[str, int]
    diverged: int
    absent: int
    stopped_early: int
    failures: tuple[tuple[Params, Failure], ...]
    failure_count: int
    curves: tuple[Curve, ...]

    @property
    def replicates(self) -> int:
        """How many runs a combination is the mean of, when all of them are completed."""
        return prod(len(axis.values) for axis in self.spec.grid.replicates)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The parameters that combinations differ in; the budget axis only where it is the only axis."""
        return self.layout.axes

    @property
    def budget(self) -> Axis | None:
        """The budget axis, to take the best over."""
        return self.layout.budget

    @cached_property
    def part(self) -> Part:
        """The [[grid]] that the best is in: the whole grid, where there is only one."""
        best = int(self.order[0]) if len(self.order) else 0
        return next(part for part in self.layout.parts if (part.rows == best).any())

    @property
    def frame(self) -> tuple[Axis, ...]:
        """Its axes, the budget axis among them, a zip as one."""
        budget = () if self.budget is None else (self.budget,)
        return (*self.part.axes[: self.part.before], *budget, *self.part.axes[self.part.before :])

    @cached_property
    def runs(self) -> Floats:
        """The metric of every run with one dimension an axis of the frame, and a last one for replicates."""
        cube, place = self.part.cube(self.by_run), len(self.part.axes)
        if self.budget is None:
            return np.asarray(cube.take(0, place))
        return np.moveaxis(cube, place, self.part.before)

    @cached_property
    def effects(self) -> Effects | None:
        """What each axis of the frame and each interplay explains; None where nothing is there or varies."""
        return find_effects(self.runs)

    @cached_property
    def isolation(self) -> dict[str, Floats]:
        """By axis, budget axis and zips too: for each value the best over all else; NaN where none is."""
        sign = 1 if self.spec.mode == "max" else -1
        signed = merits(self.by_budget, self.spec.mode)
        best = {}
        for axis in self.layout.factors:
            found = np.full(len(axis.values), -np.inf)
            codes = self.layout.codes[axis.name]
            np.maximum.at(found, codes[codes >= 0], signed[codes >= 0].max(axis=1))
            best[axis.name] = found
        if self.budget is not None:
            best[self.budget.name] = signed.max(axis=0)
        return {name: np.where(np.isfinite(found), sign * found, np.nan) for name, found in best.items()}

    @property
    def has_best(self) -> bool:
        """Whether any combination has a finite metric."""
        return len(self.order) > 0 and bool(np.isfinite(self.by_combination[self.order[0]]))


class Names:
    """Column names, kept apart: a metric that is called like a parameter becomes `<name> (metric)`."""

    def __init__(self, spec: Spec, defaults: Params) -> None:
        axes = {axis.name for axis in spec.grid.all_axes}
        self.cell = _unlike("cell", " (id)", axes)
        self.status = _unlike("status", " (of the cell)", axes)
        self.epoch = _unlike("epoch", " (of the metrics)", axes)
        self.trajectory = _unlike("trajectory", " (id)", axes)
        taken = {*axes, *spec.grid.fixed, *defaults, "cell", "status", "epoch", "trajectory"}
        # How often each of them bears the mark already, so that no two metrics get one name.
        self._taken = dict(sorted(map(_marks, taken)))
        self.metric = self.of(spec.metric)
        self.std = _unlike(f"{self.metric} std", " (of the metric)", axes)
        self.count = _unlike(f"{self.metric} count", " (of the metric)", axes)
        self.seconds = _unlike("seconds", " (of a run)", axes | {self.metric})
        self.failed = _unlike("failed", " (replicates)", axes | {self.metric})

    def of(self, metric: str) -> str:
        """The column of a metric."""
        name, _ = _marks(metric)
        return metric + MARK * (self._taken[name] + 1) if name in self._taken else metric


MARK = " (metric)"


def _marks(name: str) -> tuple[str, int]:
    bare = name
    while bare.endswith(MARK):
        bare = bare.removesuffix(MARK)
    return bare, (len(name) - len(bare)) // len(MARK)


def _unlike(name: str, suffix: str, others: Collection[str]) -> str:
    while name in others:
        name += suffix
    return name


def aggregate(store: Store, metric: str | None = None) -> Aggregate:
    """Aggregate the outcomes of the grid that was swept last, ranked by another metric if one is named.

    Of that less is better if its name says so. Raises: InputError if none was swept.
    """
    spec = Spec.parse(store.grid_text(), str(store.directory / FILE))
    if metric is not None:
        mode = "min" if sounds_lower(metric) else "max"
        spec = replace(spec, rule=Rule(metric, mode, spec.rule.epoch))
    identity, layout = store.identity(), Layout(spec.grid)
    names = Names(spec, store.defaults())
    gathered = Gathered(spec, identity, store)
    provenance = trace(store, set(gathered.ids))
    nowhere = np.zeros(gathered.epoch.shape, bool)
    there = gathered.present.get(spec.metric, nowhere)
    # An infinite metric is as much a divergence as NaN, and must not win.
    selected = gathered.metrics.get(spec.metric, np.full(nowhere.shape, np.nan))
    selected = np.where(np.isfinite(selected), selected, np.nan)
    reached = Reached(layout, spec.mode, selected, there, gathered.failed)
    order = reached.order(spec.mode)
    status = np.where(gathered.completed, 0, np.where(gathered.failed, 1, 2))
    cells = _tabulate(spec, names, layout, gathered, status)
    return Aggregate(
        spec=spec,
        names=names,
        defaults=provenance.defaults,
        mixtures=provenance.mixtures,
        versions=provenance.versions,
        cells=cells,
        best=_rank(spec, names, layout, reached, order, cells[names.cell].to_numpy()),
        order=order,
        reached_at=reached.at[order],
        present={names.of(m): mask.ravel()[layout.order] for m, mask in gathered.present.items()},
        trajectories=gathered.ids,
        recorded=sorted(gathered.recorded),
        layout=layout,
        by_combination=reached.value,
        by_budget=reached.mean,
        by_run=layout.fold(selected),
        examples=gather_examples(store, spec, layout, reached.mean, gathered),
        reruns=gather_reruns(store, spec),
        main_effects=_main_effects(layout, reached),
        counts={name: int((status == i).sum()) for i, name in enumerate(STATUSES)},
        diverged=int((there & np.isnan(selected)).sum()),
        absent=int((gathered.completed & ~there).sum()),
        stopped_early=gathered.stopped_early,
        failures=tuple(gathered.failures(store)),
        failure_count=len(gathered.broken),
        curves=pick_curves(store, spec, layout, reached, order, gathered.ids),
    )


def _rank(
    spec: Spec,
    names: Names,
    layout: Layout,
    reached: Reached,
    order: npt.NDArray[np.int64],
    ids: npt.NDArray[Any],
) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for axis in layout.axes:
        columns[axis.name] = _picked(axis, layout.codes[axis.name][order])
    columns[names.metric] = reached.value[order]
    if spec.grid.replicates:
        columns[names.std], columns[names.count] = reached.std[order], reached.count[order]
    if layout.budget is not None:
        columns[layout.budget.name] = _picked(layout.budget, reached.at[order])
    columns[names.cell] = ids[layout.places[reached.first[order]]]
    columns[names.failed] = reached.failed[order]
    return _table(columns)


def _tabulate(
    spec: Spec, names: Names, layout: Layout, gathered: Gathered, status: npt.NDArray[np.int64]
) -> pd.DataFrame:
    columns: dict[str, Any] = {names.cell: gathered.cell_ids()}
    for axis in spec.grid.all_axes:
        columns[axis.name] = _picked(axis, layout.codes_of_cells(axis.name, slice(None)))
    columns[names.status] = np.array(STATUSES, dtype=object)[status.ravel()[layout.order]]
    columns[names.epoch] = gathered.epoch.ravel()[layout.order]
    for metric in sorted(gathered.metrics):
        columns[names.of(metric)] = gathered.metrics[metric].ravel()[layout.order]
    return _table(columns)


def _table(columns: Mapping[str, Any]) -> pd.DataFrame:
    with suppress(UnicodeEncodeError):
        return pd.DataFrame(columns)
    # A metric's name may hold half a character, which strings of pandas refuse where pyarrow keeps them.
    table = pd.DataFrame(dict(enumerate(columns.values())))
    table.columns = pd.Index(list(columns), dtype=object)
    return table


def _picked(axis: Axis, codes: npt.NDArray[Any]) -> "npt.NDArray[Any] | pd.Series[Any]":
    """The values at these places; NaN, which no value is, where a combination has not got the axis."""
    column = column_of(axis)
    if len(codes) and codes.min() < 0:
        return pd.Series(_objects((*column.tolist(), math.nan))[codes], dtype=object)
    # Among texts pandas would take null for NaN.
    return pd.Series(column[codes], dtype=object) if None in axis.values else column[codes]


def column_of(axis: Axis) -> npt.NDArray[Any]:
    """An axis's values as an array that keeps them what they are: whole numbers whole, lists lists."""
    kinds = {type(value) for value in axis.values}
    if kinds in ({int}, {float}, {bool}):
        return np.array(axis.values)
    if kinds == {int, float} and all(abs(value) <= 2**53 for value in axis.values):  # type: ignore[arg-type]
        return np.array(axis.values, dtype=float)
    return _objects(axis.values)


def _objects(values: Sequence[Value]) -> npt.NDArray[Any]:
    column = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):  # NumPy would take equal lists for a second dimension
        column[index] = value
    return column


def _main_effects(layout: Layout, reached: Reached) -> dict[str, pd.DataFrame]:
    effects = {}
    for axis in layout.factors:
        effects[axis.name] = _mean_groups(axis.values, layout.codes[axis.name], reached.value)
    if layout.budget is not None:
        effects[layout.budget.name] = _mean_rows(layout.budget.values, reached.mean.T)
    return effects


def _mean_groups(values: Sequence[Value], codes: npt.NDArray[np.int32], column: Floats) -> pd.DataFrame:
    """The mean of each value's combinations, of those that have the axis."""
    order = np.argsort(codes, kind="stable")[(codes < 0).sum() :]
    counts = np.bincount(codes[order], minlength=len(values))
    starts, effect = np.cumsum(counts) - counts, _mean_rows(values, np.full((len(values), 0), np.nan))
    # Groups of one size are the rows of one table; in a grid without gaps all are.
    for count in np.unique(counts[counts > 0]).tolist():
        groups = np.flatnonzero(counts == count)
        rows = column[order[starts[groups][:, None] + np.arange(count)]]
        found = _mean_rows([values[group] for group in groups.tolist()], rows)
        effect.loc[groups, ["mean", "count"]] = found[["mean", "count"]].to_numpy()
    return effect


def _mean_rows(values: Sequence[Value], rows: Floats) -> pd.DataFrame:
    finite = np.isfinite(rows)
    kept = pd.Series(_objects(values), dtype=object)
    return pd.DataFrame({"value": kept, "mean": mean_where(rows, finite), "count": finite.sum(axis=1)})
