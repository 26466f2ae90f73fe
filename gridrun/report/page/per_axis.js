// The metric against each axis: dots, median, best over all else, its band, the edge.
page.panels.per_axis = (told) => {
  const rows = page.thin(page.measured(), told.most);
  for (const element of document.querySelectorAll('[data-plot="per_axis"]')) {
    const line = told.lines[Number(element.dataset.index)];
    const axis = page.data.axes.find((each) => each.name === line.axis);
    const place = page.places(axis);
    const at = (row) =>
      axis.codes[row] < 0 ? null : { x: [place[axis.codes[row]]], y: [clip(page.data.mean[row])] };
    const clip = (value) => Math.min(page.data.range[1], Math.max(page.data.range[0], value));
    page.picture(element, () => drawAxis(axis, line, rows, place, page.data.range, clip), at);
  }
};

function drawAxis(axis, line, rows, place, range, clip) {
  const { grey, ink, accent } = page.colours();
  const { data } = page;
  const here = rows.filter((row) => axis.codes[row] >= 0);
  const points = axis.order.map((code) => line.points[code]);
  const told = (key) => points.map((point) => (point[key] === null ? null : clip(point[key])));
  const places = points.map((_, i) => i);
  // Between texts, or lists, there is no slope.
  const mode = axis.numbers ? "lines+markers" : "markers";
  const best = told("best");
  const std = points.map((point) => point.std);
  const traces = [
    {
      type: "scatter",
      mode: "markers",
      x: here.map((row) => place[axis.codes[row]]),
      y: here.map((row) => clip(data.mean[row])),
      customdata: here,
      text: here.map(page.label),
      hovertemplate: "%{text}<extra></extra>",
      marker: { size: 5, color: grey, opacity: 0.45 },
    },
    {
      type: "scatter",
      mode,
      x: places,
      y: told("median"),
      line: { color: grey, dash: "dash", width: 1.5 },
      marker: { symbol: "line-ew-open", size: 14, color: grey },
      hovertemplate: "median %{y:.4g}<extra></extra>",
    },
    {
      type: "scatter",
      mode,
      x: places,
      y: best,
      customdata: points.map((point) => point.row),
      error_y:
        !axis.numbers && std.some((s) => s !== null)
          ? { type: "data", array: std.map((s) => s ?? 0), color: "#21918c", thickness: 1.5 }
          : undefined,
      line: { color: "#21918c", width: 2.5 },
      marker: { size: 8, color: "#21918c" },
      hovertemplate: "best over all else %{y:.4g}<extra></extra>",
    },
  ];
  if (axis.numbers && std.some((s) => s !== null)) traces.push(bandOf(places, points, clip));
  const top = data.best.length ? place[axis.codes[data.best[0]]] : -1;
  if (top >= 0 && best[top] !== null) {
    traces.push({
      type: "scatter",
      mode: "markers",
      x: [top],
      y: [clip(data.mean[data.best[0]])],
      customdata: [data.best[0]],
      hovertemplate: "the best<extra></extra>",
      marker: { symbol: "star", size: 15, color: accent, line: { color: ink, width: 0.5 } },
    });
  }
  const room = 0.06 * (range[1] - range[0]);
  const shapes =
    line.edge && top >= 0
      ? [
          {
            type: "rect",
            yref: "paper",
            y0: 0,
            y1: 1,
            x0: top - 0.4,
            x1: top + 0.4,
            fillcolor: accent,
            opacity: 0.12,
            line: { width: 0 },
          },
        ]
      : [];
  return {
    data: traces,
    layout: page.layout({
      title: { text: page.escape(page.clip(axis.name, 40)), font: { size: 14 } },
      shapes,
      xaxis: page.even(axis),
      yaxis: { range: [range[0] - room, range[1] + room], title: { text: page.escape(data.metric) } },
    }),
  };
}

// What replicates of the best over all else span, where values have a slope.
function bandOf(places, points, clip) {
  const there = places.filter((i) => points[i].best !== null && points[i].std !== null);
  const ends = [1, -1].map((sign) => there.map((i) => clip(points[i].best + sign * points[i].std)));
  return {
    type: "scatter",
    mode: "lines",
    x: [...there, ...there.toReversed()],
    y: [...ends[0], ...ends[1].toReversed()],
    fill: "toself",
    fillcolor: "#21918c",
    opacity: 0.2,
    line: { width: 0 },
    hoverinfo: "skip",
  };
}
