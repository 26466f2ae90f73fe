"""All cells: a table to filter and sort, parallel coordinates above it, and what a pinned one printed."""

from typing import Any

from gridrun.outcome import Failure
from gridrun.report.page.rendering import Panel
from gridrun.report.page.source import Source
from gridrun.terminal import visible

MOST_LOGS = 200  # of the best, and of those that failed
MOST_LOG = 2_000  # characters of one, its end


def _fill(source: Source) -> dict[str, Any]:
    grid = source.result.spec.grid
    return {
        "rows": len(source.mean),
        "cells": len(source.result.cells),
        "replicates": " and ".join(axis.name for axis in grid.replicates),
        "example": _example(source),
    }


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
    return {"logs": _logs(source), "directories": [visible(str(source.store.directory))]}


def _logs(source: Source) -> dict[str, str]:
    """By choice the end of what its first run printed: of the best, and of what failed."""
    result, repeats = source.result, source.repeats
    logs: dict[str, str] = {}
    for row in result.order[:MOST_LOGS].tolist() if not result.layout.is_budget_alone else ():
        output = source.store.output_of(result.trajectories[row * repeats])
        if output is not None and output.text.strip():
            logs[str(row)] = _clean(output.text)
    return logs


def _clean(text: str) -> str:
    text = text[-MOST_LOG:]
    return "\n".join(visible(line) for line in text.splitlines())


def tell_failure(failure: Failure) -> str:
    """A traceback made harmless, its lines kept."""
    return "\n".join(visible(line) for line in (failure.traceback or failure.reason).splitlines())


PANEL = Panel("all_cells", "All cells", _fill, _data)
