"""Pictures drawn by matplotlib: which there are, in which format and style, of which metric and axes."""

from dataclasses import dataclass
from pathlib import Path

from gridrun.errors import InputError
from gridrun.report.pictures.curves import PANELS, draw_curves, panels
from gridrun.report.pictures.effects import draw_effects
from gridrun.report.pictures.figures import FORMATS, STYLES, by_defaults
from gridrun.report.pictures.isolation import draw_isolation
from gridrun.report.pictures.pairs import draw_pairs
from gridrun.report.pictures.surfaces import draw_surfaces
from gridrun.report.pictures.table import draw_table
from gridrun.report.views.histories import gather_histories
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import Answer
from gridrun.store import Store


@dataclass(frozen=True)
class Wanted:
    """What is asked of pictures: their format, a style, two axes for pairs and surfaces, another metric."""

    format: str = "png"
    style: str = "screen"
    axes: tuple[str, str] | None = None
    metric: str | None = None

    @classmethod
    def read(cls, format: str, style: str, axes: str | None, metric: str | None) -> "Wanted":
        """The options of a command line. Raises: InputError for what there is not."""
        if format not in FORMATS:
            raise InputError(f"--format: no format {format!r}; write {', '.join(FORMATS)}")
        if style not in STYLES:
            raise InputError(f"--style: no style {style!r}; write {' or '.join(STYLES)}")
        names = [name.strip() for name in axes.split(",")] if axes is not None else []
        if axes is not None and len(names) != 2:
            raise InputError(f"--axes takes two axes, found {axes!r}; write --axes learning_rate,batch_size")
        return cls(format, style, (names[0], names[1]) if names else None, metric)


def draw_pictures(
    result: Aggregate, answer: Answer | None, store: Store, directory: Path, wanted: Wanted
) -> None:
    """Draw every picture of what is ranked. Raises: InputError if an axis that is asked for does not vary."""
    ending, style = wanted.format, STYLES[wanted.style]
    with by_defaults():
        draw_pairs(result, answer, directory, ending, style, wanted.axes)
        draw_table(result, directory / f"table.{ending}", style)
        draw_surfaces(result, directory, ending, style, wanted.axes)
        behind = gather_histories(result, store, panels(result)[:PANELS])
        draw_curves(result, directory / f"curves.{ending}", behind, style)
        draw_effects(result, directory / f"effects.{ending}", style)
        draw_isolation(result, answer, directory / f"isolation.{ending}", style)
