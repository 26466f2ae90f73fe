"""All cells: a table to filter and sort, parallel coordinates above it, and what a pinned one shows."""

from typing import Any

from gridrun.report.page.rendering import Panel
from gridrun.report.page.source import Source, pack
from gridrun.terminal import many, visible


def _fill(source: Source) -> dict[str, Any]:
    grid = source.result.spec.grid
    return {
        "rows": len(source.mean),
        "cells": len(source.result.cells),
        "replicates": " and ".join(axis.name for axis in grid.replicates),
        "example": _example(source),
        "left_out": _left_out(source),
    }


def _left_out(source: Source) -> str:
    """What a pinned choice may lack, as the page would be too large."""
    numbers, detailed = source.logs["by_combination"], source.detailed
    printed, failed = (int((numbers[name][detailed] == -2).sum()) for name in ("printed", "failed"))
    beyond = len(numbers["printed"]) - len(detailed)
    told = [
        f"the curves of all but {len(source.pinned['curves']):,} combinations" * (not source.pinned["whole"]),
        f"what {many(printed, 'combination')} printed" * bool(printed),
        f"why {many(failed, 'combination')} failed" * bool(failed),
        f"curve and output of {many(beyond, 'combination')}" * (beyond > 0),
    ]
    words = "; ".join(filter(None, told))
    return f"Left out of this page: {words}; gridrun show tells them." if words else ""


def _example(source: Source) -> str:
    """A filter that could be typed here."""
    axes = [axis for axis in source.result.spec.grid.axes if len(axis.values) > 1][:2]
    words = []
    for axis in axes:
        value = axis.values[0]
        if isinstance(value, int | float) and not isinstance(value, bool):
            words.append(f"{axis.name}>{value}" if axis is axes[0] else f"{axis.name}<={value}")
        elif isinstance(value, str) and value.isidentifier():
            words.append(f"{axis.name}={value}")
    return visible(" ".join(words) or f"{source.result.spec.metric}>0")


def _data(source: Source) -> dict[str, Any]:
    logs = dict(source.logs)
    numbers = logs.pop("by_combination")
    return {
        "logs": {**logs, "of": {name: pack(table) for name, table in numbers.items()}},
        "curves": source.pinned,
        "directories": [visible(str(source.store.directory))],
    }


PANEL = Panel("all_cells", "All cells", _fill, _data)
