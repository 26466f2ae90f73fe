// Of a comparison: one sweep's metric against the other's.
page.panels.scatter = (told) => {
  const element = document.querySelector('[data-plot="scatter"]');
  const { data } = page;
  page.level = told.level;
  const clip = (value) => Math.min(told.range[1], Math.max(told.range[0], value));
  const rows = page.thin(page.measured(), told.most);
  const at = (row) =>
    data.state[row] === 0 ? { x: [clip(data.metrics.A[row])], y: [clip(data.metrics.B[row])] } : null;
  page.picture(
    element,
    () => {
      const { grey } = page.colours();
      const room = 0.04 * (told.range[1] - told.range[0]);
      const ends = [told.range[0] - room, told.range[1] + room];
      const dots = ["A", "B"].map((name) => rows.map((row) => clip(data.metrics[name][row])));
      return {
        data: [
          {
            type: "scatter",
            mode: "lines",
            x: ends,
            y: ends,
            line: { color: grey, dash: "dash", width: 1.5 },
            hoverinfo: "skip",
          },
          page.pairDots(rows, dots[0], dots[1]),
        ],
        layout: page.layout({
          xaxis: { range: ends, title: { text: `A: ${page.escape(told.metric)}` } },
          yaxis: { range: ends, title: { text: `B: ${page.escape(told.metric)}` } },
        }),
      };
    },
    at,
  );
};

// Blue where B is better, orange where it is worse, hollow where that may be noise.
page.pairDots = (rows, x, y) => {
  const { data, better } = page;
  const { grey } = page.colours();
  const colours = rows.map((row) =>
    data.mean[row] === 0 ? grey : data.mean[row] * better > 0 ? "#2b8cbe" : "#d95f0e",
  );
  const sure = (row) => data.metrics.p?.[row] <= page.level;
  return {
    type: "scatter",
    mode: "markers",
    x,
    y,
    customdata: rows,
    text: rows.map(page.label),
    hovertemplate: "%{text}<extra></extra>",
    marker: {
      size: 9,
      color: colours,
      symbol: rows.map((row) => (sure(row) ? "circle" : "circle-open")),
      line: { width: 1.5 },
    },
  };
};
