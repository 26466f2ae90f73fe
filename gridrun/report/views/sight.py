"""From where to look at a surface: so that it hides as few measured points as can be, and which it hides."""

import math
from collections.abc import Sequence

import numpy as np

from gridrun.report.captions import show, show_metric
from gridrun.report.views.surfaces import Surface
from gridrun.results.layout import Floats
from gridrun.terminal import visible

BOX = (1.15, 1.15, 0.8)  # the sides of a picture
ELEVATIONS = (27.0, 38.0)
AZIMUTHS = range(-170, 190, 10)  # but not along an axis, where lines lie behind each other
STEPS = 60  # along a line of sight
CLEAR = 0.01  # of the height: less in front of a point does not hide it
NAMED = 3


def choose_view(drawn: Sequence[Surface], low: float, high: float) -> tuple[float, float]:
    """Elevation and azimuth, in degrees, the same for all surfaces of a part.

    Of views that hide as few the lower one, and then from the side where the surface is lowest.
    """
    views = []
    for elevation in ELEVATIONS:
        for azimuth in AZIMUTHS:
            if azimuth % 90 in (0, 10, 80):
                continue
            hidden = sum(int(find_hidden(s, low, high, elevation, azimuth).sum()) for s in drawn)
            views.append((hidden, elevation, _height_in_front(drawn, azimuth), azimuth))
    _, elevation, _, azimuth = min(views)
    return elevation, float(azimuth)


def find_hidden(surface: Surface, low: float, high: float, elevation: float, azimuth: float) -> "np.ndarray":
    """Which measured points the surface hides, of the shape of its `z`.

    The viewer is above: a point is hidden if its line of sight passes below the surface anywhere.
    """
    z = np.clip(surface.drawn, low, high)
    hidden = np.zeros(z.shape, bool)
    if surface.y is None:
        return hidden
    x, y = (_unit(s.positions) * side for s, side in zip((surface.x, surface.y), BOX, strict=False))
    height = (z - low) / (high - low) * BOX[2]
    e, a = math.radians(elevation), math.radians(azimuth)
    steps = np.linspace(0.0, 2.5, STEPS)[1:]
    for i, j in np.argwhere(np.isfinite(z)).tolist():
        along_x = x[i] + steps * math.cos(e) * math.cos(a)
        along_y = y[j] + steps * math.cos(e) * math.sin(a)
        sight = height[i, j] + steps * math.sin(e)
        there = (along_x >= 0) & (along_x <= BOX[0]) & (along_y >= 0) & (along_y <= BOX[1])
        ground = _heights(x, y, height, along_x[there], along_y[there])
        hidden[i, j] = bool((ground > sight[there] + CLEAR * BOX[2]).any())
    return hidden


def tell_hidden(surface: Surface, hidden: "np.ndarray") -> str:
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
    """The surface's height at places, bilinear between the measured corners; -inf where it has a hole."""
    if len(x) < 2 or len(y) < 2:
        return np.full(len(at_x), -np.inf)
    i = np.clip(np.searchsorted(x, at_x) - 1, 0, len(x) - 2)
    j = np.clip(np.searchsorted(y, at_y) - 1, 0, len(y) - 2)
    u, v = (at_x - x[i]) / (x[i + 1] - x[i]), (at_y - y[j]) / (y[j + 1] - y[j])
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
