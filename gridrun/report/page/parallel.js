// Parallel coordinates on a canvas: plotly's need WebGL. Drag along an axis to keep a range of it.
const MOST_LINES = 3000;
const VIRIDIS = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];

page.parallel = (table) => {
  const canvas = document.getElementById("parallel");
  const view = { canvas, table, axes: axesOf(), base: null, seen: false, asked: 0 };
  // Once a frame, and only what is looked at: 3,000 lines take a tenth of a second.
  const redraw = () => {
    cancelAnimationFrame(view.asked);
    if (page.printing) drawLines(view);
    else if (view.seen) view.asked = requestAnimationFrame(() => drawLines(view));
  };
  page.redrawParallel = redraw;
  page.drawParallel = () => view.base || drawLines(view);
  page.listeners.push(() => highlight(view));
  new ResizeObserver(redraw).observe(canvas);
  const watcher = new IntersectionObserver(
    ([entry]) => {
      view.seen = entry.isIntersecting;
      redraw();
    },
    { rootMargin: "150px" },
  );
  watcher.observe(canvas);
  brush(view);
  recallBrushes(view);
};

function axesOf() {
  const { data } = page;
  const axes = page.varied.map((axis) => {
    const place = page.places(axis);
    const most = Math.max(1, axis.order.length - 1);
    return {
      name: axis.name,
      at: (row) => (axis.codes[row] < 0 ? Number.NaN : place[axis.codes[row]] / most),
      ticks: page.thin(axis.order, 6).map((code) => [place[code] / most, page.clip(axis.values[code], 9)]),
    };
  });
  const [low, high] = data.range;
  axes.push({
    name: data.metric,
    at: (row) =>
      data.state[row] === 0 ? Math.min(1, Math.max(0, (data.mean[row] - low) / (high - low))) : Number.NaN,
    ticks: [0, 0.5, 1].map((share) => [share, page.tell(low + share * (high - low))]),
  });
  return axes;
}

function colourAt(share) {
  if (Number.isNaN(share)) return "#999999";
  const at = share * (VIRIDIS.length - 1);
  const i = Math.min(VIRIDIS.length - 2, Math.floor(at));
  const mix = VIRIDIS[i].map((v, k) => Math.round(v + (VIRIDIS[i + 1][k] - v) * (at - i)));
  return `rgb(${mix.join(",")})`;
}

function sizes(view) {
  const { canvas, axes } = view;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const [left, right, top, bottom] = [30, 70, 34, 14];
  return {
    width,
    height,
    top,
    span: height - top - bottom,
    x: (i) => left + (i * (width - left - right)) / Math.max(1, axes.length - 1),
    y: (share) => height - bottom - share * (height - top - bottom),
  };
}

// Read back at every hover.
function penOf(canvas) {
  return canvas.getContext("2d", { willReadFrequently: true });
}

function drawLines(view) {
  const { canvas, axes, table } = view;
  const size = sizes(view);
  if (!size.width) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = size.width * scale;
  canvas.height = size.height * scale;
  const pen = penOf(canvas);
  pen.scale(scale, scale);
  const rows = page.thin(table.rows, MOST_LINES);
  pen.globalAlpha = Math.max(0.08, Math.min(0.8, 60 / Math.max(1, rows.length) + 0.1));
  pen.lineWidth = 1.3;
  const metric = axes[axes.length - 1];
  // The best last, on top.
  const worstFirst = Int32Array.from(rows).sort((a, b) => page.ranked.place[b] - page.ranked.place[a]);
  for (const row of worstFirst) line(pen, view, size, row, colourAt(metric.at(row)));
  pen.globalAlpha = 1;
  drawAxes(pen, view, size);
  view.base = pen.getImageData(0, 0, canvas.width, canvas.height);
  const note = document.getElementById("parallel-note");
  note.textContent =
    rows.length < table.rows.length
      ? `${rows.length.toLocaleString("en")} of ${table.rows.length.toLocaleString("en")} drawn, evenly chosen by rank.`
      : "";
  highlight(view);
}

function line(pen, view, size, row, colour) {
  pen.strokeStyle = colour;
  pen.beginPath();
  let on = false;
  view.axes.forEach((axis, i) => {
    const share = axis.at(row);
    if (Number.isNaN(share)) {
      on = false;
      return;
    }
    if (on) pen.lineTo(size.x(i), size.y(share));
    else pen.moveTo(size.x(i), size.y(share));
    on = true;
  });
  pen.stroke();
}

