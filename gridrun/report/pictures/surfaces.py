"""surface-*.png: the metric over two axes, for each value of a third, all on one scale of colour."""

import itertools
import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]

from gridrun.report.captions import caption, selected_on, show_metric
from gridrun.report.pictures.figures import ACCENT, COLOURS, GREY, INK, SCREEN, Style, plain, save
from gridrun.report.views.scales import Scale, is_numeric
from gridrun.report.views.sight import BOX, choose_view, find_hidden, tell_hidden
from gridrun.report.views.surfaces import Surface, beyond, heading, surfaces, undrawn, z_range
from gridrun.results.aggregate import Aggregate
from gridrun.results.layout import Floats

View = tuple[float, float]  # elevation and azimuth, in degrees
SEAM = (1.0, 1.0, 1.0, 0.8)
MOST_DOTS = 400
QUADS = 9_000  # facets in one surface


def draw_surfaces(
    result: Aggregate,
    directory: Path,
    ending: str = "png",
    style: Style = SCREEN,
    axes: tuple[str, str] | None = None,
) -> list[str]:
    """Draw every surface, over the pair of axes that is asked for if any is; return the files' names."""
    names = []
    for _, part in itertools.groupby(surfaces(result, axes), key=lambda surface: surface.part):
        drawn = list(part)
        view = choose_view(drawn, *z_range(result))
        for surface in drawn:
            name = f"{surface.name.removesuffix('.png')}.{ending}"
            if surface.y is None:
                _draw_line(result, surface, style, directory / name)
            else:
                _draw_surface(result, surface, surface.y, view, style, directory / name)
            names.append(name)
    return names


def _frame(
    result: Aggregate, surface: Surface, style: Style, hidden: str = ""
) -> tuple[Figure, float, float]:
    """A figure with heading and caption; and the share of its height between them."""
    if not style.captions:
        return Figure(figsize=(style.width, 0.82 * style.width)), 0.02, 1.0
    words = caption(result, 118)
    if notes := "; ".join(filter(None, [surface.note, undrawn(result), *beyond(result), hidden])):
        words = f"{notes}.\n{words}"
    height = 6.9
    figure = Figure(figsize=(8.4, height))
    bottom = 0.3 + 0.16 * (words.count("\n") + 1)
    figure.text(0.04, 1 - 0.36 / height, plain(result.spec.metric), fontsize=14, weight="bold", color=INK)
    figure.text(
        0.04, 1 - 0.62 / height, plain(heading(surface) or selected_on(result)), fontsize=10, color=INK
    )
    figure.text(
        0.04, (bottom - 0.15) / height, plain(words), fontsize=7, color=GREY, va="top", linespacing=1.4
    )
    return figure, bottom / height, 1 - 0.75 / height


def _draw_surface(
    result: Aggregate, surface: Surface, y: Scale, view: View, style: Style, path: Path
) -> None:
    low, high = z_range(result)
    hidden = tell_hidden(surface, find_hidden(surface, low, high, *view))
    figure, bottom, top = _frame(result, surface, style, hidden)
    axes: Any = figure.add_axes(
        (0.0, bottom, 0.84 if style.captions else 0.97, top - bottom), projection="3d", computed_zorder=False
    )
    # The limits are ours; matplotlib would take them from shapes that it has not measured yet.
    axes.autoscale(enable=False)
    colours = ScalarMappable(Normalize(low, high), matplotlib.colormaps[COLOURS])
    x, z = surface.x, np.clip(surface.drawn, low, high)
    facets, heights = _facets(x.positions, y.positions, z)
    forward, right, up = _screen(x, y, high - low, view)
    seams = _seams(x.positions, y.positions, z) + 0.04 * forward
    dots = _dots(x.positions, y.positions, z, right, up) + 0.05 * forward
    shapes = np.concatenate([facets, seams, dots])
    if len(shapes):
        # One collection, as only within one does matplotlib draw what is behind first.
        clear, dark = np.zeros((len(seams), 4)), np.tile(to_rgba(INK), (len(dots), 1))
        inside = colours.to_rgba(heights)
        axes.add_collection3d(
            Poly3DCollection(
                shapes,
                facecolors=np.concatenate([inside, clear, dark]),
                edgecolors=np.concatenate([inside, np.tile(SEAM, (len(seams), 1)), dark]),
                linewidths=0.8,
                zorder=1,
            )
        )
    _mark(axes, surface, y, z, result.spec.mode, style)
    _dress(axes, x, y, plain(result.spec.metric), style)
    margin = 0.06 * (high - low)
    axes.set_zlim(low - margin, high + margin)
    axes.set_proj_type("ortho")
    axes.view_init(elev=view[0], azim=view[1])
    axes.set_box_aspect(BOX, zoom=1.04)
    if not style.captions:  # the height says it, and a column is narrow
        save(figure, path)
        return
    bar = figure.colorbar(colours, cax=figure.add_axes((0.885, bottom + 0.12, 0.02, top - bottom - 0.24)))
    bar.ax.tick_params(labelsize=style.text - 1.5, colors=GREY)
    bar.outline.set_visible(False)
    save(figure, path)


