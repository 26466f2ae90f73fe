"""What all pictures share. matplotlib's surprises are met here.

- pyplot keeps global state and picks a screen: figures are made by the object-oriented API, on Agg.
- A matplotlibrc may change anything, texts when they are made: all is drawn `by_defaults`.
- A `$` in a text starts mathematics: `plain` takes its meaning away.
- A character that the font lacks is a warning: it is drawn as a box, which says enough.
- Logarithmic axes do not work in 3-D: `Scale` takes logarithms itself and labels the ticks.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gridrun.terminal import visible

DPI = 150
# Names within an SVG are drawn by chance but for a salt; its texts stay texts, to be searched and edited.
PLAIN: Any = {"text.usetex": False, "path.simplify": True, "svg.hashsalt": "gridrun", "svg.fonttype": "none"}
INK, GREY, ACCENT, BEST = "#1f2933", "#5f6b7a", "#d6336c", "#21918c"
# viridis: even in lightness, so it reads in grey and to colour-blind eyes alike.
COLOURS = "viridis"


def plain(text: str) -> str:
    """Text that matplotlib draws as it stands; half a character it refuses."""
    return visible(text, keep="\n").replace("$", r"\$")


@contextmanager
def by_defaults() -> Iterator[None]:
    """Draw as matplotlib does by itself, whatever a matplotlibrc of the current directory says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


@dataclass(frozen=True)
class Style:
    """How wide a picture is, in inches; the size of its texts, in points; whether it says what it is of.

    On paper a picture is as wide as a column, and its caption is the author's.
    """

    width: float
    text: float
    captions: bool


STYLES = {"screen": Style(8.4, 10.0, True), "paper": Style(3.5, 7.5, False)}
SCREEN = STYLES["screen"]
FORMATS = ("png", "svg", "pdf")
# What would be the time, the program or chance in a file.
NAMELESS: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}


def save(figure: Figure, path: Path) -> None:
    """Write a figure as its path's ending says: the same bytes for the same content, without name or time."""
    FigureCanvasAgg(figure)
    kind = path.suffix[1:]
    with warnings.catch_warnings(), matplotlib.rc_context(PLAIN):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, dpi=DPI, facecolor="white", format=kind, metadata=NAMELESS[kind])
