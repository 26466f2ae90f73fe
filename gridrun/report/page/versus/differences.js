// Of a comparison: B less A against each axis.
page.panels.differences = (lines) => {
  const { data } = page;
  const rows = page.thin(page.measured(), page.data.panels.scatter.most);
  for (const element of document.querySelectorAll('[data-plot="differences"]')) {
    const line = lines[Number(element.dataset.index)];
    const axis = data.axes.find((each) => each.name === line.axis);
    const place = page.places(axis);
    const here = rows.filter((row) => axis.codes[row] >= 0);
    const at = (row) =>
      axis.codes[row] < 0 || data.state[row] !== 0
        ? null
        : { x: [place[axis.codes[row]]], y: [data.mean[row]] };
    page.picture(
      element,
      () => {
        const { grey, ink } = page.colours();
        const room = 0.06 * (data.range[1] - data.range[0]);
        const places = here.map((row) => place[axis.codes[row]]);
        const median = {
          type: "scatter",
          mode: axis.numbers ? "lines+markers" : "markers",
          x: line.median.map((_, i) => i),
          y: line.median,
          line: { color: ink, width: 2 },
          marker: { symbol: "line-ew-open", size: 16, color: ink },
          hovertemplate: "median %{y:.4g}<extra></extra>",
        };
        const dots = page.pairDots(
          here,
          places,
          here.map((row) => data.mean[row]),
        );
        return {
          data: [dots, median],
          layout: page.layout({
            title: { text: page.escape(page.clip(axis.name, 40)), font: { size: 14 } },
            shapes: [
              {
                type: "line",
                xref: "paper",
                x0: 0,
                x1: 1,
                y0: 0,
                y1: 0,
                line: { color: grey, dash: "dash", width: 1 },
              },
            ],
            xaxis: page.even(axis),
            yaxis: { range: [data.range[0] - room, data.range[1] + room], title: { text: "B - A" } },
          }),
        };
      },
      at,
    );
  }
};
