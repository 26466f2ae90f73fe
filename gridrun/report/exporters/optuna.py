"""Optuna: a study in SQLite, a trial for each cell, its epochs the trial's intermediate values.

Surprises met here: a trial can't be complete with NaN, so what diverged has failed, as its attribute says;
a numeric parameter's values must lie in one range for all trials, so the axis is that range; a moment is
local time without a zone. A trial takes about 10 ms.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from gridrun.cell import Cell, encode_params
from gridrun.grid import Axis
from gridrun.outcome import COMPLETED, FAILED, Progress
from gridrun.report.exporters.runs import plain
from gridrun.results.aggregate import Aggregate
from gridrun.store import Store
from gridrun.terminal import many

# From so many times the least value on, an axis may be logarithmic.
DECADE = 10


def write(result: Aggregate, store: Store, folder: Path) -> str:
    """Write optuna.db. Its best trial is the best cell; pending cells are left out."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec = result.spec
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=spec.name,
            direction="maximize" if spec.mode == "max" else "minimize",
        )
        study.set_user_attr("metric", spec.metric)
        study.set_user_attr("fixed", encode_params(spec.grid.fixed))
        study.set_user_attr("grid.toml", spec.text)
        count = 0
        for trial in _trials(result, store):
            study.add_trial(trial)
            count += 1
    finally:
        storage.remove_session()
        storage.engine.dispose()
    return many(count, "trial")


def _trials(result: Aggregate, store: Store) -> Iterator[FrozenTrial]:
    grid = result.spec.grid
    spread = {axis.name: distribution(axis) for axis in grid.all_axes}
    for number, budget in grid.cell_positions():
        cell = grid.cell(number, result.trajectories[number], budget)
        trial = _trial(result, store, cell, spread)
        if trial is not None:
            yield trial


def _trial(
    result: Aggregate, store: Store, cell: Cell, spread: dict[str, BaseDistribution]
) -> FrozenTrial | None:
    spec, budget = result.spec, cell.budget
    (history, ended), failure = store.history_of(cell.trajectory), store.failure_of(cell.trajectory)
    status = Progress(len(history), failure is not None, ended).status(budget)
    at = spec.rule.epoch_of(history, budget, ended)
    metrics = {} if at is None else history[at]
    value = metrics.get(spec.metric, math.nan)
    attributes: dict[str, Any] = {"cell": cell.id}
    attributes |= {name: v for name, v in metrics.items() if name != spec.metric and math.isfinite(v)}
    if status == FAILED and failure is not None:
        attributes["failure"] = failure.reason
    elif status != COMPLETED:
        return None
    elif not math.isfinite(value):
        attributes["failure"] = "diverged" if spec.metric in metrics else f"no {spec.metric}"
    names = [name for name in spread if name in cell.params]
    complete = status == COMPLETED and math.isfinite(value)
    trial = create_trial(
        state=TrialState.COMPLETE if complete else TrialState.FAIL,
        value=value if complete else None,
        params={name: _choice(spread[name], plain(cell.params[name])) for name in names},
        distributions={name: spread[name] for name in names},
        user_attrs=attributes,
        intermediate_values={
            epoch: each[spec.metric]
            for epoch, each in enumerate(history[:budget], start=1)
            if spec.metric in each
        },
    )
    _set_moments(trial, store, cell)
    return trial


def _set_moments(trial: FrozenTrial, store: Store, cell: Cell) -> None:
    """From the trajectory's beginning until the last epoch of the cell's budget was done."""
    timing = store.timing_of(cell.trajectory)
    if timing is None:
        return
    try:
        ended = datetime.fromisoformat(timing.finished_at).astimezone().replace(tzinfo=None)
        began = ended - timedelta(seconds=timing.wall_s)
        until = (cell.budget or len(timing.seconds)) - 1
        took = timing.seconds[until] if 0 <= until < len(timing.seconds) else timing.wall_s
        trial.datetime_start, trial.datetime_complete = began, began + timedelta(seconds=took)
    except (ValueError, OverflowError, OSError):
        return


def distribution(axis: Axis) -> BaseDistribution:
    """An axis as a range where all its values are numbers, else as choices."""
    values = [value for value in axis.values if isinstance(value, int | float)]
    if len(values) < len(axis.values) or any(isinstance(value, bool) for value in values):
        return CategoricalDistribution(tuple(plain(value) for value in axis.values))
    low, high = min(values), max(values)
    if all(isinstance(value, int) for value in values):
        return IntDistribution(int(low), int(high), log=is_logarithmic(values))
    return FloatDistribution(float(low), float(high), log=is_logarithmic(values))


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether the ratios of neighbours are more alike than their differences."""
    values = sorted(values)
    if values[0] <= 0 or values[-1] < DECADE * values[0]:
        return False
    ratios = [math.log(b / a) for a, b in pairwise(values)]
    differences = [b - a for a, b in pairwise(values)]
    return _variation(ratios) <= _variation(differences)


def _variation(values: Sequence[float]) -> float:
    return statistics.pstdev(values) / statistics.fmean(values)


def _choice(spread: BaseDistribution, value: str | int | float | bool) -> str | int | float | bool:
    return float(value) if isinstance(spread, FloatDistribution) else value
