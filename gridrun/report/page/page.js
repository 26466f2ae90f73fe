// What all panels share: the data, one selection for all of them, pictures drawn when they are looked at.
// The pictures are plotly's. This script links and filters.

const page = {
  data: null,
  panels: {},
  plots: [],
  listeners: [],
  state: {},
  hovered: -1,
  pinned: -1,
  printing: false,
};

// -- data --------------------------------------------------------------------------------------------

const ARRAYS = {
  u1: Uint8Array,
  i2: Int16Array,
  i4: Int32Array,
  f4: Float32Array,
  f8: Float64Array,
};

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64); // of 2025
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function unsqueeze(id) {
  const bytes = bytesOf(document.getElementById(id).textContent);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function unpack(packed) {
  return packed && new ARRAYS[packed.type](bytesOf(packed.bytes).buffer);
}

page.load = async () => {
  const data = JSON.parse(await unsqueeze("data"));
  for (const name of ["state", "mean", "std", "runs", "seconds", "combination"])
    data[name] = unpack(data[name]);
  for (const axis of data.axes) axis.codes = unpack(axis.codes);
  for (const name of Object.keys(data.metrics)) data.metrics[name] = unpack(data.metrics[name]);
  data.ids = bytesOf(data.ids);
  data.count = data.state.length;
  page.data = data;
  page.better = data.mode === "max" ? 1 : -1;
  page.ranked = rank(data);
  // Axes to choose from: of a zip the members are told in the table, and the zip elsewhere.
  page.varied = data.axes.filter((axis) => !axis.member && axis.values.length > 1);
};

function rank(data) {
  const sign = data.mode === "max" ? -1 : 1;
  const merit = Float64Array.from(data.mean, (v) =>
    Number.isFinite(v) ? sign * v : Number.POSITIVE_INFINITY,
  );
  const order = Int32Array.from({ length: data.count }, (_, i) => i);
  order.sort((a, b) => (merit[a] < merit[b] ? -1 : merit[a] > merit[b] ? 1 : a - b));
  const place = new Int32Array(data.count);
  order.forEach((row, i) => {
    place[row] = i;
  });
  return { order, place };
}

page.cell = (index) => {
  let text = "";
  for (let i = 6 * index; i < 6 * index + 6; i++) text += page.data.ids[i].toString(16).padStart(2, "0");
  return text;
};

page.id = (row) => page.cell(row * page.data.repeats);

page.find = (id) => {
  if (!/^[0-9a-f]{4,16}$/.test(id)) return -1;
  const beginning = id.slice(0, 12);
  const cells = page.data.count * page.data.repeats;
  for (let i = 0; i < cells; i++)
    if (page.cell(i).startsWith(beginning)) return Math.floor(i / page.data.repeats);
  return -1;
};

page.value = (axis, row) => (axis.codes[row] < 0 ? "" : axis.values[axis.codes[row]]);

page.tell = (value) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-3 && size < 1e5)) return value.toFixed(4);
  return Number(value.toPrecision(size >= 1e5 && size < 1e7 ? 7 : 4)).toString();
};

page.metric = (row) => {
  const { data } = page;
  if (data.state[row] !== 0) return data.states[data.state[row]];
  const std = data.std ? data.std[row] : Number.NaN;
  return page.tell(data.mean[row]) + (Number.isNaN(std) ? "" : ` ± ${page.tell(std)}`);
};

// What a hover says, for plotly, whose labels know some markup.
page.escape = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

page.label = (row) => {
  const { data } = page;
  const axes = data.axes.filter((axis) => !axis.zip && axis.codes[row] >= 0 && axis.values.length > 1);
  const lines = axes.map((axis) => `${page.escape(axis.name)} ${page.escape(page.value(axis, row))}`);
  return [`<b>${page.escape(data.metric)} ${page.escape(page.metric(row))}</b>`, ...lines, page.id(row)].join(
    "<br>",
  );
};

