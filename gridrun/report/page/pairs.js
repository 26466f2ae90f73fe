// Heat maps of the metric over any two axes.
page.panels.pairs = (told) => {
  const form = document.getElementById("pairs-controls");
  if (!form) return;
  const { varied, state } = page;
  const named = (name) => varied.find((axis) => axis.name === name);
  const [first] = told.first;
  const chosen = {
    x: named(state.x) ?? named(first[0]),
    y: named(state.y) ?? named(first[1]),
    by: ["value", "rank", "log"].includes(state.by) ? state.by : "value",
    rest: {},
  };
  if (chosen.x === chosen.y) chosen.y = varied.find((axis) => axis !== chosen.x);
  for (const key of ["x", "y"]) {
    for (const axis of varied) form.elements[key].append(new Option(axis.name, axis.name));
    form.elements[key].addEventListener("change", () =>
      choose({ [key]: named(form.elements[key].value) }, key),
    );
  }
  form.elements.by.addEventListener("change", () => choose({ by: form.elements.by.value }));
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll("ol.pairs button")) {
    button.addEventListener("click", () =>
      choose({ x: named(button.dataset.x), y: named(button.dataset.y) }),
    );
  }
  const element = document.querySelector('[data-plot="pairs"]');
  let found = null;
  const plot = page.picture(
    element,
    () => drawPair(chosen, found, page.data.range),
    (row) => placeOf(chosen, row),
  );

  function choose(some, moved = "") {
    const before = { ...chosen };
    Object.assign(chosen, some);
    // The same axis twice: they change places.
    if (chosen.x === chosen.y) chosen[moved === "x" ? "y" : "x"] = moved === "x" ? before.x : before.y;
    page.remember({ x: chosen.x.name, y: chosen.y.name, by: chosen.by === "value" ? "" : chosen.by });
    show();
  }

  function show() {
    for (const key of ["x", "y"]) form.elements[key].value = chosen[key].name;
    form.elements.by.value = chosen.by;
    offerRest(chosen, varied, show);
    found = gatherPair(chosen);
    plot.marked = null;
    plot.redraw();
    tabulatePair(chosen, found);
  }
  show();
};

// For each other axis: the best over it, or one of its values.
function offerRest(chosen, varied, show) {
  const place = document.getElementById("pairs-rest");
  const rest = varied.filter((axis) => axis !== chosen.x && axis !== chosen.y);
  const key = rest.map((axis) => axis.name).join("\n");
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren();
  chosen.rest = {};
  for (const axis of rest) {
    const label = document.createElement("label");
    const slider = Object.assign(document.createElement("input"), {
      type: "range",
      min: 0,
      max: axis.order.length,
      value: 0,
    });
    const told = document.createElement("output");
    const tell = () => {
      told.textContent = slider.value === "0" ? "best" : axis.values[axis.order[slider.value - 1]];
    };
    slider.addEventListener("input", () => {
      if (slider.value === "0") delete chosen.rest[axis.name];
      else chosen.rest[axis.name] = axis.order[slider.value - 1];
      tell();
      show();
    });
    tell();
    label.append(`${axis.name} `, slider, " ", told);
    place.append(label);
  }
}

function isHere(chosen, row) {
  if (chosen.x.codes[row] < 0 || chosen.y.codes[row] < 0) return false;
  return page.data.axes.every(
    (axis) => !(axis.name in chosen.rest) || axis.codes[row] === chosen.rest[axis.name],
  );
}

// Of each square the best choice, and where there is none what there is: a state's number, or -1.
function gatherPair(chosen) {
  const { x, y } = chosen;
  const { data, ranked } = page;
  const rows = new Int32Array(x.values.length * y.values.length).fill(-1);
  const states = new Int8Array(rows.length).fill(-1);
  for (const row of ranked.order) {
    if (!isHere(chosen, row)) continue;
    const square = x.codes[row] * y.values.length + y.codes[row];
    if (data.state[row] === 0) {
      if (rows[square] < 0) rows[square] = row;
    } else if (states[square] < 0) {
      states[square] = data.state[row];
    }
  }
  return { rows, states };
}

function placeOf(chosen, row) {
  if (!isHere(chosen, row)) return null;
  return { x: [page.places(chosen.x)[chosen.x.codes[row]]], y: [page.places(chosen.y)[chosen.y.codes[row]]] };
}

const STATE_COLOURS = ["#888888", "#e69f00", "#bcc4cd", "#7a4a94", "#9c6b4e"];

