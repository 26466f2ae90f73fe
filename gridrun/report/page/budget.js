// Curves by epoch, the metric against seconds, and the best of so many combinations.
page.panels.budget = (told) => {
  drawCurves(told);
  drawSeconds(told);
  drawSearch(told);
};

const GOOD = ["#440154", "#31688e", "#21918c"];
const GOOD_IN_DARK = ["#b07cc6", "#6aa8d8", "#35b779"];
const BAD = ["#d55e00", "#e69f00", "#b8860b"];

function drawCurves(told) {
  const element = document.querySelector('[data-plot="budget-curves"]');
  const { names, curves } = told.histories;
  if (!element || !names) return;
  const menu = document.getElementById("curve-metric");
  for (const [i, name] of names.entries()) menu.append(new Option(name, i));
  const known = names.indexOf(page.state.curve);
  let metric = known < 0 ? 0 : known;
  menu.value = metric;
  const seen = new Map(); // the rank of each combination
  const ranked = [];
  for (const row of page.ranked.order) {
    const key = page.curveOf(row);
    if (page.data.state[row] !== 0 || seen.has(key)) continue;
    seen.set(key, seen.size + 1);
    if (curves[key]) ranked.push(row);
  }
  const half = Math.min(3, Math.ceil(ranked.length / 2));
  const best = ranked.slice(0, half);
  const worst = ranked.slice(Math.max(half, ranked.length - 3));
  const others = ranked.filter((row) => !best.includes(row) && !worst.includes(row));
  const rankOf = (row) => seen.get(page.curveOf(row));
  const valuesOf = (row) => curves[page.curveOf(row)]?.metrics[metric];
  const clip = (value) =>
    value === null || metric !== 0
      ? value
      : Math.min(page.data.range[1], Math.max(page.data.range[0], value));
  const at = (row) => {
    const curve = curves[page.curveOf(row)];
    return curve ? { x: curve.epochs, y: valuesOf(row)[0].map(clip) } : null;
  };
  const plot = page.picture(
    element,
    () => {
      const { grey } = page.colours();
      const dark = matchMedia("(prefers-color-scheme: dark)").matches && !page.printing;
      const traces = [];
      for (const row of others)
        traces.push(curveOf(row, rankOf(row), at(row), null, { color: grey, width: 1 }, 0.35));
      worst.forEach((row, i) => {
        traces.push(
          curveOf(
            row,
            rankOf(row),
            at(row),
            valuesOf(row)[1],
            { color: BAD[i % 3], dash: "dash", width: 2 },
            1,
            clip,
          ),
        );
      });
      best.forEach((row, i) => {
        traces.push(
          curveOf(
            row,
            rankOf(row),
            at(row),
            valuesOf(row)[1],
            { color: (dark ? GOOD_IN_DARK : GOOD)[i % 3], width: 2.5 },
            1,
            clip,
          ),
        );
      });
      const flat = traces.flat();
      const shown = flat.flatMap((trace) => trace.y).filter((value) => value !== null);
      const log = metric !== 0 && Math.min(...shown) > 0 && Math.max(...shown) > 100 * Math.min(...shown);
      return {
        data: flat,
        layout: page.layout({
          showlegend: true,
          legend: { orientation: "h", y: -0.2, font: { size: 11 } },
          xaxis: { title: { text: page.escape(page.data.budget ?? "epoch") } },
          yaxis: { title: { text: page.escape(names[metric]) }, type: log ? "log" : "linear" },
        }),
      };
    },
    at,
    { lines: true },
  );
  const tabulate = () =>
    tabulateCurves([...best, ...worst], rankOf, (row) => [
      curves[page.curveOf(row)].epochs,
      valuesOf(row)[0],
    ]);
  tabulate();
  menu.addEventListener("change", () => {
    metric = Number(menu.value);
    tabulate();
    page.remember({ curve: metric ? names[metric] : "" });
    plot.marked = null;
    plot.redraw();
  });
  page.historyOf = (row) => (curves[page.curveOf(row)] ? { name: names[0], ...at(row) } : null);
}

