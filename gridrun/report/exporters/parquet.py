"""Parquet: cells and epochs under the names that the CSVs have, each column with a type of its own.

Surprises met here: pyarrow takes True beside 1 for an error and a tuple for a list, so what is not all
numbers, all truth values or all strings is written as JSON.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gridrun.cell import encode_value
from gridrun.grid import Axis
from gridrun.report.csv import ROWS
from gridrun.results.aggregate import Aggregate, Names
from gridrun.store import Store
from gridrun.terminal import many

# Above it a float no longer names one whole number.
EXACT = 2**53


def write(result: Aggregate, store: Store, folder: Path) -> str:
    """Write cells.parquet and history.parquet; null is where there is none, NaN where training diverged."""
    _write(folder / "cells.parquet", _cells(result))
    _write(folder / "history.parquet", _history(result, store))
    return many(len(result.cells), "cell")


def _write(path: Path, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _cells(result: Aggregate) -> Iterator[pa.Table]:
    cells, names = result.cells, result.names
    columns = {axis.name: column(axis) for axis in result.spec.grid.all_axes}
    metrics = [name for name in cells.columns if name in result.present]
    for start in range(0, len(cells), ROWS):
        here = slice(start, start + ROWS)
        part: dict[str, Any] = {names.cell: pa.array(cells[names.cell].iloc[here].tolist(), pa.string())}
        for name, values in columns.items():
            part[name] = _pick(values, result.layout.codes_of_cells(name, here))
        part[names.status] = pa.array(cells[names.status].iloc[here].tolist(), pa.string())
        epochs = cells[names.epoch].iloc[here].to_numpy()
        part[names.epoch] = pa.array(epochs, pa.int64(), mask=epochs == 0)
        for name in metrics:
            there = result.present[name][here]
            part[name] = pa.array(cells[name].iloc[here].to_numpy(), pa.float64(), mask=~there)
        yield _table(part)


def _history(result: Aggregate, store: Store) -> Iterator[pa.Table]:
    grid, names = result.spec.grid, result.names
    columns = {axis.name: column(axis) for axis in grid.trajectory_axes}
    longest = max(grid.budgets, default=None)
    place = {name: number for number, name in enumerate(result.trajectories)}
    numbers: list[int] = []
    rows: list[tuple[int, dict[str, float]]] = []

    def table() -> pa.Table:
        return _table(_epochs(result, names, columns, numbers, rows))

    for name, history in store.histories_of(result.trajectories):
        for epoch, metrics in enumerate(history.metrics[:longest], start=1):
            numbers.append(place[name])
            rows.append((epoch, dict(metrics)))
        if len(rows) >= ROWS:
            yield table()
            numbers, rows = [], []
    yield table()


def _epochs(
    result: Aggregate,
    names: Names,
    columns: dict[str, pa.Array],
    numbers: list[int],
    rows: list[tuple[int, dict[str, float]]],
) -> dict[str, Any]:
    at = np.array(numbers, dtype=np.int64)
    part = {names.trajectory: pa.array([result.trajectories[n] for n in numbers], pa.string())}
    for name, values in columns.items():
        part[name] = _pick(values, result.layout.codes_of_trajectories(name, at))
    part[names.epoch] = pa.array([epoch for epoch, _ in rows], pa.int64())
    for metric in result.recorded:
        values = [metrics.get(metric) for _, metrics in rows]
        part[names.of(metric)] = pa.array(values, pa.float64(), from_pandas=False)
    return part


def column(axis: Axis) -> pa.Array:
    """The values of an axis as an array of one type."""
    values, kinds = axis.values, {type(value) for value in axis.values}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int}:
        return pa.array(values, pa.int64())
    if kinds <= {int, float} and all(isinstance(v, float) or abs(v) <= EXACT for v in values):  # type: ignore[arg-type]
        return pa.array([float(value) for value in values], pa.float64())  # type: ignore[arg-type]
    if kinds == {str}:
        return pa.array(values, pa.string())
    return pa.array([encode_value(value) for value in values], pa.string())


def _pick(values: pa.Array, codes: Any) -> pa.Array:
    """The values at these places; null where a combination has not got the axis (-1)."""
    return values.take(pa.array(codes, pa.int64(), mask=np.asarray(codes) < 0))


def _table(part: dict[str, Any]) -> pa.Table:
    # A metric's name may hold half a character, which is no UTF-8.
    names = [name.encode("utf-8", "backslashreplace").decode() for name in part]
    return pa.table(list(part.values()), names=names)
