// Begins when everything is there: what can be read is shown first, pictures follow.
page.curveOf = (row) => String(page.data.combination[row]);

async function start() {
  page.recall();
  await page.load();
  for (const [name, told] of Object.entries(page.data.panels)) page.panels[name]?.(told);
  links();
  if (page.state.cell) {
    const row = page.find(page.state.cell);
    if (row >= 0) page.pin(row);
  }
  reach("readable");
  // After the first paint: 5 MB of script is not what the answer waits for.
  await new Promise((go) => setTimeout(go));
  const script = document.createElement("script");
  script.textContent = await unsqueeze("plotly");
  document.head.append(script);
  page.drawSeen();
  reach("ready");
  drawAhead();
}

// How far the page is, for tests and for who measures it: it can be read, filtered and pinned in; what is in
// sight is drawn; all is, but surfaces, and pictures beyond MOST_AHEAD.
function reach(state) {
  document.documentElement.dataset.state = state;
  performance.mark(state);
}

const MOST_AHEAD = 16;

// Other pictures are drawn while there is nothing else to do, so that none is waited for when it is scrolled to.
function drawAhead() {
  const next = page.plots.slice(0, MOST_AHEAD).find((plot) => !plot.drawn && !plot.spatial && !plot.empty);
  const idle = window.requestIdleCallback ?? ((go) => setTimeout(go, 30));
  if (!next) {
    idle(() => {
      page.drawParallel?.();
      performance.mark("drawn");
    });
    return;
  }
  idle(() => {
    page.drawAll((plot) => plot === next);
    drawAhead();
  });
}

function links() {
  document.addEventListener("click", (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) copyText(copy);
    const cell = event.target.closest("a.cell");
    if (cell) {
      event.preventDefault();
      const row = page.find(cell.dataset.cell);
      if (row >= 0 && row !== page.pinned) page.pin(row);
    }
    const panel = event.target.closest("nav a");
    if (panel) {
      event.preventDefault();
      goTo(panel.getAttribute("href").slice(1));
    }
    const row = event.target.closest("tr[data-row]");
    if (row && Number(row.dataset.row) >= 0) page.pin(Number(row.dataset.row));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && page.pinned >= 0) page.pin(page.pinned);
    const row = event.target.closest?.("tr[data-row]");
    if (!row) return;
    if (event.key === "Enter") page.pin(Number(row.dataset.row));
    if (event.key === "ArrowDown") row.nextElementSibling?.focus();
    if (event.key === "ArrowUp") row.previousElementSibling?.focus();
  });
  const board = document.querySelector(".leaderboard tbody");
  board?.addEventListener("mouseover", (event) => page.hover(rowAt(event)));
  board?.addEventListener("mouseleave", () => page.hover(-1));
  if (page.state.at) document.getElementById(page.state.at)?.scrollIntoView();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
  follow();
}

function goTo(name) {
  document.getElementById(name)?.scrollIntoView();
  page.remember({ at: name });
}

async function copyText(button) {
  const text = document.getElementById(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A file has no right to the clipboard in some browsers: an old way that needs none.
    const field = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => {
    button.textContent = before;
  }, 1200);
}

function recolour() {
  page.redraw();
  page.redrawParallel?.();
}

// On paper is everything but the surfaces that were not drawn, as wide as paper is, in ink on white.
function print(begins) {
  page.printing = begins;
  for (const details of document.querySelectorAll("main details")) {
    if (begins) details.dataset.open = details.open ? "1" : "";
    details.open = begins || details.dataset.open === "1";
  }
  if (begins) page.drawAll((plot) => !plot.spatial);
  page.showRows(begins);
  recolour();
  for (const plot of page.plots) {
    if (!plot.drawn || plot.spatial) continue;
    const width = plot.element.closest(".plots") ? 320 : Math.min(plot.element.clientWidth, 640);
    if (window.Plotly) Plotly.relayout(plot.element, begins ? { width } : { width: null, autosize: true });
  }
}

// Of a sweep that runs: the file is written again and again, and loaded again unless somebody reads.
function follow() {
  const seconds = Number(document.querySelector('meta[name="refresh-seconds"]')?.content ?? 0);
  const hold = document.getElementById("hold");
  if (!seconds) return;
  let held = false;
  hold.addEventListener("click", () => {
    held = !held;
    hold.textContent = held ? "Go on" : "Hold";
  });
  setInterval(() => {
    if (!held && !document.hidden) location.reload();
  }, 1000 * seconds);
}

start();
