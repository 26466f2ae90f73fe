"""report.html: one page that carries all it needs, with surfaces to turn."""

from html import escape
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from gridrun.aggregate import Aggregate, main_effects
from gridrun.report.curves import choose_curves
from gridrun.report.surfaces import choose_surfaces, positions
from gridrun.report.tables import show_title, show_value

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse}th,td{padding:.3em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "th{background:#31688e;color:#fff}pre{background:#f6f6f6;padding:.6em;overflow-x:auto}"
)
MOST_ROWS = 50


def write_page(result: Aggregate, folder: Path) -> None:
    """Write report.html. Everything that comes from the user is escaped."""
    spec = result.spec
    figures = [*_surfaces(result), _curves(result), _effects(result)]
    parts = [
        f"<h1>{escape(spec.name)}</h1><p>{escape(result.selected_on)}</p>",
        _table(result),
        *(to_html(figure, full_html=False, include_plotlyjs=False) for figure in figures),
        _parameters(result),
        _failures(result),
    ]
    head = f"<!doctype html><meta charset='utf-8'><title>{escape(spec.name)}</title><style>{STYLE}</style>"
    page = f"{head}<script>{get_plotlyjs()}</script>{''.join(parts)}"
    (folder / "report.html").write_text(page, encoding="utf-8")


def _table(result: Aggregate) -> str:
    budget = [result.spec.grid.budget] if result.spec.grid.budget else []
    names = [axis.name for axis in result.axes]
    head = "".join(f"<th>{escape(show_title(n))}</th>" for n in [*names, *budget, result.spec.metric])
    rows = ""
    for row in result.best.head(MOST_ROWS).to_dict("records"):
        values = [row[n] for n in names] + ([row["budget"]] if budget else []) + [row["metric"]]
        rows += "<tr>" + "".join(f"<td>{escape(show_value(v))}</td>" for v in values) + "</tr>"
    return f"<h2>Leaderboard</h2><table><tr>{head}</tr>{rows}</table>"


def _surfaces(result: Aggregate) -> list[go.Figure]:
    surfaces = choose_surfaces(result)
    finite = [s.z[np.isfinite(s.z)] for s in surfaces]
    values = np.concatenate(finite) if finite else np.zeros(0)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    figures = []
    for s in surfaces:
        (x, _), (y, _) = positions(s.across), positions(s.up)
        columns, rows = np.argsort(x), np.argsort(y)
        figure = go.Figure(
            go.Surface(
                x=np.array(x)[columns], y=np.array(y)[rows], z=s.z[np.ix_(rows, columns)],
                cmin=low, cmax=high, colorscale="Viridis",
            )
        )  # fmt: skip
        figure.update_layout(
            title=escape(s.title),
            height=560,
            scene={
                "xaxis": _ticks(s.across.name, x, s.across.values),
                "yaxis": _ticks(s.up.name, y, s.up.values),
                "zaxis": {"title": escape(show_title(result.spec.metric)), "range": [low, high]},
            },
        )
        figures.append(figure)
    return figures


def _ticks(name: str, places: list[float], values: tuple[object, ...]) -> dict[str, object]:
    texts = [escape(show_value(value)) for value in values]  # type: ignore[arg-type]
    return {"title": escape(show_title(name)), "tickvals": places, "ticktext": texts}


def _curves(result: Aggregate) -> go.Figure:
    figure = go.Figure()
    for label, colour, history in choose_curves(result):
        y = [metrics[result.spec.metric] for metrics in history]
        figure.add_scatter(x=list(range(1, len(y) + 1)), y=y, name=escape(label), line={"color": colour})
    return figure.update_layout(
        title="Best (cool) and worst (warm) trajectories",
        xaxis_title="Epoch",
        yaxis_title=escape(show_title(result.spec.metric)),
        legend={"orientation": "h", "y": -0.25},
    )


def _effects(result: Aggregate) -> go.Figure:
    figure = go.Figure()
    for name, means in main_effects(result).items():
        labels = [f"{show_title(name)} {show_value(value)}" for value, _ in means]
        figure.add_bar(
            x=list(map(escape, labels)), y=[mean for _, mean in means], name=escape(show_title(name))
        )
    title = f"Main effects: mean {escape(result.spec.metric)} at each value"
    return figure.update_layout(title=title)


def _parameters(result: Aggregate) -> str:
    rows = ""
    for name, value in result.fixed.items():
        source = "grid.toml" if name in result.spec.grid.fixed else "default"
        rows += f"<tr><td>{escape(name)}</td><td>{escape(show_value(value))}</td><td>{source}</td></tr>"
    return f"<h2>Fixed parameters</h2><table><tr><th>Name</th><th>Value</th><th>From</th></tr>{rows}</table>"


def _failures(result: Aggregate) -> str:
    counts = result.cells["status"].value_counts().to_dict()
    text = f"<h2>Cells</h2><p>{escape(str(counts))}; {result.diverged} diverged</p>"
    for failure in list(result.failures.values())[:20]:
        text += f"<p>{escape(failure.reason)}</p><pre>{escape(failure.traceback)}</pre>"
    return text
