"""cells.csv and best.csv: the same bytes however the sweep was run."""

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from gridrun.aggregate import Aggregate
from gridrun.cell import encode_value
from gridrun.report.captions import title


def write_cells(result: Aggregate, path: Path) -> None:
    """Write every cell in grid order. A diverged metric is nan; of a cell without outcome, nothing."""
    names, frame = result.names, result.cells
    parameters = {names.cell, names.status, *(axis.name for axis in result.spec.grid.all_axes)}
    completed = (frame[names.status] == "completed").to_numpy()
    columns = []
    for name in frame.columns:
        column = frame[name]
        if name in parameters:
            columns.append(_texts(column))
        else:
            pairs = zip(column.tolist(), completed.tolist(), strict=True)
            columns.append([value if done else "" for value, done in pairs])
    _write(path, [_text(str(name)) for name in frame.columns], columns)


def write_best(result: Aggregate, path: Path) -> None:
    """Write the best over the budget axis, best first, under titles made from the names."""
    names = result.names
    titles = {axis.name: title(axis.name) for axis in result.axes}
    titles[names.metric] = title(names.metric)
    if result.spec.grid.replicates:
        titles[names.std] = title(names.std)
        titles[names.count] = title_of_count(result)
    _write(path, [_text(t) for t in titles.values()], [_texts(result.best[name]) for name in titles])


def title_of_count(result: Aggregate) -> str:
    """What the replicates are called together: Seeds, or Runs where there are several axes of them."""
    replicates = result.spec.grid.replicates
    return title(replicates[0].name) + "s" if len(replicates) == 1 else "Runs"


def _write(path: Path, header: list[str], columns: Iterable[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(zip(*columns, strict=True))


def _texts(column: "pd.Series[Any]") -> list[Any]:
    if column.dtype.kind in "if":
        # csv writes a float with repr, which reads back to the same float.
        return [
            "" if isinstance(v, float) and math.isnan(v) and _is_std(column) else v for v in column.tolist()
        ]
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
