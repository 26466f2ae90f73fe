"""Metrics by epoch of the combinations that a page draws: thinned, so that long runs stay small."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gridrun.report.views.scales import drawable, thin
from gridrun.results.aggregate import Aggregate
from gridrun.results.layout import Floats
from gridrun.results.ranking import mean_where, std_where
from gridrun.store import Store
from gridrun.terminal import visible

MOST_POINTS = 300  # of one curve
MOST_CURVES = 200  # each is looked up in the store, a millisecond
MOST_NUMBERS = 60_000  # in all: 600 kB
SHOWN_METRICS = 4
# Of curves that are seen when their choice is pinned, of the metric selected on alone:
PINNED_POINTS = 40  # of one
PINNED_NUMBERS = 200_000  # in all: 0.8 MB, packed
PINNED_EPOCHS = 1_000_000  # read from the store: two seconds


def gather_histories(result: Aggregate, store: Store, wanted: Sequence[str] | None = None) -> dict[str, Any]:
    """By a combination's number: the epochs that are told, and each metric there, its mean and deviation.

    All combinations where they are few; else the best, the worst, and others evenly chosen by rank. Of the
    metrics that are `wanted`; else of the one selected on and some others.
    """
    layout, repeats = result.layout, result.spec.grid.repeats
    names = [result.spec.metric, *(name for name in result.recorded if name != result.spec.metric)]
    names = [name for name in wanted or names if name in result.recorded][:SHOWN_METRICS]
    order = result.order.tolist() if not layout.is_budget_alone else [0]
    if not order or not names:
        return {}
    longest = max(result.spec.grid.budgets, default=None)
    first = len(store.history_of(result.trajectories[order[0] * repeats]).metrics[:longest])
    points = min(max(first, 1), MOST_POINTS)
    most = min(MOST_CURVES // repeats, MOST_NUMBERS // (points * len(names) * (2 if repeats > 1 else 1)))
    if first * repeats > 20_000:  # long runs take long to read
        most = min(most, 12)
    most = max(6, most)
    found = {}
    for place in thin(range(len(order)), most, None):
        combination = order[place]
        mine = result.trajectories[combination * repeats : (combination + 1) * repeats]
        runs = [history for name in mine if (history := store.history_of(name).metrics[:longest])]
        if not runs:
            continue
        length = max(map(len, runs))
        epochs = [i + 1 for i in thin(range(length), MOST_POINTS, None)]
        told = {}
        for number, name in enumerate(names):
            table = _table(runs, name, epochs)
            told[str(number)] = _mean_and_deviation(table)
        found[str(combination)] = {"epochs": epochs, "metrics": told}
    return {"names": [visible(name) for name in names], "curves": found}


def gather_pinned(result: Aggregate, store: Store, combinations: list[int]) -> dict[str, Any]:
    """By a combination's number its metric by epoch: of the first of `combinations`, until they are too many.

    epochs: of each length of a curve those that are told. curves: the length, and the values there; curves of
    one epoch are none. whole: whether there are all.
    """
    repeats, name = result.spec.grid.repeats, result.spec.metric
    longest = max(result.spec.grid.budgets, default=None)
    epochs: dict[int, list[int]] = {}
    curves: dict[str, list[Any]] = {}
    told = read = 0
    ids = result.trajectories
    names = (ids[c * repeats + run] for c in combinations for run in range(repeats))
    found = iter(store.histories_of(names))
    ahead = next(found, None)
    for combination in combinations:
        runs = []
        for trajectory in ids[combination * repeats : (combination + 1) * repeats]:
            if ahead is not None and ahead[0] == trajectory:
                runs.append(ahead[1].metrics[:longest])
                read += len(ahead[1].metrics)
                ahead = next(found, None)
        length = max(map(len, runs), default=0)
        if length > 1:
            shown = epochs.setdefault(length, [i + 1 for i in thin(range(length), PINNED_POINTS, None)])
            curves[str(combination)] = [length, *_mean_and_deviation(_table(runs, name, shown))[0]]
            told += len(shown)
        if told > PINNED_NUMBERS or read > PINNED_EPOCHS or ahead is None:
            break
    return {"name": visible(name), "epochs": epochs, "curves": curves, "whole": ahead is None}


def _table(runs: list[Any], name: str, epochs: list[int]) -> Floats:
    """Shapes: (runs, epochs)."""
    return drawable([[_value(run, epoch, name) for epoch in epochs] for run in runs])


def _value(run: Any, epoch: int, name: str) -> float:
    return float(run[epoch - 1].get(name, np.nan)) if epoch <= len(run) else np.nan


def _mean_and_deviation(table: Floats) -> list[list[float | None]]:
    columns = table.T
    there = np.isfinite(columns)
    mean = mean_where(columns, there)
    told = [_round(mean)]
    return [*told, _round(std_where(columns, there, mean))] if len(table) > 1 else told


def _round(values: Floats) -> list[float | None]:
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in values.tolist()]