function drawAxes(pen, view, size) {
  const { ink, grey, select, ground } = page.colours();
  view.axes.forEach((axis, i) => {
    const x = size.x(i);
    pen.strokeStyle = grey;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x, size.y(0));
    pen.lineTo(x, size.y(1));
    pen.stroke();
    const range = view.table.brushes[axis.name];
    if (range) {
      pen.fillStyle = select;
      pen.globalAlpha = 0.35;
      pen.fillRect(x - 7, size.y(range.high), 14, size.y(range.low) - size.y(range.high));
      pen.globalAlpha = 1;
    }
    pen.fillStyle = ink;
    pen.font = "600 12px system-ui, sans-serif";
    pen.textAlign = i === 0 ? "left" : "center";
    pen.fillText(page.clip(axis.name, 16), i === 0 ? x - 20 : x, 14);
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "left";
    for (const [share, text] of axis.ticks) {
      pen.lineWidth = 3;
      pen.strokeStyle = ground;
      pen.strokeText(text, x + 5, size.y(share) + 4);
      pen.fillText(text, x + 5, size.y(share) + 4);
    }
  });
}

function highlight(view) {
  if (!view.base) return;
  const pen = penOf(view.canvas);
  pen.putImageData(view.base, 0, 0);
  const { select } = page.colours();
  const size = sizes(view);
  for (const [row, width] of [
    [page.hovered, 2],
    [page.pinned, 4],
  ]) {
    if (row < 0) continue;
    pen.lineWidth = width;
    line(pen, view, size, row, select);
  }
}

// -- brushing ----------------------------------------------------------------------------------------

function brush(view) {
  const { canvas, table } = view;
  let drag = null;
  const share = (event) => {
    const size = sizes(view);
    return Math.min(1.02, Math.max(-0.02, (size.y(0) - event.offsetY) / size.span));
  };
  const near = (event) => {
    const size = sizes(view);
    const i = view.axes.findIndex((_, k) => Math.abs(size.x(k) - event.offsetX) < 22);
    return view.axes[i];
  };
  canvas.addEventListener("pointerdown", (event) => {
    const axis = near(event);
    if (!axis) return;
    drag = { axis, from: share(event) };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    canvas.style.cursor = near(event) ? "ns-resize" : "crosshair";
    if (!drag) page.hover(nearest(view, event));
  });
  canvas.addEventListener("pointerleave", () => page.hover(-1));
  canvas.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const ends = [drag.from, share(event)].sort((a, b) => a - b);
    if (ends[1] - ends[0] < 0.01) delete table.brushes[drag.axis.name];
    else table.brushes[drag.axis.name] = rangeOf(drag.axis, ...ends);
    drag = null;
    page.remember({ brush: tellBrushes(table) });
    page.refilter();
  });
  canvas.addEventListener("click", (event) => {
    if (!near(event) && page.hovered >= 0) page.pin(page.hovered);
  });
}

function rangeOf(axis, low, high) {
  return { low, high, fits: (row) => axis.at(row) >= low && axis.at(row) <= high };
}

function tellBrushes(table) {
  const told = Object.entries(table.brushes).map(([name, range]) => [
    name,
    range.low.toFixed(3),
    range.high.toFixed(3),
  ]);
  return told.length ? JSON.stringify(told) : "";
}

function recallBrushes(view) {
  let found = [];
  try {
    found = JSON.parse(page.state.brush ?? "[]");
  } catch {
    return;
  }
  if (!Array.isArray(found)) return;
  for (const [name, low, high] of found) {
    const axis = view.axes.find((each) => each.name === name);
    if (axis) view.table.brushes[name] = rangeOf(axis, Number(low), Number(high));
  }
}

// The line that passes closest to the pointer, of those that are drawn.
function nearest(view, event) {
  const size = sizes(view);
  const { axes, table } = view;
  const i = axes.findIndex(
    (_, k) => k + 1 < axes.length && size.x(k) <= event.offsetX && event.offsetX < size.x(k + 1),
  );
  if (i < 0) return -1;
  const mix = (event.offsetX - size.x(i)) / (size.x(i + 1) - size.x(i));
  let best = -1;
  let least = 8;
  for (const row of page.thin(table.rows, MOST_LINES)) {
    const y = size.y(axes[i].at(row) * (1 - mix) + axes[i + 1].at(row) * mix);
    const away = Math.abs(y - event.offsetY);
    if (away < least) {
      least = away;
      best = row;
    }
  }
  return best;
}