// Rows, at most so many, evenly chosen by rank, the best among them.
page.thin = (rows, most) => {
  if (rows.length <= most) return Array.from(rows);
  const step = (rows.length - 1) / (most - 1);
  return Array.from({ length: most }, (_, i) => rows[Math.round(i * step)]);
};

page.measured = () => page.ranked.order.filter((row) => page.data.state[row] === 0);

// -- selection ---------------------------------------------------------------------------------------

let asked = 0;

page.mark = () => {
  cancelAnimationFrame(asked);
  asked = requestAnimationFrame(() => {
    for (const listener of page.listeners) listener();
    for (const plot of page.plots) if (plot.drawn && plot.seen) markPlot(plot);
    for (const row of document.querySelectorAll("tr[data-row]")) markRow(row);
  });
};

page.hover = (row, source = null) => {
  if (row === page.hovered) return;
  page.hovered = row;
  page.source = source;
  page.mark();
};

page.pin = (row) => {
  page.pinned = row === page.pinned ? -1 : row;
  page.remember({ cell: page.pinned < 0 ? "" : page.id(page.pinned) });
  page.mark();
};

function markRow(element) {
  const row = Number(element.dataset.row);
  element.classList.toggle("hovered", row === page.hovered && row >= 0);
  element.classList.toggle("pinned", row === page.pinned && row >= 0);
}

// -- state in the address ----------------------------------------------------------------------------

page.remember = (some) => {
  for (const [name, value] of Object.entries(some)) {
    if (value === "" || value === null || value === undefined) delete page.state[name];
    else page.state[name] = String(value);
  }
  const text = new URLSearchParams(page.state).toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
};

page.recall = () => {
  const hash = location.hash.slice(1);
  page.state = hash.includes("=") ? Object.fromEntries(new URLSearchParams(hash)) : {};
  if (hash && !hash.includes("=")) page.state.at = hash;
};

// -- pictures ----------------------------------------------------------------------------------------

const LIGHT = {
  ink: "#1f2933",
  grey: "#5f6b7a",
  faint: "#e4e7eb",
  ground: "#ffffff",
  accent: "#d6336c",
  select: "#1f6feb",
};
const MARKS = { hover: { dash: "dot", width: 2 }, pin: { dash: "solid", width: 3 } };

page.colours = () => {
  if (page.printing) return LIGHT;
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(
    Object.keys(LIGHT).map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
  );
};

page.layout = (more = {}) => {
  const { ink, faint, ground } = page.colours();
  const axis = { gridcolor: faint, zerolinecolor: faint, linecolor: faint, automargin: true };
  const { xaxis = {}, yaxis = {}, ...rest } = more;
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink, size: 12, family: "system-ui, sans-serif" },
    hoverlabel: { bgcolor: ground, bordercolor: ink, font: { color: ink }, align: "left" },
    margin: { l: 60, r: 15, t: 36, b: 50 },
    showlegend: false,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: faint },
    hovermode: "closest",
    xaxis: { ...axis, ...xaxis },
    yaxis: { ...axis, ...yaxis },
    ...rest,
  };
};

// A picture in `element`: `build` gives its data and layout, `at` where a row is in it, if it is.
page.picture = (element, build, at = null, { lines = false, spatial = false } = {}) => {
  const plot = { element, build, at, lines, spatial, drawn: false, seen: false };
  page.plots.push(plot);
  (spatial ? watchers.near : watchers.ahead).observe(element);
  plot.redraw = () => {
    if (plot.drawn) draw(plot);
  };
  return plot;
};

function watch(entries) {
  for (const entry of entries) {
    for (const plot of page.plots) {
      if (plot.element !== entry.target) continue;
      plot.seen = entry.isIntersecting;
      if (plot.seen && plot.drawn) markPlot(plot);
      else if (plot.seen) draw(plot);
    }
  }
}

