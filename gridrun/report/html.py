"""report.html: one page that needs nothing else, to turn the surfaces and sort the table.

Every text of the user's is escaped here: `html.escape` in the page, and for plotly, whose labels
know some markup, before they become labels. plotly itself escapes what could end the script.
"""

import html
import math
from pathlib import Path
from string import Template
from typing import Any

import plotly.graph_objects as go
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from gridrun.report.captions import clip, join, missing, mixed, selected_on, show, show_metric, state, title
from gridrun.report.pictures.curves import colour, label, middle, panels
from gridrun.report.pictures.figures import ACCENT
from gridrun.report.tables import note_on, rows_of
from gridrun.report.views.scales import clipped, drawable
from gridrun.report.views.surfaces import Surface, heading, surfaces, undrawn, z_range
from gridrun.results.aggregate import Aggregate
from gridrun.results.gather import SHOWN_FAILURES
from gridrun.terminal import visible

TOP = 200
SHOWN_CURVES = 6
NOTHING = "None: no combination is ranked."
CAMERA = {"eye": {"x": -1.5, "y": -1.7, "z": 0.95}}

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 1120px;
  margin: 2em auto; padding: 0 1em; }
h1 { margin-bottom: 0; } h2 { margin-top: 2em; border-bottom: 1px solid #dde2e8; }
.note { color: #5f6b7a; } .scroll { max-height: 30em; overflow: auto; border: 1px solid #dde2e8; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3em .8em; text-align: right; } th { position: sticky; top: 0; background: #f3f5f7; }
#best th { cursor: pointer; } #best th:focus-visible { outline: 2px solid #1f6feb; }
#best tbody tr:nth-child(odd) { background: #fafbfc; } #best tr[data-rank="1"] td { font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 500px), 1fr)); }
.plots > div { min-width: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15em 1.5em; }
dt { color: #5f6b7a; } dd { margin: 0; }
pre { overflow: auto; background: #f3f5f7; padding: .8em; }
</style>
<script>$plotly</script>
</head>
<body>
<h1>$title</h1>
<p class="note">$selected. $state. $mixed</p>
<h2>Leaderboard</h2>
<p class="note">$shown.</p>
<div class="scroll"><table id="best">$table</table></div>
<h2>Surfaces</h2>
<p class="note">$surfaced</p>
<div class="plots">$surfaces</div>
<h2>Curves</h2>
<p class="note">$curved</p>
<div class="plots">$curves</div>
<h2>Main effects</h2>
<p class="note">$averaged</p>
<div class="plots">$effects</div>
<h2>Parameters</h2>
<h3>Fixed</h3>$fixed
<h3>Defaults of $train</h3>$defaults
<h2>Failures</h2>
$failures
<script>
document.querySelectorAll("#best th").forEach((head, column) => {
  let up = false;
  const sort = () => {
    up = !up;
    head.closest("tr").querySelectorAll("th").forEach(th => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = document.querySelector("#best tbody");
    const key = row => { const t = row.cells[column].textContent, n = parseFloat(t);
      return isNaN(n) ? t : n; };
    [...body.rows].sort((a, b) => {
      const x = key(a), y = key(b);
      const order = typeof x === "number" && typeof y === "number"
        ? x - y : String(x).localeCompare(String(y));
      return up ? order : -order;
    }).forEach(row => body.append(row));
  };
  head.tabIndex = 0;
  head.addEventListener("click", sort);
  head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
});
</script>
</body>
</html>
""")


def write_page(result: Aggregate, path: Path) -> None:
    """Write the page."""
    ranked = len(result.best) > 0
    drawn = list(surfaces(result)) if ranked else []
    spec = result.spec
    shown = f"The best {min(TOP, len(result.best)):,} of {len(result.best):,} combinations"
    shown += "; all are in best.csv. A click on a heading sorts"
    if note := note_on(result, TOP):
        shown += f". {note}"
    notes = "".join(f"{words}. " for words in _notes(result, drawn))
    text = PAGE.substitute(
        title=_safe(spec.name),
        plotly=get_plotlyjs(),
        selected=_safe(selected_on(result)),
        state=_safe(state(result)),
        shown=_safe(shown if ranked else missing(result)),
        table=_table(result),
        surfaced=_safe(f"{selected_on(result)}. One colour scale for all. {notes}" if ranked else NOTHING),
        curved=_safe("The best and the worst combinations by epoch." if ranked else NOTHING),
        averaged=_safe(
            f"Mean of {spec.metric} for each value of an axis, over all combinations that have it."
            if ranked
            else NOTHING
        ),
        surfaces="".join(_surface(result, surface, place) for place, surface in enumerate(drawn)),
        curves="".join(_curve(result, name, i) for i, name in enumerate(panels(result)[:SHOWN_CURVES])),
        effects="".join(
            _effect(result, name, i) for i, name in enumerate(result.main_effects if ranked else ())
        ),
        fixed=_list(spec.grid.fixed),
        train=_safe(spec.trainer.name),
        defaults=_list(result.defaults),
        mixed=_safe(mixed(result)),
        failures=_failures(result),
    )
    path.write_text(text, encoding="utf-8", newline="\n")


def _notes(result: Aggregate, drawn: list[Surface]) -> list[str]:
    """What is left out of the surfaces, and at what the other axes are held."""
    if not drawn:
        return []
    notes = dict.fromkeys(": ".join(filter(None, [s.part, s.note])) for s in drawn if s.note)
    held = {
        ("Other axes" if not s.part else f"{s.part}: other axes") + f" held at{words}"
        for s in drawn
        if (words := heading(s).partition("held at")[2])
    }
    return [words for words in (*notes, clipped(result), *sorted(held), undrawn(result)) if words]


def _safe(text: str) -> str:
    # As it stands between tags, never within one: quotes need no escape, and plotly would show it.
    return html.escape(visible(text), quote=False)


def _table(result: Aggregate) -> str:
    header, rows = rows_of(result, TOP)
    head = "".join(f"<th>{_safe(title(name))}</th>" for name in header)
    body = "".join(
        f'<tr data-rank="{row[0]}">' + "".join(f"<td>{_safe(value)}</td>" for value in row) + "</tr>\n"
        for row in rows
    )
    return f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>"


def _list(params: Any) -> str:
    if not params:
        return '<p class="note">None.</p>'
    items = "".join(f"<dt>{_safe(name)}</dt><dd>{_safe(show(value))}</dd>" for name, value in params.items())
    return f"<dl>{items}</dl>"


def _failures(result: Aggregate) -> str:
    if not result.failure_count:
        return '<p class="note">None.</p>'
    rest = result.failure_count - len(result.failures)
    items = "".join(
        f"<details><summary>{_safe(join(params))}: {_safe(failure.reason)}</summary>"
        f"<pre>{html.escape(_lines(failure.traceback or failure.reason))}</pre></details>\n"
        for params, failure in result.failures
    )
    more = f'<p class="note">The first {SHOWN_FAILURES} in grid order; {rest:,} more.</p>' if rest else ""
    return items + more


def _lines(text: str) -> str:
    return "\n".join(visible(line) for line in text.splitlines())


def _plot(data: list[Any], name: str, heading: str, height: int, **layout: Any) -> str:
    figure = go.Figure(data=data)
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 55, "r": 15, "t": 45, "b": 50},
        title={"text": _safe(heading), "font": {"size": 14}},
        **layout,
    )
    # A name of our own: plotly would draw one at random, and no two pages would be alike.
    return str(
        to_html(
            figure,
            include_plotlyjs=False,
            full_html=False,
            div_id=name,
            config={"displaylogo": False, "responsive": True},
        )
    )


def _numbers(values: Any) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in drawable(values)]


def _surface(result: Aggregate, surface: Surface, place: int) -> str:
    low, high = z_range(result)
    x, metric = surface.x, result.spec.metric
    name = ", ".join(f"{key} = {clip(value, 40)}" for key, value in surface.at)
    name = ": ".join(filter(None, [surface.part, name])) or metric
    x_axis = {
        "title": {"text": _safe(x.label)},
        "tickvals": [at for at, _ in x.ticks],
        "ticktext": [_safe(text) for _, text in x.ticks],
    }
    if surface.y is None:
        points = go.Scatter(x=x.positions.tolist(), y=_numbers(surface.z[:, 0]), mode="lines+markers")
        return _plot(
            [points], f"surface-{place}", name, 420, xaxis=x_axis, yaxis={"title": {"text": _safe(metric)}}
        )
    y = surface.y
    y_axis = {
        "title": {"text": _safe(y.label)},
        "tickvals": [at for at, _ in y.ticks],
        "ticktext": [_safe(text) for _, text in y.ticks],
    }
    # plotly wants z by rows of y.
    z = [_numbers(column) for column in surface.z.T]
    told = [
        [
            f"{_safe(x.axis.name)} {_safe(show(x.axis.values[i]))}<br>"
            f"{_safe(y.axis.name)} {_safe(show(y.axis.values[j]))}"
            for i in x.kept
        ]
        for j in y.kept
    ]
    data: list[Any] = [
        go.Surface(
            x=x.positions.tolist(),
            y=y.positions.tolist(),
            z=z,
            cmin=low,
            cmax=high,
            colorscale="Viridis",
            text=told,
            hovertemplate="%{text}<br>%{z:.4f}<extra></extra>",
            connectgaps=False,
            showscale=True,
            colorbar={"thickness": 12, "len": 0.7},
        )
    ]
    if surface.best is not None:
        i, j = surface.best
        data.append(
            go.Scatter3d(
                x=[float(x.positions[i])],
                y=[float(y.positions[j])],
                z=[float(surface.drawn[i, j])],
                mode="markers+text",
                text=[f"best {show_metric(float(surface.z[i, j]))}"],
                textposition="top center",
                marker={"size": 6, "color": ACCENT, "symbol": "diamond"},
                hoverinfo="text",
                showlegend=False,
            )
        )
    margin = 0.05 * (high - low)
    scene = {
        "xaxis": x_axis,
        "yaxis": y_axis,
        "zaxis": {"title": {"text": _safe(metric)}, "range": [low - margin, high + margin]},
        "camera": CAMERA,
        "aspectratio": {"x": 1.1, "y": 1.1, "z": 0.75},
    }
    return _plot(data, f"surface-{place}", name, 480, scene=scene)


def _curve(result: Aggregate, metric: str, place: int) -> str:
    half = middle(result)
    data = [
        go.Scatter(
            x=list(range(1, len(curve.history.get(metric, [])) + 1)),
            y=_numbers(curve.history.get(metric, [])),
            mode="lines+markers",
            name=_safe(label(curve)),
            line={"dash": "solid" if i < half else "dash", "color": colour(result, i)},
        )
        for i, curve in enumerate(result.curves)
    ]
    return _plot(
        data,
        f"curve-{place}",
        metric,
        420,
        xaxis={"title": {"text": "epoch"}},
        legend={"orientation": "h", "y": -0.2, "font": {"size": 11}},
        showlegend=True,
    )


def _effect(result: Aggregate, name: str, place: int) -> str:
    effect = result.main_effects[name]
    # Texts of values would be taken for numbers, dates or markup: positions with labels of ours are not.
    labels = [_safe(clip(show(value), 24)) for value in effect["value"]]
    step = max(1, -(-len(labels) // 12))
    points = go.Scatter(
        x=list(range(len(labels))),
        y=_numbers(effect["mean"]),
        mode="lines+markers",
        text=labels,
        hovertemplate="%{text}<br>%{y:.4f}<extra></extra>",
    )
    ticks = {"tickvals": list(range(0, len(labels), step)), "ticktext": labels[::step]}
    return _plot(
        [points],
        f"effect-{place}",
        name,
        320,
        xaxis={"title": {"text": _safe(name)}, **ticks},
        yaxis={"title": {"text": _safe("mean " + result.spec.metric)}},
    )
