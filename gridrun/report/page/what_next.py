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
    }


PANEL = Panel("what_next", "What next", _fill)
