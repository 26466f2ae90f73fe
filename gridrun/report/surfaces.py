"""surface-*.png: the metric over two axes, for each value of a third, all on one scale of colour."""

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]

from gridrun.grid import Zip
from gridrun.report.captions import caption, clip, selected_on, show, show_metric
from gridrun.report.figures import (
    ACCENT,
    COLOURS,
    GREY,
    INK,
    LIMIT,
    Scale,
    clipped,
    drawable,
    is_numeric,
    plain,
    save,
    scale,
    thin,
)
from gridrun.results.aggregate import Aggregate
from gridrun.results.layout import Floats, Part
from gridrun.results.ranking import mean_where
from gridrun.selection import merits

MOST_VALUES = 48  # values of an axis in one surface
MOST_SURFACES = 12
MOST_PARTS = 4  # so many [[grid]] have surfaces
SEAM = (1.0, 1.0, 1.0, 0.8)
MOST_DOTS = 400
ELEVATION = 27.0
BOX = (1.15, 1.15, 0.8)
QUADS = 9_000  # facets in one surface


@dataclass(frozen=True)
class Surface:
    """One picture: the metric over x and y (a line where y is None), other axes held at `at`.

    `part` says of which [[grid]] it is, where there are several.
    `z` has the shape (values of x, values of y); `best` is where the best of all lies, if it lies here.
    """

    name: str
    part: str
    x: Scale
    y: Scale | None
    at: tuple[tuple[str, str], ...]
    held: tuple[tuple[str, str], ...]
    z: Floats
    best: tuple[int, int] | None
    note: str

    @property
    def drawn(self) -> Floats:
        """`z` as far as it can be drawn."""
        return drawable(self.z)


@dataclass(frozen=True)
class Plan:
    """Which axes of a part span its surfaces (x, y), which one tells them apart (third), which are held."""

    x: int
    y: int | None
    third: int | None
    held: tuple[int, ...]


def lay_out(part: Part, values: Floats) -> Plan:
    """Choose the axes: the two that matter most span the surfaces, the one after them tells them apart.

    Numbers come before texts, as a surface over names has no slope; axes of a single value come last.
    """

    def weight(place: int) -> tuple[bool, bool, float, int]:
        axis = part.axes[place]
        rows = np.moveaxis(values, place, 0).reshape(len(axis.values), -1)
        means = mean_where(rows, np.isfinite(rows))
        means = means[~np.isnan(means)]
        # Two near 1e308 have no difference.
        spread = float(means.max()) / 2 - float(means.min()) / 2 if means.size else 0.0
        return (len(axis.values) > 1, is_numeric(axis), spread, len(axis.values))

    ranked = sorted(range(len(part.axes)), key=weight, reverse=True)
    varied = [place for place in ranked if len(part.axes[place].values) > 1] or ranked[:1]
    spanning = sorted(varied[:2])
    third = varied[2] if len(varied) > 2 else None
    held = [place for place in range(len(part.axes)) if place not in (*spanning, third)]
    return Plan(spanning[0], spanning[1] if len(spanning) > 1 else None, third, tuple(held))


