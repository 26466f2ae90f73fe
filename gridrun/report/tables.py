"""The leaderboard, for the terminal and as a picture."""

import math
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gridrun.report.captions import caption, clip, selected_on, show, show_metrics, title, title_of_count
from gridrun.report.figures import GREY, INK, plain, save
from gridrun.results.aggregate import Aggregate
from gridrun.terminal import visible

PICTURED = 20
MOST_NARROW = 60  # characters of a value where a combination is a paragraph


def leaderboard(result: Aggregate, top: int, width: int = 80) -> RenderableType:
    """The best `top` combinations for a terminal of `width` columns. Values are text, never markup.

    A table; where its columns would be narrower than what stands in them, a paragraph for each combination.
    """
    header, rows = rows_of(result, top)
    if least_width(header, rows) > width:
        return _paragraphs(result, header, rows, top)
    table = Table(
        title=Text(f"{result.spec.name}: {selected_on(result)}"),
        title_justify="left",
        pad_edge=False,
        box=SIMPLE_HEAD,
        collapse_padding=True,
    )
    table.add_column(Text(header[0]), justify="right", no_wrap=True)
    for name in header[1:]:
        # A title breaks between its words, which a name with underscores cannot.
        table.add_column(
            Text(title(name)),
            justify="right",
            overflow="fold",
            no_wrap=name == visible(result.names.metric),
        )
    for row in rows:
        table.add_row(*(Text(value) for value in row), style="bold" if row[0] == "1" else None)
    words = _words_below(result, len(rows), top)
    table.caption = Text("\n".join(words)) if words else None
    table.caption_justify = "left"
    return table


def least_width(header: list[str], rows: list[list[str]]) -> int:
    """The columns of a terminal that the table takes if no value and no word of a title is broken."""
    widths = (
        max(map(cell_len, (*title(name).split(), *column)))
        for name, *column in zip(header, *rows, strict=True)
    )
    return sum(widths) + 2 * len(header)


def _paragraphs(result: Aggregate, header: list[str], rows: list[list[str]], top: int) -> RenderableType:
    """Each combination as "#1  accuracy 0.9800: learning_rate 0.05, ...", wrapped."""
    at = len(header) - (2 if result.budget is not None else 1)
    parts: list[RenderableType] = [Text(f"{result.spec.name}: {selected_on(result)}", style="italic"), ""]
    for rank, *cells in rows:
        metric = f"#{rank}  {header[at]} {cells[at - 1]}: "
        params = (
            f"{visible(name)} {clip(value, MOST_NARROW)}"
            for name, value in zip(header[1:], cells, strict=True)
            if value and name != header[at]
        )
        parts.append(Text(metric + ", ".join(params), style="bold" if rank == "1" else ""))
    parts += map(Text, _words_below(result, len(rows), top))
    return Group(*parts)


def _words_below(result: Aggregate, rows: int, top: int) -> list[str]:
    words = [f"{rows} of {len(result.best):,}; all are in best.csv"] * (rows < len(result.best))
    return words + ([note] if (note := note_on(result, top)) else [])


