"""curves.png: metrics by epoch of the best and the worst combinations, the others grey behind them."""

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gridrun.report.captions import caption, clip, show
from gridrun.report.pictures.figures import COLOURS, GREY, INK, SCREEN, Style, plain, save
from gridrun.report.views.scales import clipped, drawable
from gridrun.results.aggregate import Aggregate
from gridrun.results.curves import Curve
from gridrun.terminal import visible

PANELS = 2
WIDTH = 62  # characters of a label
NARROW = 58  # of one in a column
BEHIND = "#c3c9d1"


def panels(result: Aggregate) -> list[str]:
    """Which metrics to draw: the one selected on, then losses, then accuracies, then what else moves."""
    known = sorted({metric for curve in result.curves for metric in curve.history})
    chosen = result.spec.metric
    parameters = {axis.name for axis in result.spec.grid.all_axes} | set(result.defaults)
    others = [metric for metric in known if metric != chosen and metric not in parameters]

    def likeness(metric: str) -> tuple[bool, bool, str]:
        # The training loss beside a held-out accuracy tells overfitting from not learning.
        return ("loss" not in metric, "train" not in metric, metric)

    return [metric for metric in [chosen, *sorted(others, key=likeness)] if metric in known]


def label(curve: Curve, most: int = 70) -> str:
    """Which curve this is: its rank and its parameters, these cut to a width."""
    params = ", ".join(f"{name} {show(value)}" for name, value in curve.params.items())
    return f"#{curve.place}  {clip(params, most)}"


def fold(curve: Curve) -> str:
    """A label in one or two lines, neither wider than its half of the picture."""
    lines = textwrap.wrap(label(curve, 2 * WIDTH - 20), WIDTH, subsequent_indent="      ")
    return "\n".join(clip(line, WIDTH) for line in lines[:2])


def middle(result: Aggregate) -> int:
    """How many of the curves are called the best; the others are the worst."""
    return (len(result.curves) + 1) // 2


def colour(result: Aggregate, place: int) -> str:
    """The place-th curve's colour: best ones dark, worst ones light, told apart in grey too."""
    half = middle(result)
    share = 0.02 + 0.5 * place / half if place < half else 0.62 + 0.36 * (place - half) / half
    return to_hex(matplotlib.colormaps[COLOURS](share))


def draw_curves(
    result: Aggregate, path: Path, histories: Mapping[str, Any] | None = None, style: Style = SCREEN
) -> None:
    """Draw the selection metric in one panel and a loss, or the next best, in another.

    `histories`, as `gather_histories` tells them of `panels(result)`, are the others, grey behind.
    """
    metrics = panels(result)[:PANELS]
    if not metrics:
        figure = Figure(figsize=(style.width, 1.2))
        figure.text(0.5, 0.5, "Training diverged in every completed cell", ha="center", color=INK)
        save(figure, path)
    elif style.captions:
        _draw_wide(result, metrics, _others(histories), path)
    else:
        _draw_narrow(result, metrics, _others(histories), style, path)


def _others(histories: Mapping[str, Any] | None) -> dict[str, list[tuple[list[int], list[float]]]]:
    """By metric the epochs and values of every curve behind."""
    if not histories:
        return {}
    return {
        name: [
            (curve["epochs"], [math.nan if v is None else v for v in curve["metrics"][str(number)][0]])
            for curve in histories["curves"].values()
        ]
        for number, name in enumerate(histories["names"])
    }


Others = Mapping[str, list[tuple[list[int], list[float]]]]


