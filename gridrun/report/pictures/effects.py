"""effects.png: how much of the metric's variance belongs to each axis and to each interplay."""

from pathlib import Path

from matplotlib.figure import Figure

from gridrun.report.captions import caption, clip
from gridrun.report.csv import rows_of_effects
from gridrun.report.pictures.figures import BEST, GREY, INK, SCREEN, Style, plain, save
from gridrun.results.aggregate import Aggregate

SHOWN = 10


def draw_effects(result: Aggregate, path: Path, style: Style = SCREEN) -> bool:
    """Draw the largest shares, raw and on ranks; nothing, and False, where there are none."""
    rows = [row for row in rows_of_effects(result) if row[1]][:SHOWN][::-1]
    if not rows:
        return False
    words = caption(result, 118) if style.captions else ""
    top, bottom = (0.6, 0.75 + 0.16 * (words.count("\n") + 1)) if style.captions else (0.1, 0.4)
    height = top + bottom + 0.042 * style.text * len(rows)
    figure = Figure(figsize=(style.width, height))
    left = 0.36 if style.captions else 0.46
    axes = figure.add_axes((left, bottom / height, 0.97 - left, 1 - (top + bottom) / height))
    places = range(len(rows))
    axes.barh(
        [i + 0.2 for i in places], [100 * row[2] for row in rows], 0.36, color=BEST, label="of the metric"
    )
    ranked = [100 * row[3] if row[3] == row[3] else 0 for row in rows]
    axes.barh(
        [i - 0.2 for i in places], ranked, 0.36, color="white", edgecolor=GREY, hatch="////", label="by rank"
    )
    most = 34 if style.captions else 26
    labels = [plain(clip(row[0].replace(":", " x "), most)) for row in rows]
    axes.set_yticks(list(places), labels=labels)
    axes.set_xlabel("% of the variance", fontsize=style.text, color=INK)
    axes.tick_params(labelsize=style.text - 1, colors=GREY)
    axes.legend(fontsize=style.text - 1, frameon=False, loc="lower right")
    axes.grid(visible=True, axis="x", color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if style.captions:
        title = f"What matters for {result.spec.metric}"
        figure.text(0.04, 1 - 0.36 / height, plain(title), fontsize=14, weight="bold", color=INK)
        at = (bottom - 0.55) / height
        figure.text(0.04, at, plain(words), fontsize=7, color=GREY, va="top", linespacing=1.4)
    save(figure, path)
    return True
