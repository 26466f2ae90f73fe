"""What all pictures share. matplotlib's surprises are met here.

- pyplot keeps global state and picks a screen: figures are made by the object-oriented API, on Agg.
- A `$` in a text starts mathematics: `plain` takes its meaning away.
- A character that the font lacks is a warning: it is drawn as a box, which says enough.
- Logarithmic axes do not work in 3-D: `Scale` takes logarithms itself and labels the ticks.
"""

import warnings
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gridrun.terminal import visible

DPI = 150
INK, GREY, ACCENT = "#1f2933", "#5f6b7a", "#d6336c"
# viridis: even in lightness, so it reads in grey and to colour-blind eyes alike.
COLOURS = "viridis"


def plain(text: str) -> str:
    """Text that matplotlib draws as it stands; half a character it refuses."""
    return visible(text, keep="\n").replace("$", r"\$")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG: the same bytes for the same content, without program name or time."""
    FigureCanvasAgg(figure)
    with warnings.catch_warnings(), matplotlib.rc_context({"text.usetex": False, "path.simplify": True}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, dpi=DPI, facecolor="white", format="png", metadata={"Software": None})