// The metric of each of these by epoch, the table behind their picture.
function tabulateCurves(rows, rankOf, of) {
  const table = document.createElement("table");
  const heading = (line, text, scope) => {
    const th = Object.assign(document.createElement("th"), { scope, textContent: text });
    line.append(th);
  };
  const head = table.createTHead().insertRow();
  heading(head, page.data.budget ?? "epoch", "col");
  for (const row of rows) heading(head, `#${rankOf(row)}`, "col");
  const told = rows.map((row) => {
    const [epochs, values] = of(row);
    return new Map(epochs.map((epoch, i) => [epoch, values[i]]));
  });
  const epochs = [...new Set(told.flatMap((curve) => [...curve.keys()]))].sort((a, b) => a - b);
  const body = table.createTBody();
  for (const epoch of page.thin(epochs, 60)) {
    const line = body.insertRow();
    heading(line, String(epoch), "row");
    for (const curve of told) line.insertCell().textContent = page.tell(curve.get(epoch));
  }
  document.getElementById("curves-table").replaceChildren(table);
}

function curveOf(row, rank, line, std, style, opacity, clip = (value) => value) {
  const axes = page.data.axes.filter(
    (axis) => !axis.zip && !axis.budget && axis.values.length > 1 && axis.codes[row] >= 0,
  );
  const name = axes.map((axis) => `${axis.name} ${page.value(axis, row)}`).join(", ");
  const traces = [];
  if (std) {
    const ends = [1, -1].map((sign) =>
      line.y.map((y, i) => (y === null ? null : clip(y + sign * (std[i] ?? 0)))),
    );
    traces.push({
      type: "scatter",
      mode: "lines",
      x: [...line.x, ...line.x.toReversed()],
      y: [...ends[0], ...ends[1].toReversed()],
      fill: "toself",
      fillcolor: style.color,
      opacity: 0.18,
      line: { width: 0 },
      hoverinfo: "skip",
      showlegend: false,
    });
  }
  traces.push({
    type: "scatter",
    mode: line.x.length > 1 && line.x.length > 30 ? "lines" : "lines+markers",
    x: line.x,
    y: line.y,
    customdata: line.x.map(() => row),
    name: `#${rank} ${page.escape(page.clip(name, 60))}`,
    showlegend: opacity === 1,
    legendrank: rank,
    line: style,
    marker: { size: opacity === 1 ? 5 : 3 },
    opacity,
    hovertemplate: "%{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
  });
  return traces;
}

function drawSeconds(told) {
  const element = document.querySelector('[data-plot="budget-seconds"]');
  const { seconds, mean } = page.data;
  if (!element || !seconds) return;
  const rows = page.thin(
    page.measured().filter((row) => seconds[row] > 0),
    told.most,
  );
  const clip = (value) => Math.min(page.data.range[1], Math.max(page.data.range[0], value));
  const at = (row) =>
    seconds[row] > 0 && page.data.state[row] === 0 ? { x: [seconds[row]], y: [clip(mean[row])] } : null;
  page.picture(
    element,
    () => {
      const { grey, accent } = page.colours();
      return {
        data: [
          {
            type: "scatter",
            mode: "markers",
            x: rows.map((row) => seconds[row]),
            y: rows.map((row) => clip(mean[row])),
            customdata: rows,
            text: rows.map(page.label),
            hovertemplate: "%{text}<br>%{x:.3g} s<extra></extra>",
            marker: { size: 5, color: grey, opacity: 0.5 },
          },
          {
            type: "scatter",
            mode: "lines+markers",
            x: told.front.map((row) => seconds[row]),
            y: told.front.map((row) => clip(mean[row])),
            customdata: told.front,
            text: told.front.map(page.label),
            hovertemplate: "%{text}<br>%{x:.3g} s<extra></extra>",
            line: { color: accent, shape: "hv", width: 2 },
          },
        ],
        layout: page.layout({
          xaxis: { type: "log", title: { text: "seconds of a run (log scale)" } },
          yaxis: { title: { text: page.escape(page.data.metric) } },
        }),
      };
    },
    at,
  );
}

function drawSearch(told) {
  const element = document.querySelector('[data-plot="budget-search"]');
  if (!element) return;
  page.picture(element, () => ({
    data: [
      {
        type: "scatter",
        mode: "lines+markers",
        x: told.search.map(([n]) => n),
        y: told.search.map(([, best]) => best),
        hovertemplate: "%{y:.5g} of %{x}<extra></extra>",
        line: { color: page.colours().accent, width: 2 },
        marker: { size: 5 },
      },
    ],
    layout: page.layout({
      xaxis: { type: "log", title: { text: "combinations (log scale)" } },
      yaxis: { title: { text: page.escape(page.data.metric) } },
    }),
  }));
}
