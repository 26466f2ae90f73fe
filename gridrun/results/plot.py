"""A metric by epoch as lines of plain text."""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise

ROWS, MOST_COLUMNS = 8, 60
# Values further from the middle than so many times what most of them span are drawn at the edge.
FAR = 5.0


def plot(name: str, values: Sequence[float]) -> list[str]:
    """The curve below its name; nothing where there is none to see: fewer than three, or all the same.

    NaN is a gap. A value far off all others is drawn at the edge as ^ or v, as it would flatten the rest.
    """
    finite = sorted(value for value in values if math.isfinite(value))
    if len(finite) < 3 or finite[0] == finite[-1]:
        return []
    low, high = _limits(finite)
    columns = _columns(values)
    step = 2 if len(columns) <= MOST_COLUMNS // 2 else 1
    lines = [[" "] * (step * len(columns)) for _ in range(ROWS)]
    for place, value in enumerate(columns):
        if math.isfinite(value):
            row = round((ROWS - 1) * ((min(max(value, low), high) - low) / (high - low)))
            lines[ROWS - 1 - row][step * place] = "^" if value > high else "v" if value < low else "*"
    labels = [f"{high:.6g}", *[""] * (ROWS - 2), f"{low:.6g}"]
    wide = max(map(len, labels))
    drawn = [f"{label:>{wide}} |{''.join(line)}".rstrip() for label, line in zip(labels, lines, strict=True)]
    last = str(len(values))
    axis = f"{'':>{wide}} +{'-' * (step * len(columns))}"
    foot = f"{'':>{wide}}  1{last:>{max(len(last) + 1, step * (len(columns) - 1))}}"
    beyond = any(value < low or value > high for value in finite)
    return [f"{name} by epoch" + (" (^ and v: beyond the edge)" if beyond else ""), *drawn, axis, foot]


def _limits(finite: Sequence[float]) -> tuple[float, float]:
    """Between which values to draw: all, unless a few are far off."""
    low, middle, high = finite[0], statistics.median(finite), finite[-1]
    most = finite[len(finite) * 9 // 10] - finite[len(finite) // 10]
    if most > 0:
        low, high = max(low, middle - FAR * most), min(high, middle + FAR * most)
    return (low, high) if math.isfinite(high - low) else (low / 4, high / 4)


def _columns(values: Sequence[float]) -> list[float]:
    """One value a column: the mean of neighbours where there are more epochs than columns."""
    count = min(len(values), MOST_COLUMNS)
    edges = [len(values) * place // count for place in range(count + 1)]
    found = []
    for start, end in pairwise(edges):
        part = [value for value in values[start:end] if math.isfinite(value)]
        found.append(sum(value / len(part) for value in part) if part else math.nan)
    return found
