"""Surfaces: the metric over two axes as a landscape to turn, for each value of a third."""

import math
from typing import Any

from gridrun.report.captions import selected_on, show, show_metric
from gridrun.report.page.rendering import Panel
from gridrun.report.page.source import Source
from gridrun.report.views.scales import Scale, drawable
from gridrun.report.views.sight import choose_view
from gridrun.report.views.surfaces import Surface, beyond, heading, surfaces, undrawn, z_range
from gridrun.terminal import visible


def _drawn(source: Source) -> list[Surface]:
    if not len(source.result.best):
        return []
    # A line over one axis is in `per axis`; where nothing is measured there is no surface.
    return [s for s in surfaces(source.result) if s.y is not None and any(map(math.isfinite, s.z.ravel()))]


def _name(surface: Surface) -> str:
    words = ", ".join(f"{name} = {value}" for name, value in surface.at)
    return ": ".join(filter(None, [surface.part, words]))


def _fill(source: Source) -> dict[str, Any]:
    drawn, result = _drawn(source), source.result
    notes = list(dict.fromkeys(": ".join(filter(None, [s.part, s.note])) for s in drawn if s.note))
    held = {
        ("Other axes" if not s.part else f"{s.part}: other axes") + f" held at{words}"
        for s in drawn
        if (words := heading(s).partition("held at")[2])
    }
    told = [w for w in (*notes, *beyond(result), *sorted(held), undrawn(result)) if w] if drawn else []
    return {
        "names": [_name(surface) or result.spec.metric for surface in drawn],
        "selected": selected_on(result),
        "notes": told,
    }


def _data(source: Source) -> dict[str, Any]:
    low, high = z_range(source.result)
    drawn = _drawn(source)
    e, a = map(math.radians, choose_view(drawn, low, high) if drawn else (27.0, -130.0))
    eye = [math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)]
    return {
        "range": [low, high],
        "eye": dict(zip("xyz", (2.45 * each for each in eye), strict=True)),
        "all": [_tell(surface, surface.y) for surface in drawn if surface.y is not None],
    }


def _tell(surface: Surface, y: Scale) -> dict[str, Any]:
    # plotly wants z by rows of y.
    z = [[float(v) if math.isfinite(v) else None for v in drawable(column)] for column in surface.z.T]
    best = None
    if surface.best is not None:
        i, j = surface.best
        best = [float(surface.x.positions[i]), float(y.positions[j]), float(surface.drawn[i, j])]
    return {
        "name": visible(_name(surface)),
        "x": _scale(surface.x),
        "y": _scale(y),
        "z": z,
        "best": best,
        "told": "" if surface.best is None else f"best {show_metric(float(surface.z[surface.best]))}",
    }


def _scale(placed: Scale) -> dict[str, Any]:
    return {
        "name": visible(placed.axis.name),
        "label": visible(placed.label),
        "at": placed.positions.tolist(),
        "values": [show(placed.axis.values[i]) for i in placed.kept],
        "ticks": [at for at, _ in placed.ticks],
        "labels": [visible(text) for _, text in placed.ticks],
    }


PANEL = Panel("surfaces", "Surfaces", _fill, _data)