// Pictures are drawn just before they are scrolled to; surfaces, which need WebGL, when they are.
const watchers = {
  ahead: new IntersectionObserver(watch, { rootMargin: "150px" }),
  near: new IntersectionObserver(watch, { rootMargin: "-40px" }),
};

function marksOf(plot, row, style) {
  const there = row >= 0 && plot.at ? plot.at(row) : null;
  const { select, ground } = page.colours();
  const trace = {
    type: plot.spatial ? "scatter3d" : "scatter",
    mode: plot.lines ? "lines" : "markers",
    x: there ? there.x : [],
    y: there ? there.y : [],
    hoverinfo: "skip",
    showlegend: false,
    line: { color: select, ...style },
  };
  if (plot.spatial) {
    trace.z = there ? there.z : [];
    trace.marker = { size: 7, color: select, symbol: "circle", line: { width: 2, color: ground } };
  } else {
    trace.marker = { size: 15, symbol: "circle-open", color: select, line: { width: style.width } };
  }
  return trace;
}

function draw(plot) {
  if (!window.Plotly) return;
  const built = plot.build();
  plot.empty = !built;
  if (!built) return;
  plot.own = built.data.length;
  const marks = [marksOf(plot, page.hovered, MARKS.hover), marksOf(plot, page.pinned, MARKS.pin)];
  const config = { displaylogo: false, responsive: true, scrollZoom: false, displayModeBar: plot.spatial };
  const first = !plot.drawn;
  plot.drawn = true;
  Plotly.react(plot.element, [...built.data, ...(plot.at ? marks : [])], built.layout, config);
  if (first) listen(plot);
}

page.drawSeen = () => {
  for (const plot of page.plots) if (plot.seen && !plot.drawn) draw(plot);
};

page.drawAll = (wanted = () => true) => {
  for (const plot of page.plots) if (!plot.drawn && wanted(plot)) draw(plot);
};

function listen(plot) {
  plot.begun?.();
  const row = (event) => {
    const found = event.points?.[0]?.customdata;
    return typeof found === "number" ? found : -1;
  };
  plot.element.on("plotly_hover", (event) => page.hover(row(event), plot));
  plot.element.on("plotly_unhover", () => page.hover(-1, plot));
  plot.element.on("plotly_click", (event) => {
    if (row(event) >= 0) page.pin(row(event));
  });
}

function markPlot(plot) {
  if (!plot.at) return;
  const key = `${page.hovered} ${page.pinned}`;
  if (plot.marked === key) return;
  plot.marked = key;
  const found = [page.source === plot ? -1 : page.hovered, page.pinned].map((row) =>
    row >= 0 ? plot.at(row) : null,
  );
  const update = { x: found.map((f) => (f ? f.x : [])), y: found.map((f) => (f ? f.y : [])) };
  if (plot.spatial) update.z = found.map((f) => (f ? f.z : []));
  Plotly.restyle(plot.element, update, [plot.own, plot.own + 1]);
}

page.redraw = () => {
  for (const plot of page.plots) plot.redraw();
};

// Ticks of an axis whose values stand evenly, sorted.
page.even = (axis) => {
  const step = Math.max(1, Math.ceil(axis.order.length / 14));
  const shown = axis.order.map((_, i) => i).filter((i) => i % step === 0);
  return {
    tickvals: shown,
    ticktext: shown.map((i) => page.escape(page.clip(axis.values[axis.order[i]], 18))),
    range: [-0.5, axis.order.length - 0.5],
  };
};

// Long texts are cut in their middle: their ends tell them apart.
page.clip = (text, most) => {
  if (text.length <= most) return text;
  const tail = Math.floor((most - 1) / 2);
  return `${text.slice(0, most - 1 - tail)}…${text.slice(text.length - tail)}`;
};

// Where each value of an axis stands when they are sorted.
page.places = (axis) => {
  const place = new Int32Array(axis.values.length);
  axis.order.forEach((code, i) => {
    place[code] = i;
  });
  return place;
};
