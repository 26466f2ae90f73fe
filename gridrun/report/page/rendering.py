"""A page is made: its panels' markup, its data and scripts, and plotly, all in one file.

Every text of a user's goes through Jinja2 with autoescape, or through the data, which is compressed: no text
in it can end the script. The script escapes it again for plotly, whose labels know some markup.
"""

import base64
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from gridrun.report.captions import show, show_metric, title
from gridrun.terminal import visible

HERE = Path(__file__).parent
S = TypeVar("S")


@dataclass(frozen=True)
class Panel(Generic[S]):
    """A section of a page: `<name>.html` says `fill`, and `<name>.js`, where there is one, draws `data`."""

    name: str
    title: str
    fill: Callable[[S], Mapping[str, Any]]
    data: Callable[[S], Any] | None = None


@dataclass(frozen=True)
class Heading:
    """What stands above the panels: the name, a sentence or two, warnings."""

    name: str
    words: str
    warnings: Sequence[str] = ()
    refresh_s: int = 0


def render(
    panels: Sequence[Panel[S]],
    source: S,
    data: Mapping[str, Any],
    heading: Heading,
    path: Path,
    folder: str = "",
) -> None:
    """Write a page; `folder` has its panels' files where they do not lie here."""
    told = {panel.name: panel.data(source) for panel in panels if panel.data is not None}
    environment = _environment()
    template = environment.get_template
    text = template("page.html").render(
        heading=heading,
        sections=[
            (panel, Markup(template(f"{folder}{panel.name}.html").render(panel.fill(source))))
            for panel in panels
        ],
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup("\n".join(file.read_text(encoding="utf-8") for file in _scripts(folder))),
        data=Markup(squeeze(json.dumps({**data, "panels": told}, allow_nan=False))),
        plotly=Markup(_plotly()),
    )
    path.write_text(text, encoding="utf-8", newline="\n")


def _scripts(folder: str) -> list[Path]:
    """page.js first, which has what the others use, and start.js last."""
    first, last = HERE / "page.js", HERE / "start.js"
    own = (HERE / folder).glob("*.js") if folder else ()
    return [first, *sorted({*HERE.glob("*.js"), *own} - {first, last}), last]


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
