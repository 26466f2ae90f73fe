"""isolation.png: for each value of every axis the best over all else, its band, and the median."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gridrun.report.captions import caption, clip, show
from gridrun.report.pictures.figures import ACCENT, BEST, GREY, INK, SCREEN, Style, plain, save
from gridrun.report.views.lines import Line, lines_of
from gridrun.report.views.ranges import range_of
from gridrun.report.views.scales import is_numeric, scale, thin
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import Answer

ACROSS = 3  # pictures beside each other
MOST_AXES = 12


def draw_isolation(result: Aggregate, answer: Answer | None, path: Path, style: Style = SCREEN) -> None:
    """Draw an axis in each panel, all on one scale."""
    lines = [line for line in lines_of(result, answer) if len(line.axis.values) > 1][:MOST_AXES]
    lines = lines or list(lines_of(result, answer))[:1]
    across = min(ACROSS if style.captions else 2, len(lines))
    down = -(-len(lines) // across)
    found = range_of(result.by_budget, result.spec.mode)
    words = f"{found.note}\n{caption(result, 118)}".strip() if style.captions else ""
    top, bottom = (0.6, 0.5 + 0.16 * (words.count("\n") + 1)) if style.captions else (0.05, 0.05)
    panel = 0.26 * style.width + 0.35
    height = top + bottom + panel * down
    figure = Figure(figsize=(style.width, height))
    for place, line in enumerate(lines):
        row, column = divmod(place, across)
        x = 0.09 if style.captions else 0.13
        share = (1 - x) / across
        box = (
            x + column * share,
            (bottom + panel * (down - 1 - row) + 0.5) / height,
            share - 0.05,
            (panel - 0.6) / height,
        )
        _draw(figure.add_axes(box), line, (found.low, found.high), style, first=column == 0, result=result)
    if style.captions:
        title = f"{result.spec.metric}, the best over all else"
        figure.text(0.04, 1 - 0.36 / height, plain(title), fontsize=14, weight="bold", color=INK)
        at = (bottom - 0.2) / height
        figure.text(0.04, at, plain(words), fontsize=7, color=GREY, va="top", linespacing=1.4)
    save(figure, path)


def _draw(
    axes: Any, line: Line, ends: tuple[float, float], style: Style, *, first: bool, result: Aggregate
) -> None:
    low, high = ends
    order = list(scale(line.axis, len(line.axis.values)).kept)
    places = np.arange(len(order))
    best, median, std = (np.array(table)[order] for table in (line.best, line.median, line.std))
    joined = "-" if is_numeric(line.axis) else "none"
    axes.plot(places, np.clip(median, low, high), color=GREY, linestyle="--" if joined == "-" else "none")
    axes.plot(places, np.clip(median, low, high), color=GREY, marker="_", linestyle="none")
    axes.plot(places, np.clip(best, low, high), color=BEST, marker="o", markersize=4, linestyle=joined)
    if np.isfinite(std).any():
        up, down = np.clip(best + std, low, high), np.clip(best - std, low, high)
        if joined == "-":
            axes.fill_between(places, down, up, color=BEST, alpha=0.2, linewidth=0)
        else:
            axes.vlines(places, down, up, color=BEST, linewidth=1.5)
    if line.top >= 0:
        at = order.index(line.top)
        axes.plot(at, np.clip(best[at], low, high), marker="*", markersize=11, color=ACCENT, mec="white")
        if line.edge:
            axes.axvspan(at - 0.4, at + 0.4, color=ACCENT, alpha=0.12, linewidth=0)
    shown = thin(range(len(order)), 6, None)
    labels = [plain(clip(show(line.axis.values[order[i]]), 9)) for i in shown]
    axes.set_xticks(shown, labels=labels)
    axes.set_xlim(-0.5, len(order) - 0.5)
    room = 0.08 * (high - low)
    axes.set_ylim(low - room, high + room)
    axes.set_xlabel(plain(clip(line.axis.name, 24)), fontsize=style.text, color=INK)
    if first and not style.captions:
        axes.set_ylabel(plain(result.spec.metric), fontsize=style.text, color=INK)
    axes.tick_params(labelsize=style.text - 1.5, colors=GREY, labelleft=first)
    axes.grid(visible=True, color="#e4e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
