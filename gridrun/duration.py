"""Spans of time in words."""


def tell_seconds(low: float, high: float) -> str:
    """A span of time in words, as exact as it is: "8 s", "3 to 5 min", "1.5 h"."""
    for unit, size in (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("days", 86400.0)):
        if high < 100 * size or unit == "days":
            break
    first, last = (_round(seconds / size, unit) for seconds in (low, high))
    return f"{last} {unit}" if first == last else f"{first} to {last} {unit}"


def _round(value: float, unit: str) -> str:
    if value >= 10 or unit == "s":
        return str(max(1, round(value)))
    return f"{value:.1f}".removesuffix(".0")
