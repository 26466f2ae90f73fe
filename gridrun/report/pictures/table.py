"""table.png: the leaderboard as a picture."""

import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gridrun.report.captions import caption, clip, title
from gridrun.report.pictures.figures import GREY, INK, SCREEN, Style, plain, save
from gridrun.report.tables import note_on, rows_of
from gridrun.results.aggregate import Aggregate

PICTURED = 20
SIZE, SMALLEST = 9.5, 5.0  # of texts, in points
CHARACTER, ROW, BELOW = 0.105, 0.29, 0.09  # inches then: a character, a row, its ground


def draw_table(result: Aggregate, path: Path, style: Style = SCREEN) -> None:
    """Draw the top rows as a picture; on paper as wide as a column, the text as small as that needs."""
    header, rows = rows_of(result, PICTURED)
    most = (24, 28) if style.captions else (14, 14)
    header = [clip(title(name), most[0]) for name in header]
    rows = [[clip(value, most[1]) for value in row] for row in rows]
    chars = [max(len(name), *(len(row[i]) for row in rows)) + 3 for i, name in enumerate(header)]
    size, width, margin = SIZE, max(6.5, CHARACTER * sum(chars)), 0.3
    if not style.captions:
        size = max(SMALLEST, min(style.text, SIZE * style.width / (CHARACTER * sum(chars))))
        width, margin = max(style.width, CHARACTER * size / SIZE * sum(chars)), 0.02
    words = _words(result, int(width * 17)) if style.captions else ""
    top, bottom = (0.95, 0.3 + 0.17 * (words.count("\n") + 1)) if style.captions else (0.3, 0.06)
    height = top + ROW * size / SIZE * len(rows) + bottom
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    base = height - (0.75 if style.captions else 0.19)
    _draw_rows(axes, header, rows, chars, (margin, width - margin), base, size)
    if style.captions:
        top_row = height - 0.32
        told = f"Best of {result.spec.name}"
        axes.text(margin, top_row, plain(told), fontsize=13, weight="bold", color=INK)
        count = (
            f"top {len(rows)} of {len(result.best):,}" if len(rows) < len(result.best) else f"all {len(rows)}"
        )
        axes.text(width - margin, top_row, count, fontsize=9, color=GREY, ha="right")
        axes.text(margin, bottom - 0.15, plain(words), fontsize=7, color=GREY, va="top", linespacing=1.4)
    save(figure, path)


def _words(result: Aggregate, width: int) -> str:
    words = caption(result, width)
    note = note_on(result, PICTURED)
    return f"{textwrap.fill(note, width)}.\n{words}" if note else words


def _draw_rows(
    axes: Axes,
    header: list[str],
    rows: list[list[str]],
    chars: list[int],
    ends: tuple[float, float],
    base: float,
    size: float,
) -> None:
    """The header at `base` and the rows below it, their columns between two `ends`."""
    left, right = ends
    share, scale = (right - left) / sum(chars), size / SIZE
    row_height, low, gap = ROW * scale, BELOW * scale, 0.08 * scale
    edges = [left + share * sum(chars[: i + 1]) for i in range(len(chars))]
    for edge, name in zip(edges, header, strict=True):
        axes.text(edge - gap, base, plain(name), fontsize=size, weight="bold", ha="right", color=INK)
    axes.plot([left, right], [base - low] * 2, color=INK, linewidth=1.2)
    for place, row in enumerate(rows):
        y = base - row_height * (place + 1)
        if place % 2 == 0:
            ground = (left / axes.get_xlim()[1], right / axes.get_xlim()[1])
            axes.axhspan(y - low, y + row_height - low, *ground, color="#f3f5f7", zorder=0)
        for column, (edge, value) in enumerate(zip(edges, row, strict=True)):
            weight = "bold" if place == 0 and column else "normal"
            color = GREY if column == 0 else INK
            axes.text(edge - gap, y, plain(value), fontsize=size, ha="right", weight=weight, color=color)
    axes.plot([left, right], [base - row_height * len(rows) - low] * 2, color=INK, linewidth=0.8)
