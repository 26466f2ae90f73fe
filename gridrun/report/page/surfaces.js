// Surfaces: no WebGL before one is looked at, and one camera for all.
page.panels.surfaces = (told) => {
  const button = document.getElementById("draw-surfaces");
  if (!button) return;
  const plots = [];
  let camera = { eye: told.eye };
  for (const element of document.querySelectorAll('[data-plot="surfaces"]')) {
    const surface = told.all[Number(element.dataset.index)];
    const plot = page.picture(element, () => drawSurface(surface, told.range, camera), null, {
      spatial: true,
    });
    plots.push(plot);
  }
  let turning = false;
  const turn = (plot, event) => {
    const seen = event["scene.camera"];
    if (!seen || turning) return;
    camera = seen;
    turning = true;
    const others = plots.filter((other) => other !== plot && other.drawn);
    Promise.all(others.map((other) => Plotly.relayout(other.element, { "scene.camera": camera }))).finally(
      () => {
        turning = false;
      },
    );
  };
  for (const plot of plots)
    plot.begun = () => plot.element.on("plotly_relayout", (event) => turn(plot, event));
  button.addEventListener("click", () => {
    page.drawAll((plot) => plot.spatial);
    button.hidden = true;
  });
};

function drawSurface(surface, range, camera) {
  const { grey, faint, ink, accent, ground } = page.colours();
  const { x, y, z } = surface;
  const told = y.values.map((down, j) =>
    x.values.map(
      (across, i) =>
        `${page.escape(x.name)} ${page.escape(across)}<br>${page.escape(y.name)} ${page.escape(down)}<br>` +
        `${page.escape(page.data.metric)} ${z[j][i] === null ? "none" : page.tell(z[j][i])}`,
    ),
  );
  const clip = (value) => (value === null ? null : Math.min(range[1], Math.max(range[0], value)));
  const measured = [];
  z.forEach((line, j) => {
    line.forEach((value, i) => {
      if (value !== null) measured.push([i, j]);
    });
  });
  const data = [
    {
      type: "surface",
      x: x.at,
      y: y.at,
      z: z.map((line) => line.map(clip)),
      cmin: range[0],
      cmax: range[1],
      colorscale: "Viridis",
      text: told,
      hovertemplate: "%{text}<extra></extra>",
      connectgaps: false,
      colorbar: { thickness: 12, len: 0.7 },
    },
    {
      // A patch has four corners: beside a cell that failed what was measured is a dot.
      type: "scatter3d",
      mode: "markers",
      x: measured.map(([i]) => x.at[i]),
      y: measured.map(([, j]) => y.at[j]),
      z: measured.map(([i, j]) => clip(z[j][i])),
      text: measured.map(([i, j]) => told[j][i]),
      hovertemplate: "%{text}<extra></extra>",
      marker: { size: 2, color: ink },
      showlegend: false,
    },
  ];
  const annotations = [];
  if (surface.best) {
    const [a, b, c] = surface.best;
    // On a ground of its own: the surface behind may be dark, or bright.
    annotations.push({
      x: a,
      y: b,
      z: clip(c),
      text: surface.told,
      font: { color: ink },
      bgcolor: ground,
      opacity: 0.9,
      showarrow: true,
      arrowcolor: ink,
      arrowhead: 0,
      ax: 0,
      ay: -28,
    });
    data.push({
      type: "scatter3d",
      mode: "markers",
      x: [a],
      y: [b],
      z: [clip(c)],
      text: [surface.told],
      marker: { size: 6, color: accent, symbol: "diamond", line: { color: ground, width: 1 } },
      hoverinfo: "text",
      showlegend: false,
    });
  }
  const axis = (scale) => ({
    title: { text: page.escape(scale.label) },
    tickvals: scale.ticks,
    ticktext: scale.labels.map(page.escape),
    gridcolor: faint,
    color: grey,
  });
  const room = 0.05 * (range[1] - range[0]);
  return {
    data,
    layout: page.layout({
      margin: { l: 0, r: 0, t: 5, b: 0 },
      scene: {
        annotations,
        xaxis: axis(x),
        yaxis: axis(y),
        zaxis: {
          title: { text: page.escape(page.data.metric) },
          range: [range[0] - room, range[1] + room],
          gridcolor: faint,
          color: grey,
        },
        camera,
        aspectmode: "manual",
        aspectratio: { x: 1.1, y: 1.1, z: 0.75 },
      },
    }),
  };
}