def _mark(axes: Any, surface: Surface, y: Scale, drawn: Floats, mode: str, style: Style) -> None:
    """Mark the best of all with a star and its value; in the other pictures, their own best with a ring."""
    z = surface.z
    if not np.isfinite(z).any():
        axes.text2D(0.5, 0.5, "diverged or not completed", transform=axes.transAxes, ha="center", color=INK)
        return
    signed = np.where(np.isnan(z), -np.inf, z if mode == "max" else -z)
    i, j = surface.best or np.unravel_index(int(np.argmax(signed)), z.shape)
    spot = (surface.x.positions[i], y.positions[j], drawn[i, j])
    star = surface.best is not None
    axes.scatter(
        *([v] for v in spot),
        s=(190 if star else 60) * (style.width / SCREEN.width) ** 1.2,
        marker="*" if star else "o",
        depthshade=False,
        zorder=5,
        color=ACCENT if star else "white",
        edgecolors="white" if star else ACCENT,
        linewidths=0.9 if star else 1.6,
    )
    words = ("best " if star else "best here ") + show_metric(float(z[i, j]))
    axes.text(
        *spot,
        f"{words}\n",
        zorder=6,
        fontsize=style.text,
        weight="bold" if star else "normal",
        color=INK,
        ha="center",
        va="bottom",
        # Where less is better the best lies on the darkest colour.
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )


def _dress(axes: Any, x: Scale, y: Scale, metric: str, style: Style) -> None:
    apart = 8 if style.captions else -2  # points between ticks and their axis's label
    for name, placed in (("x", x), ("y", y)):
        getattr(axes, f"set_{name}ticks")(
            [at for at, _ in placed.ticks], labels=[plain(text) for _, text in placed.ticks]
        )
        getattr(axes, f"set_{name}label")(plain(placed.label), fontsize=style.text, labelpad=apart, color=INK)
        low, high = float(placed.positions.min()), float(placed.positions.max())
        pad = 0.03 * (high - low) or 0.5
        getattr(axes, f"set_{name}lim")(low - pad, high + pad)
    axes.set_zlabel(metric, fontsize=style.text, labelpad=apart, color=INK)
    axes.tick_params(labelsize=style.text - 1.5, colors=GREY, pad=2 if style.captions else -2)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((0.965, 0.97, 0.98, 1.0))
        axis.line.set_color("#9aa5b1")
        axis._axinfo["grid"].update(color="#dde2e8", linewidth=0.7)