function drawPair(chosen, found, range) {
  const { x, y, by } = chosen;
  const { data, ranked } = page;
  const { accent, ink, ground } = page.colours();
  const grid = (tell) => y.order.map((j) => x.order.map((i) => tell(i * y.values.length + j)));
  const row = (square) => found.rows[square];
  const tied = new Set([...data.tied, ...data.best]);
  const annotated = x.order.length * y.order.length <= 400 && x.order.length <= 20;
  const values = grid((square) =>
    row(square) < 0 ? null : colourOf(data.mean[row(square)], by, ranked.place[row(square)], range),
  );
  const text = grid((square) => (row(square) < 0 ? "" : page.tell(data.mean[row(square)])));
  const known = values.flat().filter((value) => value !== null);
  const custom = grid((square) => (row(square) < 0 ? null : row(square)));
  const missing = grid((square) =>
    row(square) >= 0 || found.states[square] < 0 ? null : found.states[square],
  );
  const shared = { x: x.order.map((_, i) => i), y: y.order.map((_, i) => i), xgap: 1, ygap: 1 };
  const traces = [
    {
      type: "heatmap",
      ...shared,
      z: missing,
      zmin: 0,
      zmax: 4,
      showscale: false,
      colorscale: STATE_COLOURS.map((colour, i) => [i / 4, colour]),
      text: grid((square) =>
        missing.length && row(square) < 0 && found.states[square] >= 0
          ? page.escape(data.states[found.states[square]])
          : "",
      ),
      hovertemplate: "%{text}<extra></extra>",
    },
  ];
  if (known.length) {
    traces.push({
      type: "heatmap",
      ...shared,
      z: values,
      zmin: by === "value" ? range[0] : Math.min(...known),
      zmax: by === "value" ? range[1] : Math.max(...known),
      colorscale: "Viridis",
      reversescale: by === "rank",
      customdata: custom,
      text,
      hovertext: grid((square) => (row(square) < 0 ? "" : page.label(row(square)))),
      hovertemplate: "%{hovertext}<extra></extra>",
      colorbar: {
        thickness: 12,
        title: { text: by === "value" ? page.escape(page.clip(data.metric, 20)) : by },
      },
    });
  }
  if (annotated) traces.push(textOf(shared, traces));
  const best = data.best.length ? placeOf(chosen, data.best[0]) : null;
  if (best) {
    traces.push({
      type: "scatter",
      mode: "markers",
      x: best.x.map((v) => v + 0.34),
      y: best.y.map((v) => v + 0.34),
      hoverinfo: "skip",
      marker: { symbol: "star", size: 13, color: accent, line: { color: ground, width: 1 } },
    });
  }
  const shapes = [];
  x.order.forEach((i, column) => {
    y.order.forEach((j, line) => {
      if (!tied.has(row(i * y.values.length + j))) return;
      shapes.push({
        type: "rect",
        x0: column - 0.47,
        x1: column + 0.47,
        y0: line - 0.47,
        y1: line + 0.47,
        line: { color: accent, width: 2 },
      });
    });
  });
  return {
    data: traces,
    layout: page.layout({
      shapes: shapes.slice(0, 400),
      margin: { l: 80, r: 10, t: 15, b: 60 },
      xaxis: { ...page.even(x), showgrid: false, title: { text: page.escape(x.name) }, color: ink },
      yaxis: { ...page.even(y), showgrid: false, title: { text: page.escape(y.name) } },
    }),
  };
}

const DARK = 0.55; // of the range: up to here the colours are dark, and what stands on them white

// What stands in each square: plotly's own texts are grey on green.
function textOf(shared, [missing, known]) {
  const [x, y, text, colours] = [[], [], [], []];
  shared.y.forEach((j) => {
    shared.x.forEach((i) => {
      const value = known?.z[j][i] ?? null;
      const said = value === null ? missing.text[j][i] : known.text[j][i];
      if (!said) return;
      const share = known ? (value - known.zmin) / (known.zmax - known.zmin || 1) : 1;
      const dark = value === null ? missing.z[j][i] === 3 : (known.reversescale ? 1 - share : share) < DARK;
      x.push(i);
      y.push(j);
      text.push(said);
      colours.push(dark ? "#ffffff" : "#1f2933");
    });
  });
  return { type: "scatter", mode: "text", x, y, text, textfont: { color: colours }, hoverinfo: "skip" };
}

// The number that gives a square its colour.
function colourOf(value, by, place, range) {
  if (by === "rank") return place + 1;
  if (by === "value") return value;
  if (page.allPositive === undefined)
    page.allPositive = page.measured().every((row) => page.data.mean[row] > 0);
  if (page.allPositive) return Math.log10(value);
  const unit = Math.max(Math.abs(range[0]), Math.abs(range[1])) / 100 || 1;
  return Math.sign(value) * Math.log10(1 + Math.abs(value) / unit);
}

function tabulatePair(chosen, found) {
  const { x, y } = chosen;
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  const heading = (parent, text) => {
    const th = document.createElement("th");
    th.scope = parent === head ? "col" : "row";
    th.textContent = text;
    parent.append(th);
  };
  heading(head, `${y.name} \\ ${x.name}`);
  for (const i of x.order.slice(0, 60)) heading(head, x.values[i]);
  const body = table.createTBody();
  for (const j of y.order.slice(0, 60)) {
    const line = body.insertRow();
    heading(line, y.values[j]);
    for (const i of x.order.slice(0, 60)) {
      const square = i * y.values.length + j;
      const state = found.states[square];
      line.insertCell().textContent =
        found.rows[square] >= 0
          ? page.tell(page.data.mean[found.rows[square]])
          : state < 0
            ? ""
            : page.data.states[state];
    }
  }
  document.getElementById("pairs-table").replaceChildren(table);
}
