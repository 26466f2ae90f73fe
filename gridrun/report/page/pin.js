// What is told of the choice that is pinned: parameters, runs, curve, why it failed, what it printed.
let pinnedBefore = -1;

page.showPin = () => {
  if (page.pinned === pinnedBefore) return;
  pinnedBefore = page.pinned;
  const box = document.getElementById("pin");
  box.hidden = page.pinned < 0;
  if (box.hidden) return;
  const row = page.pinned;
  const { data } = page;
  const close = Object.assign(document.createElement("button"), {
    type: "button",
    className: "close",
    textContent: "Close",
  });
  close.addEventListener("click", () => page.pin(row));
  const heading = document.createElement("h3");
  heading.textContent = `${data.metric} ${page.metric(row)}`;
  const list = document.createElement("dl");
  const tell = (name, text) => {
    const dt = Object.assign(document.createElement("dt"), { textContent: name });
    list.append(dt, Object.assign(document.createElement("dd"), { textContent: text }));
  };
  tell("rank", `${page.ranked.place[row] + 1} of ${data.count.toLocaleString("en")}`);
  for (const axis of data.axes) if (!axis.zip && axis.codes[row] >= 0) tell(axis.name, page.value(axis, row));
  for (const [name, values] of Object.entries(data.metrics))
    if (!Number.isNaN(values[row])) tell(name, page.tell(values[row]));
  if (data.seconds && !Number.isNaN(data.seconds[row])) tell("seconds", data.seconds[row].toPrecision(3));
  for (let run = 0; run < data.repeats; run++) {
    const cell = row * data.repeats + run;
    const value = data.runs ? page.tell(data.runs[cell]) : "";
    const called = data.called ? `cell of ${data.called[run]}` : data.repeats > 1 ? `run ${run + 1}` : "cell";
    tell(called, [page.cell(cell), value].filter(Boolean).join("  "));
  }
  box.replaceChildren(close, heading, list);
  drawPinned(box, row);
  tellLog(box, row);
};

// A curve of the metric: as the budget's picture has it, or else one kept for this.
function curveOfPinned(row) {
  const drawn = page.historyOf?.(row);
  if (drawn) return drawn;
  const { curves } = page.table.told;
  const found = curves?.curves[page.curveOf(row)];
  return found && { name: curves.name, x: curves.epochs[found[0]], y: found.slice(1) };
}

function drawPinned(box, row) {
  const curve = curveOfPinned(row);
  if (!curve || curve.x.length < 2 || !window.Plotly) return;
  const element = Object.assign(document.createElement("div"), { className: "plot" });
  box.append(element);
  const { select } = page.colours();
  const layout = page.layout({
    height: 190,
    margin: { l: 50, r: 10, t: 8, b: 40 },
    xaxis: { title: { text: page.escape(page.data.budget ?? "epoch") } },
    yaxis: { title: { text: page.escape(page.clip(curve.name, 20)) } },
  });
  const trace = { type: "scatter", mode: "lines+markers", x: curve.x, y: curve.y, line: { color: select } };
  Plotly.newPlot(element, [trace], layout, { displayModeBar: false, responsive: true });
}

// Why it failed, what it printed, and the command that tells all of it.
function tellLog(box, row) {
  const { logs, directories } = page.table.told;
  for (const [kind, title] of [
    ["failed", "Why it failed"],
    ["printed", "What it printed last"],
  ]) {
    const number = logs ? logs.of[kind][page.curveOf(row)] : -1;
    if (number === -1) continue;
    box.append(Object.assign(document.createElement("h4"), { textContent: title }));
    const text = number < 0 ? "left out, as this page would be too large" : logs[kind][number];
    box.append(Object.assign(document.createElement("pre"), { className: kind, textContent: text }));
  }
  // Of a comparison a cell in either sweep.
  const commands = directories.map(
    (directory, i) => `$ gridrun show ${page.cell(row * page.data.repeats + i)} ${directory}`,
  );
  box.append(Object.assign(document.createElement("pre"), { textContent: commands.join("\n") }));
}
