"""cells.csv, best.csv, table.png and the leaderboard of the terminal."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from gridrun.aggregate import Aggregate
from gridrun.cell import Value

# Rows of table.png: what fits a page and can be read.
MOST_ROWS = 20


def write_csv(result: Aggregate, folder: Path) -> None:
    """Write cells.csv and best.csv: the same bytes however the sweep was run; timings live in the store."""
    _write(result.cells, folder / "cells.csv")
    _write(_best_table(result), folder / "best.csv")


def leaderboard(result: Aggregate, top: int) -> Table:
    """The best combinations for the terminal, readable at 80 columns."""
    spec = result.spec
    table = Table(
        title=Text(f"{spec.name}: {result.selected_on}"), title_justify="left", caption_justify="left"
    )
    table.add_column("#", justify="right")
    for name in [axis.name for axis in result.axes] + ([spec.grid.budget] if spec.grid.budget else []):
        table.add_column(Text(show_title(name)), justify="right", overflow="fold")
    table.add_column(Text(show_title(spec.metric)), justify="right", style="bold")
    for number, row in enumerate(result.best.head(top).to_dict("records"), start=1):
        budget = [str(row["budget"])] if spec.grid.budget else []
        shown = [show_value(row[axis.name]) for axis in result.axes]
        table.add_row(str(number), *map(Text, shown + budget), Text(_metric(row, result)))
    table.caption = Text(_caption(result))
    return table


def draw_table(result: Aggregate, folder: Path) -> None:
    """table.png: the top rows of best.csv."""
    shown = _best_table(result).head(MOST_ROWS)
    rows = [[show_value(value) for value in row] for row in shown.itertuples(index=False, name=None)]
    figure = Figure(figsize=(max(6.0, 1.7 * len(shown.columns)), 1.3 + 0.3 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.axis("off")
    axes.set_title(
        f"{result.spec.name}: {result.selected_on}\n{_caption(result)}", fontsize=9, parse_math=False
    )
    drawn = axes.table(rows, colLabels=list(shown.columns), loc="upper center", cellLoc="center")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9)
    drawn.scale(1, 1.35)
    for (row, _), cell in drawn.get_celld().items():
        cell.set_edgecolor("#d0d0d0")
        cell.get_text().set_parse_math(False)
        if row == 0:
            cell.set_facecolor("#31688e")
            cell.get_text().set_color("white")
        elif row % 2 == 0:
            cell.set_facecolor("#f3f6f8")
    figure.savefig(folder / "table.png", dpi=150)


def show_title(name: str) -> str:
    """learning_rate -> Learning Rate."""
    return " ".join(word[:1].upper() + word[1:] for word in name.replace("_", " ").split())


def show_value(value: Value | None) -> str:
    """A value for people: six digits of a float; control characters visible, so no escape code is active."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(show_value, value)) + "]"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))


def _metric(row: dict[Any, Any], result: Aggregate) -> str:
    spread = f" ± {row['std']:.2g}" if result.spec.grid.replicates and row["count"] > 1 else ""
    return f"{row['metric']:.6g}{spread}"


def _caption(result: Aggregate) -> str:
    counts = result.cells["status"].value_counts()
    parts = [f"{counts.get(state, 0)} {state}" for state in ("completed", "failed", "pending")]
    fixed = ", ".join(f"{name} {show_value(value)}" for name, value in result.spec.grid.fixed.items())
    diverged = f", {result.diverged} diverged" if result.diverged else ""
    return f"cells: {', '.join(parts)}{diverged}" + (f"; fixed: {fixed}" if fixed else "")


def _best_table(result: Aggregate) -> pd.DataFrame:
    spec = result.spec
    titles = {axis.name: show_title(axis.name) for axis in result.axes}
    metric = show_title(spec.metric)
    # An axis may bear the metric's name; two columns must not.
    titles["metric"] = metric if metric not in titles.values() else f"{metric} (Metric)"
    if spec.grid.replicates:
        titles |= {"std": f"{metric} Std", "count": "Replicates"}
    return result.best[list(titles)].rename(columns=titles)


def _write(table: pd.DataFrame, path: Path) -> None:
    safe = table.map(_neutral)
    safe.to_csv(path, index=False, lineterminator="\n", na_rep="nan", encoding="utf-8")


def _neutral(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe; lists become JSON."""
    if isinstance(value, tuple):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value
