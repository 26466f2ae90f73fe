"""Where an axis's values lie in a picture, and which of them are drawn."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridrun.cell import Value
from gridrun.grid import Axis
from gridrun.report.captions import clip, show
from gridrun.results.aggregate import Aggregate
from gridrun.results.layout import Floats

LOG_FROM = 30.0  # an axis whose largest value is so many times its smallest is drawn on a log scale
MOST_TICKS = 8
LIMIT = 1e250  # beyond it differences, margins and squares within matplotlib overflow


def drawable(values: Any) -> Floats:
    """Metrics as pictures show them: what lies beyond the limit lies on it."""
    return np.asarray(np.clip(np.asarray(values, float), -LIMIT, LIMIT))


def clipped(result: Aggregate) -> str:
    """A sentence for captions where that moved something."""
    shown = [result.by_combination]
    shown += [np.array(values) for curve in result.curves for values in curve.history.values()]
    # NaN is beyond nothing.
    beyond = any((np.abs(values) > LIMIT).any() for values in shown)
    return f"Metrics beyond ±{LIMIT:g} are drawn there" if beyond else ""


@dataclass(frozen=True)
class Scale:
    """Where an axis's values lie in a picture. `kept` are the values drawn, ascending in position.

    `positions` has one entry for each of `kept`; `ticks` pairs a position with its label. `even` is
    whether numbers lie evenly as they are too far apart, or too near each other, to be drawn by size.
    """

    axis: Axis
    kept: tuple[int, ...]
    positions: Floats
    ticks: tuple[tuple[float, str], ...]
    log: bool
    even: bool = False

    @property
    def label(self) -> str:
        return self.axis.name + (" (log scale)" if self.log else " (evenly spaced)" if self.even else "")


def is_numeric(axis: Axis) -> bool:
    """Whether an axis's values have distances; truth values, texts and lists have none."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in axis.values)


def scale(axis: Axis, most: int, always: int | None = None) -> Scale:
    """Place an axis's values: numbers by size, others evenly in the order written.

    No more than `most` values are kept, evenly chosen, the `always`-th among them.
    """
    order = list(range(len(axis.values)))
    numeric = is_numeric(axis)
    numbers = [float(value) for value in axis.values] if numeric else []  # type: ignore[arg-type]
    if numeric:
        order.sort(key=numbers.__getitem__)
    kept = thin(order, most, always)
    log = numeric and min(numbers) > 0 and (max(numbers) / min(numbers) >= LOG_FROM or _is_geometric(numbers))
    even = numeric and not log and not _drawable_by_size(numbers)
    if numeric and not even:
        places = [math.log10(numbers[i]) if log else numbers[i] for i in kept]
    else:
        places = [float(i) for i in range(len(kept))]
    labels = thin(range(len(kept)), MOST_TICKS, None)
    span = max(places) - min(places)
    ticks: list[tuple[float, str]] = []
    for i in labels:
        # Labels nearer than a twentieth of the axis would be printed over each other.
        if not ticks or places[i] - ticks[-1][0] >= span / 20:
            ticks.append((places[i], clip(tick(axis.values[kept[i]]), 16)))
    return Scale(axis, tuple(kept), np.array(places), tuple(ticks), log, even)


def _is_geometric(numbers: list[float]) -> bool:
    """Whether three numbers or more follow each other by one ratio: 16, 32, 64."""
    ordered = sorted(numbers)
    ratios = [after / before for before, after in itertools.pairwise(ordered)]
    return len(ratios) > 1 and min(ratios) > 1.2 and max(ratios) < 1.01 * min(ratios)


def _drawable_by_size(numbers: list[float]) -> bool:
    largest, span = max(map(abs, numbers)), max(numbers) - min(numbers)
    return largest <= LIMIT and (len(numbers) == 1 or span > max(1e-9 * largest, 1 / LIMIT))


def tick(value: Value) -> str:
    """A value short enough for a tick."""
    return f"{value:.4g}" if isinstance(value, float) else show(value)


def thin(items: "list[int] | range", most: int, always: int | None) -> list[int]:
    """At most `most` of the items, evenly chosen, first and last included, and `always` among them."""
    items = list(items)
    if len(items) <= most:
        return items
    picked = {round(i * (len(items) - 1) / (most - 1)) for i in range(most)}
    if always is not None and always in items:
        place = items.index(always)
        if place not in picked:
            picked.discard(min(picked - {0, len(items) - 1}, key=lambda p: abs(p - place), default=-1))
            picked.add(place)
    return [items[place] for place in sorted(picked)]
