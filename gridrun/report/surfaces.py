"""surface-*.png: the metric over two axes, one picture a value of the third, one colour scale for all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gridrun.aggregate import Aggregate, main_effects
from gridrun.cell import encode_value
from gridrun.grid import Axis
from gridrun.report.tables import show_title, show_value

# A third axis with more values than this gets pictures at evenly chosen ones.
MOST_PICTURES = 12
# An axis whose largest value is so many times its smallest is drawn on a log scale.
LOG_FROM = 30


@dataclass(frozen=True)
class Surface:
    """One picture's numbers: z[i, j] is the metric at across.values[j], up.values[i]; NaN is a hole."""

    across: Axis
    up: Axis
    z: NDArray[np.float64]
    title: str
    name: str


def choose_surfaces(result: Aggregate) -> list[Surface]:
    """The pictures that a study asks for; none for a single axis.

    Drawn over the two axes that matter most (by the spread of their main effects), with the third one
    picture a value; further axes stand at their best combination's values, which the title says.
    """
    effects = main_effects(result)

    def spread(axis: Axis) -> float:
        means = [mean for _, mean in effects[axis.name] if not math.isnan(mean)]
        return max(means, default=0) - min(means, default=0) if len(axis.values) > 1 else -1

    ranked = sorted(result.axes, key=spread, reverse=True)
    if len(ranked) < 2:
        return []
    across, up = sorted(ranked[:2], key=result.axes.index)
    third, rest = (ranked[2] if len(ranked) > 2 else None), ranked[3:]
    best = result.best.iloc[0]
    held = {axis.name: encode_value(best[axis.name]) for axis in rest}
    lookup = {
        tuple(encode_value(row[axis.name]) for axis in result.axes): row["metric"]
        for row in result.best.to_dict("records")
    }
    surfaces = []
    values: Sequence[Any] = third.values if third is not None else (None,)
    step = math.ceil(len(values) / MOST_PICTURES)
    for number, value in enumerate(values[::step], start=1):
        z = np.full((len(up.values), len(across.values)), np.nan)
        for i, j in np.ndindex(z.shape):
            point = {**held, across.name: encode_value(across.values[j]), up.name: encode_value(up.values[i])}
            if third is not None:
                point[third.name] = encode_value(value)
            z[i, j] = lookup.get(tuple(point[axis.name] for axis in result.axes), np.nan)
        fixed = [(third.name, value)] if third is not None else []
        fixed += [(axis.name, best[axis.name]) for axis in rest]
        title = ", ".join(f"{show_title(name)} = {show_value(v)}" for name, v in fixed)
        name = f"surface-{number}" + (f"-{third.name}" if third is not None else "")
        surfaces.append(Surface(across, up, z, title, name))
    return surfaces


def draw_surfaces(result: Aggregate, folder: Path) -> None:
    """Write the surfaces, or a line where there is one axis only."""
    surfaces = choose_surfaces(result)
    if not surfaces:
        _draw_line(result, folder)
        return
    finite = np.concatenate([s.z[np.isfinite(s.z)] for s in surfaces])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    scale = Normalize(low, high if high > low else low + 1e-9)
    pick = np.nanargmax if result.spec.mode == "max" else np.nanargmin
    for surface in surfaces:
        _draw(result, surface, scale, pick, folder)


def positions(axis: Axis) -> tuple[list[float], bool]:
    """Where an axis's values stand: their own places, logarithms of them, or one after another for texts."""
    values = axis.values
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return [float(i) for i in range(len(values))], False
    numbers = [float(v) for v in values if isinstance(v, int | float)]
    if min(numbers) > 0 and max(numbers) / min(numbers) >= LOG_FROM:
        return [math.log10(number) for number in numbers], True
    return numbers, False


def _draw(result: Aggregate, surface: Surface, scale: Normalize, pick: Any, folder: Path) -> None:
    (x, x_log), (y, y_log) = positions(surface.across), positions(surface.up)
    # A surface runs along sorted axes, whatever order grid.toml has them in.
    columns, rows = np.argsort(x), np.argsort(y)
    grid_x, grid_y = np.meshgrid(np.array(x)[columns], np.array(y)[rows])
    z = surface.z[np.ix_(rows, columns)]
    figure = Figure(figsize=(8, 6))
    axes: Any = figure.add_subplot(projection="3d")
    axes.plot_surface(
        grid_x, grid_y, z, cmap="viridis", norm=scale, edgecolor="white", linewidth=0.6, rstride=1, cstride=1,
        antialiased=True, alpha=0.9,
    )  # fmt: skip
    known = np.isfinite(z)
    axes.scatter(
        grid_x[known], grid_y[known], z[known], c=z[known], cmap="viridis", norm=scale, edgecolor="black"
    )
    if known.any():
        at = np.unravel_index(pick(z), z.shape)
        axes.scatter([grid_x[at]], [grid_y[at]], [z[at]], color="#d7301f", s=90, marker="*", zorder=9)
        axes.text(grid_x[at], grid_y[at], z[at], f"  {z[at]:.4g}", color="#d7301f", weight="bold", zorder=10)
    axes.set_zlim(scale.vmin, scale.vmax)
    for axis, places, log, ticks, label in (
        (surface.across, x, x_log, axes.set_xticks, axes.set_xlabel),
        (surface.up, y, y_log, axes.set_yticks, axes.set_ylabel),
    ):
        ticks(places, [show_value(value) for value in axis.values], fontsize=8)
        label(show_title(axis.name) + (" (log)" if log else ""), labelpad=8)
    axes.set_zlabel(show_title(result.spec.metric))
    axes.view_init(elev=24, azim=-128)
    figure.colorbar(ScalarMappable(scale, "viridis"), ax=axes, shrink=0.6, pad=0.1)
    figure.suptitle(f"{result.spec.name}  {surface.title}", y=0.96, parse_math=False)
    figure.text(
        0.5, 0.02, f"{result.selected_on}; the star marks this picture's best", ha="center", fontsize=8
    )
    figure.savefig(folder / f"{surface.name}.png", dpi=150)


def _draw_line(result: Aggregate, folder: Path) -> None:
    axis = result.axes[0] if result.axes else Axis(str(result.spec.grid.budget), ("all",))
    effects = main_effects(result).get(axis.name, [("all", float(result.best["metric"].iloc[0]))])
    places, log = positions(axis)
    order = np.argsort(places)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(
        np.array(places)[order], np.array([mean for _, mean in effects])[order], marker="o", color="#31688e"
    )
    axes.set_xticks(places, [show_value(value) for value in axis.values])
    axes.set_xlabel(show_title(axis.name) + (" (log)" if log else ""))
    axes.set_ylabel(show_title(result.spec.metric))
    axes.set_title(f"{result.spec.name}: {result.selected_on}", fontsize=10, parse_math=False)
    axes.grid(alpha=0.3)
    figure.savefig(folder / f"surface-{axis.name}.png", dpi=150)
