"""pairs-*.png: the metric over two axes as a heat map, the best over all else in each square."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gridrun.grid import Axis
from gridrun.report.captions import caption, clip, selected_on, show, show_metric
from gridrun.report.pictures.figures import ACCENT, COLOURS, GREY, INK, SCREEN, Style, plain, save
from gridrun.report.views.pairs import best_over_rest, pick_pairs, state_of_rest
from gridrun.report.views.ranges import range_of
from gridrun.report.views.scales import drawable, scale, thin
from gridrun.report.views.surfaces import safe_name, z_range
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import Answer
from gridrun.results.layout import Floats

MOST_VALUES = 30  # of an axis: more squares are no picture
MOST_TOLD = 12  # of an axis whose squares bear numbers
DARK = 0.55  # of the range: up to here the colours are dark, and what stands on them white
FAILED = "#c9ced6"


def draw_pairs(
    result: Aggregate,
    answer: Answer | None,
    directory: Path,
    ending: str = "png",
    style: Style = SCREEN,
    axes: tuple[str, str] | None = None,
) -> list[str]:
    """Draw the strongest interplays, or the pair of axes asked for; return the files' names."""
    names = []
    for x, y in pick_pairs(result, axes):
        name = f"pairs-{safe_name(f'{x.name}-{y.name}')}.{ending}"
        _draw(result, answer, x, y, style, directory / name)
        names.append(name)
    return names


def _draw(result: Aggregate, answer: Answer | None, x: Axis, y: Axis, style: Style, path: Path) -> None:
    values, rows = best_over_rest(result, x, y)
    states = state_of_rest(result, x, y)
    across, down = (_kept(axis) for axis in (x, y))
    values, rows, states = (table[np.ix_(across, down)] for table in (values, rows, states))
    figure, axes = _frame(result, x, y, style)
    low, high = z_range(result)
    colours = matplotlib.colormaps[COLOURS]
    norm = Normalize(low, high)
    image = np.ma.masked_invalid(np.clip(drawable(values), low, high))
    mesh = axes.pcolormesh(image.T, cmap=colours, norm=norm, edgecolors="white", linewidth=1.0)
    mesh.set_rasterized(True)
    _tell(axes, values, norm(image), states, style)
    _outline(axes, result, answer, rows)
    for name, axis, kept in (("x", x, across), ("y", y, down)):
        shown = thin(range(len(kept)), 12, None)
        labels = [plain(clip(show(axis.values[kept[i]]), 14)) for i in shown]
        getattr(axes, f"set_{name}ticks")([i + 0.5 for i in shown], labels=labels)
        getattr(axes, f"set_{name}label")(plain(axis.name), fontsize=style.text, color=INK)
    axes.tick_params(labelsize=style.text - 1, colors=GREY, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, fraction=0.05)
    bar.ax.tick_params(labelsize=style.text - 1.5, colors=GREY)
    bar.outline.set_visible(False)
    if not style.captions:
        bar.set_label(plain(result.spec.metric), fontsize=style.text, color=INK)
    save(figure, path)


def _frame(result: Aggregate, x: Axis, y: Axis, style: Style) -> tuple[Figure, Any]:
    height = style.width * (0.72 if style.captions else 0.78)
    figure = Figure(figsize=(style.width, height))
    if not style.captions:
        return figure, figure.add_axes((0.19, 0.18, 0.66, 0.78))
    words = caption(result, 118)
    note = range_of(result.by_combination, result.spec.mode).note
    words = f"Outlined: tied with the best, which has the star. {note}\n{words}"
    bottom = 0.75 + 0.16 * (words.count("\n") + 1)
    figure.text(0.04, 1 - 0.36 / height, plain(result.spec.metric), fontsize=14, weight="bold", color=INK)
    heading = f"the best over all but {x.name} and {y.name}; {selected_on(result)}"
    figure.text(0.04, 1 - 0.62 / height, plain(clip(heading, 110)), fontsize=style.text, color=INK)
    figure.text(
        0.04, (bottom - 0.6) / height, plain(words), fontsize=7, color=GREY, va="top", linespacing=1.4
    )
    return figure, figure.add_axes((0.11, bottom / height, 0.86, 1 - (bottom + 0.8) / height))


def _kept(axis: Axis) -> list[int]:
    return list(scale(axis, MOST_VALUES).kept)


def _tell(axes: Any, values: Floats, shades: Any, states: Any, style: Style) -> None:
    """The number in each square, or what there is instead."""
    small = max(values.shape) <= MOST_TOLD
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            words, colour = show_metric(value), "white" if shades[i, j] < DARK else INK
        elif not states[i, j]:
            continue
        else:
            words, colour = states[i, j], INK
            axes.add_patch(Rectangle((i, j), 1, 1, facecolor=FAILED, hatch="//", edgecolor="white"))
        if small:
            axes.text(
                i + 0.5, j + 0.5, words, fontsize=style.text - 1.5, ha="center", va="center", color=colour
            )


def _outline(axes: Any, result: Aggregate, answer: Answer | None, rows: Any) -> None:
    """Squares of choices tied with the best, and the best."""
    if answer is None:
        return
    repeats, ids = result.spec.grid.repeats, result.cells[result.names.cell]
    tied = {pick.cell for pick in (answer.ties.picks if answer.ties else ())}
    for (i, j), row in np.ndenumerate(rows):
        cell = ids.iloc[int(row) * repeats] if row >= 0 else None
        if cell in tied or cell == answer.best.cell:
            axes.add_patch(
                Rectangle((i + 0.04, j + 0.04), 0.92, 0.92, fill=False, edgecolor=ACCENT, linewidth=1.5)
            )
        if cell == answer.best.cell:
            axes.plot(i + 0.82, j + 0.82, marker="*", markersize=10, color=ACCENT, markeredgecolor="white")
