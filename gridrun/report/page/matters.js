// Bars of the shares of the variance.
page.panels.matters = (rows) => {
  const element = document.querySelector('[data-plot="matters"]');
  if (!element) return;
  const shown = rows.slice(0, 12).reverse();
  element.style.minHeight = `${90 + 34 * shown.length}px`;
  page.picture(element, () => {
    const { grey } = page.colours();
    const narrow = element.clientWidth < 600;
    const bar = (name, key, color, pattern) => ({
      type: "bar",
      orientation: "h",
      name,
      // By place: two terms that are cut alike would be one.
      y: shown.map((_, i) => i),
      text: shown.map((row) => page.escape(row.term)),
      textposition: "none",
      x: shown.map((row) => (row[key] === null ? null : 100 * row[key])),
      marker: { color, pattern: { shape: pattern } },
      hovertemplate: "%{text}<br>%{x:.1f} %<extra></extra>",
    });
    return {
      data: [bar("by rank", "share_rank", grey, "/"), bar("of the metric", "share", "#21918c", "")],
      layout: page.layout({
        barmode: "group",
        showlegend: true,
        legend: { orientation: "h", y: 1, yanchor: "bottom", traceorder: "reversed" },
        xaxis: { title: { text: narrow ? "%" : "% of the variance" } },
        yaxis: {
          tickvals: shown.map((_, i) => i),
          ticktext: shown.map((row) => page.escape(page.clip(row.term, narrow ? 24 : 70))),
        },
      }),
    };
  });
};
