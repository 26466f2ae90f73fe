"""From where to look at a surface: so that it hides as few measured points as can be, and which it hides."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gridrun.report.captions import show, show_metric
from gridrun.report.views.surfaces import Surface
from gridrun.results.layout import Floats
from gridrun.terminal import visible

BOX = (1.15, 1.15, 0.8)  # the sides of a picture
ELEVATIONS = (27.0, 38.0)
AZIMUTHS = range(-170, 190, 10)  # but not along an axis, where lines lie behind each other
STEPS = 60  # along a line of sight
MOST_POINTS = 150  # of a surface, that a view is chosen by
CLEAR = 0.01  # of the height: less in front of a point does not hide it
NAMED = 3


def choose_view(drawn: Sequence[Surface], low: float, high: float) -> tuple[float, float]:
    """Elevation and azimuth, in degrees, the same for all surfaces of a part.

    Of views that hide as few the lower one, and then from the side where the surface is lowest. Of many
    points some are looked for, evenly chosen.
    """
    views = []
    for elevation in ELEVATIONS:
        for azimuth in AZIMUTHS:
            if azimuth % 90 in (0, 10, 80):
                continue
            hidden = sum(int(_hidden(s, _some(s), low, high, elevation, azimuth).sum()) for s in drawn)
            views.append((hidden, elevation, _height_in_front(drawn, azimuth), azimuth))
        if min(views)[0] == 0:
            break
    _, elevation, _, azimuth = min(views)
    return elevation, float(azimuth)


def find_hidden(
    surface: Surface, low: float, high: float, elevation: float, azimuth: float
) -> npt.NDArray[np.bool_]:
    """Which measured points the surface hides, of the shape of its `z`.

    The viewer is above: a point is hidden if its line of sight passes below the surface anywhere.
    """
    hidden = np.zeros(surface.z.shape, bool)
    points = np.argwhere(np.isfinite(surface.z))
    hidden[*points.T] = _hidden(surface, points, low, high, elevation, azimuth)
    return hidden


def _some(surface: Surface) -> npt.NDArray[np.int64]:
    """The places of measured points, at most MOST_POINTS."""
    points = np.argwhere(np.isfinite(surface.z))
    return points[:: max(1, -(-len(points) // MOST_POINTS))]


def _hidden(
    surface: Surface, points: npt.NDArray[np.int64], low: float, high: float, elevation: float, azimuth: float
) -> npt.NDArray[np.bool_]:
    """Which of the points are hidden."""
    if surface.y is None or not len(points):
        return np.zeros(len(points), bool)
    x, y = (_unit(s.positions) * side for s, side in zip((surface.x, surface.y), BOX, strict=False))
    height = (np.clip(surface.drawn, low, high) - low) / (high - low) * BOX[2]
    e, a = math.radians(elevation), math.radians(azimuth)
    steps = np.linspace(0.0, 2.5, STEPS)[1:]
    i, j = points.T
    along_x = x[i][:, None] + steps * math.cos(e) * math.cos(a)
    along_y = y[j][:, None] + steps * math.cos(e) * math.sin(a)
    sight = height[i, j][:, None] + steps * math.sin(e)
    there = (along_x >= 0) & (along_x <= BOX[0]) & (along_y >= 0) & (along_y <= BOX[1])
    ground = np.where(there, _heights(x, y, height, along_x, along_y), -np.inf)
    return np.asarray((ground > sight + CLEAR * BOX[2]).any(axis=1))


def tell_hidden(surface: Surface, hidden: npt.NDArray[np.bool_]) -> str:
    """A sentence that names what a surface hides; "" if it hides nothing."""
    if surface.y is None or not hidden.any():
        return ""
    x, y = surface.x, surface.y
    told = [
        f"{visible(x.axis.name)} {show(x.axis.values[x.kept[i]])}, {visible(y.axis.name)}"
        f" {show(y.axis.values[y.kept[j]])} ({show_metric(float(surface.z[i, j]))})"
        for i, j in np.argwhere(hidden).tolist()[:NAMED]
    ]
    more = int(hidden.sum()) - len(told)
    return "Hidden behind the surface: " + "; ".join(told) + (f"; and {more} more" if more else "")


def _unit(positions: Floats) -> Floats:
    span = float(np.ptp(positions))
    return np.asarray((positions - positions.min()) / span if span else np.zeros(len(positions)))


def _heights(x: Floats, y: Floats, z: Floats, at_x: Floats, at_y: Floats) -> Floats:
    """The surface's height, bilinear between the measured corners; -inf where it has a hole.

    Places outside have that of the nearest within.
    """
    if len(x) < 2 or len(y) < 2:
        return np.full(at_x.shape, -np.inf)
    i = np.clip(np.searchsorted(x, at_x) - 1, 0, len(x) - 2)
    j = np.clip(np.searchsorted(y, at_y) - 1, 0, len(y) - 2)
    # Two values of an axis may be one place, or nearly: 0.0 and 5e-324 beside 1.0.
    at_x, at_y = at_x.clip(x[0], x[-1]), at_y.clip(y[0], y[-1])
    width, depth = (np.where(each > 0, each, 1.0) for each in (x[i + 1] - x[i], y[j + 1] - y[j]))
    u, v = (at_x - x[i]) / width, (at_y - y[j]) / depth
    found = (1 - u) * ((1 - v) * z[i, j] + v * z[i, j + 1]) + u * (
        (1 - v) * z[i + 1, j] + v * z[i + 1, j + 1]
    )
    return np.where(np.isnan(found), -np.inf, found)


def _height_in_front(drawn: Sequence[Surface], azimuth: float) -> float:
    """The mean height of the nearer half of the surfaces."""
    a, found = math.radians(azimuth), []
    for surface in drawn:
        if surface.y is None:
            continue
        x, y = _unit(surface.x.positions) - 0.5, _unit(surface.y.positions) - 0.5
        near = (x[:, None] * math.cos(a) + y[None, :] * math.sin(a)) > 0
        part = surface.drawn[near]
        found += part[np.isfinite(part)].tolist()
    return sum(value / len(found) for value in found) if found else 0.0
