"""cells.csv and best.csv: the same bytes however the sweep was run."""

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from gridrun.aggregate import Aggregate
from gridrun.cell import encode_value
from gridrun.report.captions import title

# Rows turned into Python's objects at a time: a million of twelve columns would be 400 MB.
ROWS = 10_000


def write_cells(result: Aggregate, path: Path) -> None:
    """Write every cell in grid order. A diverged metric is nan; of a cell without outcome, nothing."""
    names = result.names
    parameters = {names.cell, names.status, *(axis.name for axis in result.spec.grid.all_axes)}

    def columns(part: pd.DataFrame) -> Iterator[list[Any]]:
        completed = (part[names.status] == "completed").tolist()
        for name in part.columns:
            if name in parameters:
                yield _texts(part[name])
            else:
                pairs = zip(part[name].tolist(), completed, strict=True)
                yield [value if done else "" for value, done in pairs]

    _write(path, [_text(str(name)) for name in result.cells.columns], result.cells, columns)


def write_best(result: Aggregate, path: Path) -> None:
    """Write the best over the budget axis, best first, under titles made from the names."""
    names = result.names
    titles = {axis.name: title(axis.name) for axis in result.axes}
    titles[names.metric] = title(names.metric)
    if result.spec.grid.replicates:
        titles[names.std] = title(names.std)
        titles[names.count] = title_of_count(result)

    def columns(part: pd.DataFrame) -> Iterator[list[Any]]:
        return (_texts(part[name]) for name in titles)

    _write(path, [_text(t) for t in titles.values()], result.best, columns)


def title_of_count(result: Aggregate) -> str:
    """What the replicates are called together: Seeds, or Runs where there are several axes of them."""
    replicates = result.spec.grid.replicates
    return title(replicates[0].name) + "s" if len(replicates) == 1 else "Runs"


def _write(
    path: Path,
    header: list[str],
    frame: pd.DataFrame,
    columns: Callable[[pd.DataFrame], Iterable[list[Any]]],
) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for start in range(0, len(frame), ROWS):
            writer.writerows(zip(*columns(frame.iloc[start : start + ROWS]), strict=True))


def _texts(column: "pd.Series[Any]") -> list[Any]:
    if column.dtype.kind in "if":
        # csv writes a float with repr, which reads back to the same float.
        values = column.tolist()
        return ["" if math.isnan(value) else value for value in values] if _is_std(column) else values
    known: dict[tuple[type, Any], str] = {}
    texts = []
    for value in column.tolist():
        key = (type(value), value)
        if key not in known:
            known[key] = _text(value) if isinstance(value, str) else _encode(value)
        texts.append(known[key])
    return texts


def _is_std(column: "pd.Series[Any]") -> bool:
    return str(column.name).endswith(" std")  # of a single replicate there is none


def _encode(value: Any) -> str:
    # A number among texts, a truth value or a list, as TOML writes it; a list of texts can hold no formula.
    return (
        repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else encode_value(value)
    )


def _text(value: str) -> str:
    # A spreadsheet runs text that begins so as a formula.
    return "'" + value if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
