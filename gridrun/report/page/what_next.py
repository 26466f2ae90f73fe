"""What next: steps worth taking, each as the lines of grid.toml to change, with its cells and hours."""

from typing import Any

from gridrun.report.page.rendering import Panel
from gridrun.report.page.source import Source
from gridrun.report.sentences import duration
from gridrun.report.views.steps import find_steps


def _fill(source: Source) -> dict[str, Any]:
    counts = source.result.counts
    return {
        "steps": find_steps(source.result, source.answer, source.costs) if source.answer else [],
        "pending": counts["pending"],
        "duration": duration,
        "nothing": _nothing(source),
    }


def _nothing(source: Source) -> str:
    """What is said where there is no step."""
    if source.answer is None:
        return "Nothing yet: nothing is ranked."
    if len(source.result.best) < 2:
        return "One combination is ranked, so there is nothing to compare it with: give an axis more values."
    if source.answer.ties is None:
        return "Nothing stands out: the best lies inside the grid. How sure it is, is not known."
    return "Nothing stands out: the best lies inside the grid, and beyond noise."


PANEL = Panel("what_next", "What next", _fill)