def surfaces(result: Aggregate) -> Iterator[Surface]:
    """Yield every surface worth drawing: of the [[grid]] that the best is in, then of the others.

    Those of one [[grid]] follow the values of the third axis.
    """
    drawn, files = drawn_parts(result), _Files()
    for number, part in drawn:
        prefix = f"[[grid]] {number}" if len(result.layout.parts) > 1 else ""
        yield from _surfaces_of(result, part, prefix, MOST_SURFACES // len(drawn), files)


def drawn_parts(result: Aggregate) -> list[tuple[int, Part]]:
    """The parts that have surfaces, with their numbers from 1: some, where there are many."""
    # A [[grid]] of one combination is no surface, nor is one of which all is left out.
    numbered = [
        (number, part)
        for number, part in enumerate(result.layout.parts, start=1)
        if part.axes and (part is result.part or (part.rows >= 0).sum() > 1)
    ]
    numbered.sort(key=lambda found: found[1] is not result.part)
    return numbered[:MOST_PARTS]


def undrawn(result: Aggregate) -> str:
    """Which parts have no surfaces, what gaps are, what a zip is; "" where there is nothing to say."""
    drawn, every = len(drawn_parts(result)), len(result.layout.parts)
    words = [f"{drawn} of {every} [[grid]] drawn, first that with the best"] if drawn < every else []
    if any((part.rows < 0).any() for part in result.layout.parts):
        words.append("gaps are what [[exclude]] leaves out, what diverged or is not completed")
    words += [f"{z.name} is {_members(z)}, which move together" for z in result.spec.grid.zips]
    return "; ".join(words)


def _members(z: Zip) -> str:
    return " and ".join(member.name for member in z.members)


def _surfaces_of(result: Aggregate, part: Part, prefix: str, most: int, files: "_Files") -> Iterator[Surface]:
    axes, values = part.axes, part.cube(result.by_combination)
    plan = lay_out(part, values)
    # Of equals the first in grid order, as in the ranking.
    found = np.unravel_index(merits(values, result.spec.mode).argmax(), values.shape)
    where = tuple(int(place) for place in found)
    best = where if part is result.part and result.has_best else None
    x = scale(axes[plan.x], MOST_VALUES, where[plan.x])
    y = None if plan.y is None else scale(axes[plan.y], MOST_VALUES, where[plan.y])
    note = "; ".join(
        f"{len(s.kept)} of {len(s.axis.values)} values of {s.axis.name} drawn"
        for s in (x, y)
        if s is not None and len(s.kept) < len(s.axis.values)
    )
    held = tuple((axes[p].name, show(axes[p].values[where[p]])) for p in plan.held)
    index: list[Any] = list(where)
    index[plan.x] = slice(None)
    if plan.y is not None:
        index[plan.y] = slice(None)
    picked: list[int | None] = [None]
    if plan.third is not None:
        there = axes[plan.third].values
        picked = list(thin(range(len(there)), most, where[plan.third]))
        if len(picked) < len(there):
            few = f"{len(picked)} of {len(there)} values of {axes[plan.third].name} drawn"
            note = "; ".join(filter(None, [note, few]))
    for pick in picked:
        at: tuple[tuple[str, str], ...] = ()
        if pick is not None and plan.third is not None:
            index[plan.third] = pick
            at = ((axes[plan.third].name, show(axes[plan.third].values[pick])),)
        z = values[tuple(index)]
        z = z[list(x.kept)] if y is None else z[np.ix_(x.kept, y.kept)]
        here = best is not None and (pick is None or plan.third is None or best[plan.third] == pick)
        spot = (
            (x.kept.index(where[plan.x]), 0 if y is None else y.kept.index(where[plan.y or 0]))
            if here
            else None
        )
        words = f"{at[0][0]}-{at[0][1]}" if at else "-".join(s.axis.name for s in (x, y) if s is not None)
        name = files.name(f"grid-{prefix.partition(' ')[2]}-{words}" if prefix else words)
        yield Surface(name, prefix, x, y, at, held, z.reshape(len(x.kept), -1), spot, note)


class _Files:
    """File names that any file system takes, each once."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def name(self, text: str) -> str:
        safe = re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:80]
        for number in itertools.count(1):
            name = f"surface-{safe}.png" if number == 1 else f"surface-{safe}-{number}.png"
            if name.lower() not in self._used:  # some file systems hold A.png and a.png for one
                self._used.add(name.lower())
                return name
        raise AssertionError("unreachable")


def z_range(result: Aggregate) -> tuple[float, float]:
    """One range for all pictures, so that they can be laid side by side."""
    finite = drawable(result.by_combination[np.isfinite(result.by_combination)])
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    # A flat surface gets room that its own size can tell from rounding.
    room = max(0.5, abs(low) / 20)
    return (low, high) if high - low > max(abs(low) * 1e-9, 1 / LIMIT) else (low - room, high + room)


def heading(surface: Surface) -> str:
    """What is held, in words."""
    words = ", ".join(f"{name} = {clip(value, 40)}" for name, value in surface.at)
    words = ": ".join(filter(None, [surface.part, words]))
    held = ", ".join(f"{name} = {clip(value, 24)}" for name, value in surface.held)
    if held:
        whose = "its" if surface.part else "the"
        words += ("; " if words else "") + f"held at {whose} best cell's {clip(held, 100)}"
    return words


def draw_surfaces(result: Aggregate, directory: Path) -> list[str]:
    """Draw every surface; return the files' names."""
    names = []
    for _, part in itertools.groupby(surfaces(result), key=lambda surface: surface.part):
        drawn = list(part)
        view = _view(drawn)
        for surface in drawn:
            if surface.y is None:
                _draw_line(result, surface, directory / surface.name)
            else:
                _draw_surface(result, surface, surface.y, view, directory / surface.name)
            names.append(surface.name)
    return names


def _frame(result: Aggregate, surface: Surface) -> tuple[Figure, float, float]:
    """A figure with heading and caption; and the share of its height between them."""
    words = caption(result, 118)
    if notes := "; ".join(filter(None, [surface.note, undrawn(result), clipped(result)])):
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


def _draw_surface(result: Aggregate, surface: Surface, y: Scale, view: float, path: Path) -> None:
    figure, bottom, top = _frame(result, surface)
    axes: Any = figure.add_axes((0.0, bottom, 0.84, top - bottom), projection="3d", computed_zorder=False)
    # The limits are ours; matplotlib would take them from shapes that it has not measured yet.
    axes.autoscale(enable=False)
    low, high = z_range(result)
    colours = ScalarMappable(Normalize(low, high), matplotlib.colormaps[COLOURS])
    x, z = surface.x, surface.drawn
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
    _mark(axes, surface, y, result.spec.mode)
    _dress(axes, x, y, plain(result.spec.metric))
    margin = 0.06 * (high - low)
    axes.set_zlim(low - margin, high + margin)
    axes.set_proj_type("ortho")
    axes.view_init(elev=ELEVATION, azim=view)
    axes.set_box_aspect(BOX, zoom=1.04)
    bar = figure.colorbar(colours, cax=figure.add_axes((0.885, bottom + 0.12, 0.02, top - bottom - 0.24)))
    bar.ax.tick_params(labelsize=8.5, colors=GREY)
    bar.outline.set_visible(False)
    save(figure, path)


def _mark(axes: Any, surface: Surface, y: Scale, mode: str) -> None:
    """Mark the best of all with a star and its value; in the other pictures, their own best with a ring."""
    z = surface.z
    if not np.isfinite(z).any():
        axes.text2D(0.5, 0.5, "diverged or not completed", transform=axes.transAxes, ha="center", color=INK)
        return
    signed = np.where(np.isnan(z), -np.inf, z if mode == "max" else -z)
    i, j = surface.best or np.unravel_index(int(np.argmax(signed)), z.shape)
    spot = (surface.x.positions[i], y.positions[j], surface.drawn[i, j])
    star = surface.best is not None
    axes.scatter(
        *([v] for v in spot),
        s=190 if star else 60,
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
        fontsize=10,
        weight="bold" if star else "normal",
        color=INK,
        ha="center",
        va="bottom",
    )


def _dress(axes: Any, x: Scale, y: Scale, metric: str) -> None:
    for name, placed in (("x", x), ("y", y)):
        getattr(axes, f"set_{name}ticks")(
            [at for at, _ in placed.ticks], labels=[plain(text) for _, text in placed.ticks]
        )
        getattr(axes, f"set_{name}label")(plain(placed.label), fontsize=10, labelpad=8, color=INK)
        low, high = float(placed.positions.min()), float(placed.positions.max())
        pad = 0.03 * (high - low) or 0.5
        getattr(axes, f"set_{name}lim")(low - pad, high + pad)
    axes.set_zlabel(metric, fontsize=10, labelpad=7, color=INK)
    axes.tick_params(labelsize=8.5, colors=GREY, pad=2)
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


def _screen(x: Scale, y: Scale, height: float, azim: float) -> tuple[Floats, Floats, Floats]:
    """Steps to the viewer, to the right and up, in the units of the data.

    In parallel projection the viewer sees nothing of a step forward: it puts seams before facets.
    """
    e, a = math.radians(ELEVATION), math.radians(azim)
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


def _view(drawn: list[Surface]) -> float:
    """Look from the lowest corner, so that nothing high stands in front; the same for all pictures."""
    if not drawn or drawn[0].y is None:
        return -60.0
    with np.errstate(invalid="ignore"):
        stack = np.stack([surface.drawn for surface in drawn])
    rows, columns = stack.shape[1], stack.shape[2]
    lows = {}
    for azim, i, j in ((-130, 0, 0), (-40, -1, 0), (50, -1, -1), (140, 0, -1)):
        near = slice(0, (rows + 1) // 2) if i == 0 else slice(rows // 2, rows)
        side = slice(0, (columns + 1) // 2) if j == 0 else slice(columns // 2, columns)
        part = stack[:, near, side]
        part = part[np.isfinite(part)]
        lows[azim] = float(part.mean()) if part.size else -math.inf
    return float(min(lows, key=lows.__getitem__))


def _draw_line(result: Aggregate, surface: Surface, path: Path) -> None:
    """One axis: a line through its values."""
    figure, bottom, top = _frame(result, surface)
    axes = figure.add_axes((0.11, bottom + 0.1, 0.85, top - bottom - 0.13))
    x, z = surface.x, surface.drawn[:, 0]
    axes.plot(x.positions, z, color=matplotlib.colormaps[COLOURS](0.3), marker="o", markersize=6, linewidth=2)
    if surface.best is not None:
        i = surface.best[0]
        axes.plot(x.positions[i], z[i], marker="*", markersize=17, color=ACCENT, markeredgecolor="white")
        axes.annotate(
            f"best {show_metric(float(surface.z[i, 0]))}",
            (x.positions[i], z[i]),
            xytext=(0, 12),
            textcoords="offset points",
            ha="center",
            fontsize=10,
            weight="bold",
            color=INK,
        )
    low, high = z_range(result)
    axes.set_ylim(low - 0.08 * (high - low), high + 0.14 * (high - low))
    axes.set_xticks([at for at, _ in x.ticks], labels=[plain(text) for _, text in x.ticks])
    axes.set_xlabel(plain(x.label), fontsize=10)
    axes.set_ylabel(plain(result.spec.metric), fontsize=10)
    axes.tick_params(labelsize=9, colors=GREY)
    axes.grid(visible=True, color="#e4e7eb", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    save(figure, path)
