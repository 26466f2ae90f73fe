"""Answer: the best, how sure that is, and what there is of the grid."""

from typing import Any

from gridrun.cell import as_given
from gridrun.report.page.rendering import Panel
from gridrun.report.page.source import Source
from gridrun.report.sentences import tell
from gridrun.report.tables import note_on, rows_of
from gridrun.report.views.steps import as_toml
from gridrun.results.picks import Pick

SHOWN = 10  # rows of the leaderboard


def _fill(source: Source) -> dict[str, Any]:
    result, answer = source.result, source.answer
    header, rows = rows_of(result, SHOWN)
    cells = result.best[result.names.cell].head(SHOWN).tolist()
    return {
        "result": result,
        "answer": answer,
        "summary": source.summary,
        "axes": {axis.name for axis in result.spec.grid.axes},
        "header": header,
        "rows": [(source.row_of.get(cell, -1), row) for cell, row in zip(cells, rows, strict=True)],
        "note": note_on(result, SHOWN),
        "sentences": tell(result, answer, source.costs),
        "split": _split(source),
        "toml": _as_toml(answer.chosen) if answer else "",
        "python": _as_python(answer.chosen) if answer else "",
    }


def _split(source: Source) -> str:
    """A warning where the metric was measured on what should have been kept for the end."""
    spec = source.result.spec
    split = {**source.result.defaults, **spec.grid.fixed}.get("split")
    if split != "test" or any(axis.name == "split" for axis in spec.grid.all_axes):
        return ""
    return (
        "Selected on split = test: the score flatters. Select on a validation split, and measure the one"
        " that is chosen on the test data, once."
    )


def _as_toml(pick: Pick) -> str:
    return as_toml({"fixed": dict(pick.params)})


def _as_python(pick: Pick) -> str:
    if all(name.isidentifier() for name in pick.params):
        return "train(" + ", ".join(f"{k}={as_given(v)!r}" for k, v in pick.params.items()) + ")"
    return f"train(**{ {k: as_given(v) for k, v in pick.params.items()}!r})"


PANEL = Panel("answer", "Answer", _fill)
