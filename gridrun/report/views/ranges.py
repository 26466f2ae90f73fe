"""The range of a metric that a picture shows: one loss that exploded must not flatten all others."""

from dataclasses import dataclass

import numpy as np

from gridrun.report.captions import show_metric
from gridrun.report.views.scales import LIMIT, drawable
from gridrun.results.layout import Floats
from gridrun.selection import merits

# Where a picture ends: so many times as far from the best as the median is.
REACH = 4.0
# What is cut off is larger than this many times the best and the median, and takes as many times the room.
EXPLODED = 10.0


@dataclass(frozen=True)
class Range:
    """From `low` to `high`; `note` says how many values lie beyond and are drawn at the end, "" if none."""

    low: float
    high: float
    note: str = ""


def range_of(values: Floats, mode: str) -> Range:
    """The range of the finite values, cut on the worse side where some have exploded."""
    finite = drawable(values[np.isfinite(values)]) if values.size else values
    if not finite.size:
        return Range(0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    # A flat picture gets room that its own size can tell from rounding.
    if not high - low > max(abs(low) * 1e-9, 1 / LIMIT):
        room = max(0.5, abs(low) / 20)
        return Range(low - room, high + room)
    end = _end(finite, mode)
    if end is None:
        return Range(low, high)
    beyond = int((finite > end).sum() if mode == "min" else (finite < end).sum())
    words = f"{beyond:,} {'value' if beyond == 1 else 'values'} beyond {show_metric(end)} drawn there."
    return Range(low, end, words) if mode == "min" else Range(end, high, words)


def _end(finite: Floats, mode: str) -> float | None:
    """Where to cut; None where nothing has exploded."""
    sign = 1 if mode == "max" else -1
    merit = merits(finite, mode)
    best, worst = float(merit.max()), float(merit.min())
    for share in (0.5, 0.75, 0.9):  # of a grid of which half has exploded the median has
        typical = float(np.quantile(merit, share))
        reach = REACH * (best - typical)
        size = max(abs(best), abs(typical))
        if reach > 0 and abs(worst) > EXPLODED * size and best - worst > EXPLODED * reach:
            return sign * (best - reach)
    return None
