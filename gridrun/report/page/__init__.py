"""report.html: one page that needs nothing else, neither a server nor a network.

`PANELS` lists its sections. Each is a file here with a `PANEL`, its text in `<name>.html` beside it, and what
it draws in `<name>.js`. page.html, page.css and page.js are what all share.

Every text of a user's goes through Jinja2 with autoescape, or through the data, which is compressed: no text
in it can end the script. The script escapes it again for plotly, whose labels know some markup.
"""

import base64
import gzip
import json
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from gridrun.report.captions import missing, mixed, selected_on, show, show_metric, state, title
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
from gridrun.report.page.source import Source
from gridrun.terminal import visible

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
HERE = Path(__file__).parent


def write_page(source: Source, path: Path, refresh_s: int = 0) -> None:
    """Write the page; with `refresh_s` one that loads itself again so often."""
    result = source.result
    told = {panel.name: panel.data(source) for panel in PANELS if panel.data is not None}
    data = json.dumps({**source.data(), "panels": told}, allow_nan=False)
    environment = _environment()
    text = environment.get_template("page.html").render(
        name=result.spec.name,
        selected=selected_on(result),
        state=state(result),
        mixed=mixed(result),
        missing=missing(result),
        sections=[
            (panel, Markup(environment.get_template(f"{panel.name}.html").render(panel.fill(source))))
            for panel in PANELS
        ],
        refresh_s=refresh_s,
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup("\n".join(file.read_text(encoding="utf-8") for file in _scripts())),
        data=Markup(squeeze(data)),
        plotly=Markup(_plotly()),
    )
    path.write_text(text, encoding="utf-8", newline="\n")


def _scripts() -> list[Path]:
    """page.js first, which has what the others use, and start.js last."""
    first, last = HERE / "page.js", HERE / "start.js"
    return [first, *sorted({*HERE.glob("*.js")} - {first, last}), last]


def squeeze(text: str) -> str:
    """Text as the script unpacks it: plotly is 4.8 MB, and 1.9 MB so."""
    return base64.b64encode(gzip.compress(text.encode("utf-8", "backslashreplace"), 6, mtime=0)).decode()


@cache
def _plotly() -> str:
    """The library. Its body is a function, which V8 reads twice (0.2 s) unless it stands in parentheses."""
    text = get_plotlyjs()
    head, begins, body = text.partition("this, () => {")
    if begins and body.rstrip().endswith("}));"):
        text = f"{head}this, (() => {{{body.rstrip().removesuffix('));')})));\n"
    return squeeze(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Half a character is no UTF-8, and an escape code of a terminal is no text.
        finalize=lambda value: (
            visible(value, keep="\n") if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
    )
    environment.filters.update(show=show, metric=show_metric, title=title)
    return environment
