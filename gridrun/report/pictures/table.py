"""table.png: the leaderboard as a picture."""

import textwrap
from pathlib import Path

from matplotlib.figure import Figure

from gridrun.report.captions import caption, clip, title
from gridrun.report.pictures.figures import GREY, INK, plain, save
from gridrun.report.tables import note_on, rows_of
from gridrun.results.aggregate import Aggregate

PICTURED = 20


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