def _draw_wide(result: Aggregate, metrics: list[str], others: Others, path: Path) -> None:
    """Panels side by side, and below them what the curves are."""
    words = caption(result, 150)
    if any(curve.low for curve in result.curves):
        words = f"Means over replicates; a band spans their runs.\n{words}"
    if note := clipped(result):
        words = f"{note}.\n{words}"
    half = middle(result)
    bottom = 0.35 + 0.16 * (words.count("\n") + 1)
    labels = [fold(curve) for curve in result.curves]
    lines = max(sum(text.count("\n") + 1 for text in part) for part in (labels[:half], labels[half:]))
    legend = 0.45 + 0.2 * lines
    height = 0.7 + 3.3 + 0.55 + legend + bottom
    figure = Figure(figsize=(10.5, height))
    title = f"Best and worst of {result.spec.name} by epoch" + (", others grey" if others else "")
    figure.text(0.03, 1 - 0.32 / height, plain(title), fontsize=13, weight="bold", color=INK)
    figure.text(
        0.03, (bottom - 0.2) / height, plain(words), fontsize=7, color=GREY, va="top", linespacing=1.4
    )
    left, gap, count = 0.075, 0.085, len(metrics)
    width = (0.97 - left - gap * (count - 1)) / count
    handles: list[Line2D] = []
    for place, metric in enumerate(metrics):
        box = (left + place * (width + gap), (bottom + legend + 0.55) / height, width, 3.3 / height)
        handles = _draw_panel(figure.add_axes(box), result, metric, others, 9.5)
    for words, part, x in (("Best", slice(0, half), left), ("Worst", slice(half, None), left + 0.5)):
        if result.curves[part]:
            figure.legend(
                handles[part],
                [plain(text) for text in labels[part]],
                title=words,
                alignment="left",
                loc="upper left",
                bbox_to_anchor=(x - 0.01, (bottom + legend) / height),
                fontsize=8.5,
                title_fontproperties={"size": 9, "weight": "bold"},
                frameon=False,
                borderaxespad=0,
                handlelength=3,
            )
    save(figure, path)


def _draw_narrow(result: Aggregate, metrics: list[str], others: Others, style: Style, path: Path) -> None:
    """Panels one above the other, as wide as a column, and below them what the curves are."""
    panel, legend = 0.52 * style.width, 0.2 + 0.14 * len(result.curves)
    height = len(metrics) * panel + legend
    figure = Figure(figsize=(style.width, height))
    handles: list[Line2D] = []
    for place, metric in enumerate(metrics):
        floor = legend + (len(metrics) - 1 - place) * panel
        box = (0.14, (floor + 0.4) / height, 0.83, (panel - 0.66) / height)
        handles = _draw_panel(figure.add_axes(box), result, metric, others, style.text)
    figure.legend(
        handles,
        [plain(label(curve, NARROW)) for curve in result.curves],
        loc="upper left",
        bbox_to_anchor=(0.02, legend / height),
        fontsize=style.text - 1.5,
        frameon=False,
        borderaxespad=0,
        handlelength=3,
    )
    save(figure, path)


def _draw_panel(axes: Axes, result: Aggregate, metric: str, others: Others, text: float) -> list[Line2D]:
    half = middle(result)
    longest, drawn, handles = 1, [], []
    for epochs, values in others.get(visible(metric), ()):
        marker = "." if len(epochs) == 1 else ""
        axes.plot(epochs, values, color=BEHIND, linewidth=0.7, marker=marker, zorder=1)
        longest = max(longest, *epochs)
        drawn += [value for value in values if math.isfinite(value)]
    for place, curve in enumerate(result.curves):
        values = drawable(curve.history.get(metric, [])).tolist()
        longest = max(longest, len(values))
        good = place < half
        handles += axes.plot(
            range(1, len(values) + 1),
            values,
            color=colour(result, place),
            linestyle="-" if good else "--",
            marker="o" if good else "s",
            markersize=text / 2.1,
            linewidth=text / 5.3,
            zorder=3,
        )
        if metric in curve.low:  # what the replicates span
            low, high = drawable(curve.low[metric]), drawable(curve.high[metric])
            axes.fill_between(
                range(1, len(low) + 1), low, high, color=colour(result, place), alpha=0.13, linewidth=0
            )
        drawn += [value for value in values if math.isfinite(value)]
    # Beyond these matplotlib looks for powers of ten that no float holds.
    if drawn and 1e-100 < min(drawn) <= max(drawn) / 100 < 1e100:
        axes.set_yscale("log")
    axes.set_title(plain(metric), fontsize=text + 1.5, color=INK)
    axes.set_xlabel("epoch", fontsize=text)
    step = max(1, -(-longest // 10))
    axes.set_xticks(range(1, longest + 1) if step == 1 else range(step, longest + 1, step))
    axes.tick_params(labelsize=text - 1, colors=GREY)
    axes.grid(visible=True, color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return handles
