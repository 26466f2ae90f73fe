// The table: filtered, sorted, and only the rows in sight are made.
const ROW_HEIGHT = 28;
const MOST_PRINTED = 2000;
const COMPARE = {
  "<=": (a, b) => a <= b,
  ">=": (a, b) => a >= b,
  "!=": (a, b) => a !== b,
  "<": (a, b) => a < b,
  ">": (a, b) => a > b,
  "=": (a, b) => a === b,
};

page.panels.all_cells = (told) => {
  const table = { told, columns: columnsOf(), rows: page.ranked.order, brushes: {}, sort: null, up: false };
  page.table = table;
  if (told.logs)
    for (const kind of Object.keys(told.logs.of)) told.logs.of[kind] = unpack(told.logs.of[kind]);
  const box = document.getElementById("cells");
  const field = document.getElementById("filter");
  headings(table);
  box.addEventListener("scroll", () => requestAnimationFrame(() => show(table)));
  field.addEventListener("input", () => {
    page.remember({ filter: field.value });
    refilter(table);
  });
  const body = box.querySelector("tbody");
  body.addEventListener("mouseover", (event) => page.hover(rowAt(event)));
  body.addEventListener("mouseleave", () => page.hover(-1));
  field.value = page.state.filter ?? "";
  const sorted = /^(-?)(.+)$/s.exec(page.state.sort ?? "");
  if (sorted && table.columns.some((column) => column.name === sorted[2])) {
    table.sort = sorted[2];
    table.up = sorted[1] !== "-";
  }
  page.parallel?.(table);
  refilter(table);
  page.listeners.push(page.showPin);
};

function rowAt(event) {
  const found = event.target.closest("tr[data-row]");
  return found ? Number(found.dataset.row) : -1;
}

// -- columns -----------------------------------------------------------------------------------------

// Each has a name, its text in a row, and a number or a text to sort and filter by.
function columnsOf() {
  const { data, ranked } = page;
  const columns = [
    { name: "#", text: (row) => String(ranked.place[row] + 1), key: (row) => ranked.place[row], up: true },
  ];
  for (const axis of data.axes.filter((each) => !each.zip)) {
    const place = page.places(axis);
    columns.push({
      name: axis.name,
      axis,
      up: true,
      text: (row) => page.value(axis, row),
      key: (row) =>
        axis.codes[row] < 0
          ? Number.NaN
          : axis.numbers
            ? axis.numbers[axis.codes[row]]
            : place[axis.codes[row]],
    });
  }
  const best = data.mode === "min";
  columns.push({ name: data.metric, own: true, up: best, text: page.metric, key: (row) => data.mean[row] });
  for (const [name, values] of Object.entries(data.metrics)) {
    const lower = data.less?.includes(name) ?? /loss|error|rmse|mae|mse|perplexity/i.test(name);
    columns.push({ name, up: lower, text: (row) => page.tell(values[row]), key: (row) => values[row] });
  }
  if (data.seconds) {
    columns.push({
      name: "seconds",
      up: true,
      text: (row) => (Number.isNaN(data.seconds[row]) ? "" : data.seconds[row].toPrecision(3)),
      key: (row) => data.seconds[row],
    });
  }
  columns.push({
    name: "state",
    up: true,
    words: true,
    text: (row) => data.states[data.state[row]],
    key: (row) => data.state[row],
  });
  columns.push({ name: "cell", up: true, words: true, text: page.id, key: page.id });
  return columns;
}

function headings(table) {
  const head = document.querySelector("#cells thead");
  const line = document.createElement("tr");
  for (const column of table.columns) {
    const th = document.createElement("th");
    th.scope = "col";
    const button = Object.assign(document.createElement("button"), {
      type: "button",
      textContent: column.name,
    });
    button.addEventListener("click", () => {
      // The best, the least, the quickest first; again the other way round.
      table.up = table.sort === column.name ? !table.up : column.up;
      table.sort = column.name;
      page.remember({ sort: (table.up ? "" : "-") + column.name });
      refilter(table);
    });
    th.append(button);
    line.append(th);
  }
  head.replaceChildren(line);
}

// -- filter ------------------------------------------------------------------------------------------

