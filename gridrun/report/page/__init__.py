"""report.html: one page that needs nothing else, neither a server nor a network.

`PANELS` lists its sections. Each is a file here with a `PANEL`, its text in `<name>.html` beside it, and what
it draws in `<name>.js`. page.html, page.css and page.js are what all share, and
versus/, which is the page of a comparison.
"""

from pathlib import Path

from gridrun.report.captions import missing, mixed, selected_on, state
from gridrun.report.page import (
    all_cells,
    answer,
    budget,
    failures,
    matters,
    pairs,
    per_axis,
    provenance,
    surfaces,
    what_next,
)
from gridrun.report.page.rendering import Heading, render
from gridrun.report.page.source import Source

PANELS = (
    answer.PANEL,
    what_next.PANEL,
    matters.PANEL,
    per_axis.PANEL,
    pairs.PANEL,
    surfaces.PANEL,
    budget.PANEL,
    all_cells.PANEL,
    failures.PANEL,
    provenance.PANEL,
)


def write_page(source: Source, path: Path, refresh_s: int = 0) -> None:
    """Write the page; with `refresh_s` one that loads itself again so often."""
    result = source.result
    words = f"{selected_on(result)}. {state(result)}. {mixed(result)}"
    warnings = [f"{told}." for told in [missing(result)] if told]
    render(PANELS, source, source.data(), Heading(result.spec.name, words, warnings, refresh_s), path)