def _facets(x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Cut every sound patch between four cells into small facets, bilinear between the measured corners."""
    patches = max(1, (len(x) - 1) * (len(y) - 1))
    fine = max(1, min(24, math.isqrt(QUADS // patches)))
    shares = np.linspace(0.0, 1.0, fine + 1)
    quads, heights = [], []
    for i, j in itertools.product(range(len(x) - 1), range(len(y) - 1)):
        corner = z[i : i + 2, j : j + 2]
        if np.isfinite(corner).sum() == 3:  # what was measured beside a cell that failed is a triangle
            quad, height = _triangles(x[i : i + 2], y[j : j + 2], corner, min(fine, 8))
            quads.append(quad)
            heights.append(height)
        if not np.isfinite(corner).all():
            continue
        ends = np.stack([1 - shares, shares], axis=1)
        height = ends @ corner @ ends.T
        px = np.broadcast_to((ends @ x[i : i + 2])[:, None], height.shape)
        py = np.broadcast_to((ends @ y[j : j + 2])[None, :], height.shape)
        points = np.stack([px, py, height], axis=2)
        quad = np.stack([points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]], axis=2)
        quads.append(quad.reshape(-1, 4, 3))
        heights.append(quad[..., 2].mean(axis=2).ravel())
    if not quads:
        return np.empty((0, 4, 3)), np.empty(0)
    return np.concatenate(quads), np.concatenate(heights)


def _triangles(x: Floats, y: Floats, corner: Floats, fine: int) -> tuple[Floats, Floats]:
    """A triangle between three measured corners in small ones, each with its last corner twice."""
    at = np.argwhere(np.isfinite(corner))
    first, second, third = np.column_stack([x[at[:, 0]], y[at[:, 1]], corner[at[:, 0], at[:, 1]]])
    quads = []
    for a, b in itertools.product(range(fine), repeat=2):
        if a + b < fine:
            quads.append([(a, b), (a + 1, b), (a, b + 1), (a, b + 1)])
        if a + b < fine - 1:
            quads.append([(a + 1, b), (a + 1, b + 1), (a, b + 1), (a, b + 1)])
    shares = np.array(quads) / fine
    points = first + shares[..., :1] * (second - first) + shares[..., 1:] * (third - first)
    return points, points[:, :3, 2].mean(axis=1)


def _screen(x: Scale, y: Scale, height: float, view: View) -> tuple[Floats, Floats, Floats]:
    """Steps to the viewer, to the right and up, in the units of the data.

    In parallel projection the viewer sees nothing of a step forward: it puts seams before facets.
    """
    e, a = map(math.radians, view)
    spans = np.array([np.ptp(x.positions) or 1.0, np.ptp(y.positions) or 1.0, height]) / np.array(BOX)
    forward = np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])
    right = np.array([-math.sin(a), math.cos(a), 0.0])
    up = np.array([-math.sin(e) * math.cos(a), -math.sin(e) * math.sin(a), math.cos(e)])
    return forward * spans, right * spans, up * spans


def _dots(x: Floats, y: Floats, z: Floats, right: Floats, up: Floats) -> Floats:
    """A small disc at each measured point, facing the viewer; none where they would cover the surface."""
    i, j = np.nonzero(np.isfinite(z))
    if len(i) > MOST_DOTS:
        return np.empty((0, 4, 3))
    turn = np.linspace(0, 2 * math.pi, 8, endpoint=False)[:, None]
    disc = 0.008 * (np.cos(turn) * right + np.sin(turn) * up)
    # An octagon in three pieces of four corners: matplotlib pads shapes of fewer corners than others
    # with whatever the memory holds, and overflows on it.
    pieces = disc[[[0, 1, 2, 3], [0, 3, 4, 5], [0, 5, 6, 7]]]
    points = np.stack([x[i], y[j], z[i, j]], axis=1)
    return np.asarray((points[:, None, None, :] + pieces).reshape(-1, 4, 3))


def _seams(x: Floats, y: Floats, z: Floats) -> Floats:
    """The lines through the measured points, as facets without width, in pieces short enough to sort."""
    points = np.stack([*np.meshgrid(x, y, indexing="ij"), z], axis=2)
    ends = [
        np.stack([side[0], side[1]], axis=2).reshape(-1, 2, 3)
        for side in ((points[:-1], points[1:]), (points[:, :-1], points[:, 1:]))
    ]
    lines = np.concatenate(ends)
    lines = lines[np.isfinite(lines).all(axis=(1, 2))]
    pieces = max(1, min(24, math.isqrt(QUADS // max(1, len(x) * len(y)))))
    shares = np.linspace(0.0, 1.0, pieces + 1)[:, None]
    cut = [start + shares * (end - start) for start, end in lines]
    if not cut:
        return np.empty((0, 4, 3))
    first, last = np.concatenate([c[:-1] for c in cut]), np.concatenate([c[1:] for c in cut])
    return np.stack([first, last, last, first], axis=1)


def _draw_line(result: Aggregate, surface: Surface, style: Style, path: Path) -> None:
    """One axis: a line through its values."""
    figure, bottom, top = _frame(result, surface, style)
    left, below = (0.11, 0.1) if style.captions else (0.2, 0.18)
    axes = figure.add_axes((left, bottom + below, 0.96 - left, top - bottom - below - 0.03))
    x, z = surface.x, np.clip(surface.drawn[:, 0], *z_range(result))
    # Between texts, or lists, there is no slope.
    line = "-" if is_numeric(x.axis) else "none"
    axes.plot(
        x.positions,
        z,
        color=matplotlib.colormaps[COLOURS](0.3),
        marker="o",
        markersize=6,
        linewidth=2,
        linestyle=line,
    )
    if surface.best is not None:
        i = surface.best[0]
        axes.plot(x.positions[i], z[i], marker="*", markersize=17, color=ACCENT, markeredgecolor="white")
        axes.annotate(
            f"best {show_metric(float(surface.z[i, 0]))}",
            (x.positions[i], z[i]),
            xytext=(0, 12),
            textcoords="offset points",
            ha="center",
            fontsize=style.text,
            weight="bold",
            color=INK,
        )
    low, high = z_range(result)
    axes.set_ylim(low - 0.08 * (high - low), high + 0.14 * (high - low))
    axes.set_xticks([at for at, _ in x.ticks], labels=[plain(text) for _, text in x.ticks])
    axes.set_xlabel(plain(x.label), fontsize=style.text)
    axes.set_ylabel(plain(result.spec.metric), fontsize=style.text)
    axes.tick_params(labelsize=style.text - 1, colors=GREY)
    axes.grid(visible=True, color="#e4e7eb", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    save(figure, path)