// `lr>0.01 dropout<0.4 optimizer=adam state=failed`: all of them. Names may be cut, or be initials.
page.parseFilter = (text, columns) => {
  const tests = [];
  const tokens = text.match(/(?:[^\s"]|"[^"]*")+/g) ?? [];
  for (const token of tokens) {
    const parts = /^([^<>=!~]+)(<=|>=|!=|=|<|>|~)(.+)$/s.exec(token);
    if (!parts)
      throw new Error(`${token}: write name>value, as in ${columns[1].name}=${columns[1].text(0) || 1}`);
    const column = columnFor(parts[1].replaceAll('"', ""), columns);
    tests.push(testOf(column, parts[2], parts[3].replace(/^"(.*)"$/s, "$1")));
  }
  return tests;
};

function columnFor(said, columns) {
  const low = said.toLowerCase();
  const initials = (name) =>
    name
      .split(/[_\W]+/)
      .map((word) => word.slice(0, 1))
      .join("")
      .toLowerCase();
  const same = columns.filter((column) => column.name.toLowerCase() === low);
  if (same.length) return same.find((column) => column.name === said) ?? same[0];
  for (const likes of [
    (name) => name.toLowerCase().startsWith(low),
    (name) => initials(name) === low,
    (name) => name.toLowerCase().includes(low),
  ]) {
    const found = columns.filter((column) => likes(column.name));
    if (found.length === 1) return found[0];
    if (found.length > 1)
      throw new Error(`${said} may be ${found.map((column) => column.name).join(" or ")}`);
  }
  throw new Error(
    `no column is called ${said}; there are ${columns.map((column) => column.name).join(", ")}`,
  );
}

function testOf(column, sign, said) {
  if (sign === "~") {
    const low = said.toLowerCase();
    return (row) => column.text(row).toLowerCase().includes(low);
  }
  const compare = COMPARE[sign];
  const number = Number(said);
  const equality = sign === "=" || sign === "!=";
  if (column.axis) {
    // A value is tested once, not once a row.
    const { values, numbers } = column.axis;
    const bare = (text) => text.replace(/^"(.*)"$/s, "$1");
    const fits = values.map((value, code) => {
      if (numbers && !Number.isNaN(number)) return compare(numbers[code], number);
      return equality ? compare(bare(value), said) : compare(bare(value).localeCompare(said), 0);
    });
    return (row) => column.axis.codes[row] >= 0 && fits[column.axis.codes[row]];
  }
  if (column.words)
    return (row) => (sign === "=" ? column.text(row).startsWith(said) : compare(column.text(row), said));
  if (Number.isNaN(number)) throw new Error(`${column.name} is a number, found ${said}`);
  const offset = column.name === "#" ? 1 : 0;
  // What is shown with four digits is meant by them.
  if (equality && !offset)
    return (row) =>
      compare(column.key(row) === number || page.tell(column.key(row)) === page.tell(number), true);
  return (row) => compare(column.key(row) + offset, number);
}

function refilter(table) {
  const field = document.getElementById("filter");
  const told = document.getElementById("filtered");
  let tests;
  try {
    tests = page.parseFilter(field.value, table.columns);
    field.classList.remove("wrong");
  } catch (error) {
    field.classList.add("wrong");
    told.textContent = error.message;
    return;
  }
  for (const test of Object.values(table.brushes)) tests.push(test.fits);
  const all = page.ranked.order;
  table.rows = tests.length ? all.filter((row) => tests.every((test) => test(row))) : all;
  const column = table.columns.find((each) => each.name === table.sort);
  if (column) table.rows = sorted(table.rows, column, table.up);
  told.textContent = tests.length
    ? `${table.rows.length.toLocaleString("en")} of ${all.length.toLocaleString("en")}`
    : "";
  document.querySelectorAll("#cells th").forEach((th, i) => {
    if (table.columns[i].name !== table.sort) th.removeAttribute("aria-sort");
    else th.setAttribute("aria-sort", table.up ? "ascending" : "descending");
  });
  document.getElementById("cells").scrollTop = 0;
  show(table);
  page.redrawParallel?.();
}

page.refilter = () => refilter(page.table);

// What has no value stands last, whichever way is up; of equals the better first.
function sorted(rows, column, up) {
  const sign = up ? 1 : -1;
  const keys = new Map();
  for (const row of rows) keys.set(row, column.key(row));
  const lacks = (key) => typeof key === "number" && Number.isNaN(key);
  return Int32Array.from(rows).sort((a, b) => {
    const x = keys.get(a);
    const y = keys.get(b);
    if (lacks(x) || lacks(y))
      return Number(lacks(x)) - Number(lacks(y)) || page.ranked.place[a] - page.ranked.place[b];
    return x < y ? -sign : x > y ? sign : page.ranked.place[a] - page.ranked.place[b];
  });
}

// -- rows --------------------------------------------------------------------------------------------

function show(table, all = false) {
  const box = document.getElementById("cells");
  const body = box.querySelector("tbody");
  const { rows, columns } = table;
  const first = all ? 0 : Math.max(0, Math.floor(box.scrollTop / ROW_HEIGHT) - 10);
  const last = all
    ? Math.min(rows.length, MOST_PRINTED)
    : Math.min(rows.length, first + Math.ceil(box.clientHeight / ROW_HEIGHT) + 20);
  const made = [spacer(first)];
  for (let i = first; i < last; i++) {
    const line = document.createElement("tr");
    line.dataset.row = rows[i];
    line.tabIndex = 0;
    if (page.data.best.includes(rows[i])) line.className = "best";
    for (const column of columns) line.insertCell().textContent = page.clip(column.text(rows[i]), 60);
    markRow(line);
    made.push(line);
  }
  if (!all) made.push(spacer(rows.length - last));
  body.replaceChildren(...made);
}

function spacer(count) {
  const line = document.createElement("tr");
  line.style.height = `${count * ROW_HEIGHT}px`;
  line.ariaHidden = "true";
  return line;
}

page.showRows = (all) => page.table && show(page.table, all);