def rows_of(result: Aggregate, top: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows as shown: rank, axes, metric (± its deviation over replicates), budget reached at."""
    names, axes = result.names, [axis.name for axis in result.axes]
    at = [] if result.budget is None else [result.budget.name]
    header = ["#", *axes, visible(names.metric), *at]
    best = result.best.head(top)
    columns = {name: best[name].tolist() for name in best.columns}
    found = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    metrics = show_metrics(columns[names.metric])
    rows = [
        [
            str(rank),
            # NaN is no value: the combination has not got the parameter.
            *("" if row[name] != row[name] else show(row[name]) for name in axes),
            _metric(result, row, metric),
            *(show(row[name]) for name in at),
        ]
        for rank, (row, metric) in enumerate(zip(found, metrics, strict=True), start=1)
    ]
    return header, rows


def _metric(result: Aggregate, row: dict[str, Any], words: str) -> str:
    """The metric, its deviation over replicates, and whether some of these are missing."""
    names, wanted = result.names, result.replicates
    count = row[names.count] if result.spec.grid.replicates else 1
    if result.spec.grid.replicates and not math.isnan(std := row[names.std]):
        words += f" ± {std:.4f}" if 1e-4 <= std < 1e5 else f" ± {std:.2g}"
    if count < wanted:
        return f"{words} ({count} of {wanted})"
    if row[names.failed]:
        return f"{words} ({row[names.failed]} failed)" if wanted > 1 else f"{words} (failed later)"
    return f"{words} (n = 1)" if result.spec.grid.replicates and wanted == 1 else words


def note_on(result: Aggregate, top: int) -> str:
    """What the marks beside the metrics of the best `top` combinations mean; nothing if there are none."""
    names, wanted, best = result.names, result.replicates, result.best.head(top)
    if best.empty:
        return ""
    count = best[names.count] if result.spec.grid.replicates else pd.Series(1, index=best.index)
    few, failed = count < wanted, best[names.failed]
    notes, kind = [], title_of_count(result).lower() if wanted > 1 else ""
    if few.any():
        reasons = ["failed"] if failed[few].any() else []
        if (count + failed)[few].lt(wanted).any():
            reasons += ["are pending"] if result.counts["pending"] else []
            reasons += [f"have no {visible(result.spec.metric)}"] if result.absent else []
        notes.append(f"(k of {wanted}): the mean of k {kind}, as the others {' or '.join(reasons)}")
    if (failed[~few] > 0).any() and result.budget is not None:
        mark = f"(k failed): k {kind}" if wanted > 1 else "(failed later): it"
        notes.append(f"{mark} failed on the way to a larger {result.budget.name}")
    return "; ".join(notes)


def draw_table(result: Aggregate, path: Path) -> None:
    """Draw the top rows as a picture."""
    header, rows = rows_of(result, PICTURED)
    header = [clip(title(name), 24) for name in header]
    rows = [[clip(value, 28) for value in row] for row in rows]
    chars = [max(len(name), *(len(row[i]) for row in rows)) + 3 for i, name in enumerate(header)]
    width = max(6.5, 0.105 * sum(chars))
    words = caption(result, int(width * 17))
    if note := note_on(result, PICTURED):
        words = f"{textwrap.fill(note, int(width * 17))}.\n{words}"
    row_height, top, bottom = 0.29, 0.95, 0.3 + 0.17 * (words.count("\n") + 1)
    height = top + row_height * len(rows) + bottom
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    left, right = 0.3, width - 0.3
    share = (right - left) / sum(chars)
    edges = [left + share * sum(chars[: i + 1]) for i in range(len(chars))]
    axes.text(
        left, height - 0.32, plain(f"Best of {result.spec.name}"), fontsize=13, weight="bold", color=INK
    )
    count = f"top {len(rows)} of {len(result.best):,}" if len(rows) < len(result.best) else f"all {len(rows)}"
    axes.text(right, height - 0.32, count, fontsize=9, color=GREY, ha="right")
    base = height - 0.75
    for edge, name in zip(edges, header, strict=True):
        axes.text(edge - 0.08, base, plain(name), fontsize=9.5, weight="bold", ha="right", color=INK)
    axes.plot([left, right], [base - 0.09] * 2, color=INK, linewidth=1.2)
    for place, row in enumerate(rows):
        y = base - row_height * (place + 1)
        if place % 2 == 0:
            axes.axhspan(
                y - 0.09, y + row_height - 0.09, left / width, right / width, color="#f3f5f7", zorder=0
            )
        for column, (edge, value) in enumerate(zip(edges, row, strict=True)):
            weight = "bold" if place == 0 and column else "normal"
            color = GREY if column == 0 else INK
            axes.text(edge - 0.08, y, plain(value), fontsize=9.5, ha="right", weight=weight, color=color)
    axes.plot([left, right], [base - row_height * len(rows) - 0.09] * 2, color=INK, linewidth=0.8)
    axes.text(left, bottom - 0.15, plain(words), fontsize=7, color=GREY, va="top", linespacing=1.4)
    save(figure, path)
