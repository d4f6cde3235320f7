// The picture: one shift, both axes on the line's scale, drawn by plotly from this folder.
"use strict";
effrob.chart = (() => {
  const { J, C, A } = effrob;
  const SYMBOL = { o: "circle", s: "square", "^": "triangle-up", D: "diamond", v: "triangle-down", X: "x" };
  const TICKS = [0.5, 0.1, 0.9, 0.01, 0.99, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6, 0.95, 0.05, 0.98, 0.02, 0.001, 0.999, 0.003, 0.995];
  const box = document.getElementById("chart");
  // plotly reads a little HTML in its texts: names are escaped so that they stay names.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let drawn = null;   // { ids per trace }

  function place(row, view, facts) {
    if (view.shift === facts.mean) return [row.clean[0], row.mean];
    const cell = row.shifts[view.shift];
    if (!cell) return [null, null];
    return [view.axis === "clean" ? cell[A.clean] : row.clean[0], cell[A.accuracy]];
  }

  function hover(row, i, numbers, view, facts) {
    const lines = [`<b>${plain(row.model)}</b>${row.size && row.source !== "measured" ? ` (${row.size} px)` : ""}`];
    const judged = numbers.rows[i];
    if (view.shift === facts.mean) {
      lines.push(`mean of four ${effrob.percent(row.mean)} %, clean ${effrob.percent(row.clean[0])} %`, `effective robustness of the mean ${effrob.points(judged[J.ofMean])}`, `mean effective robustness ${effrob.points(judged[J.mean])} ${effrob.between(judged[J.meanLow], judged[J.meanHigh], 1, effrob.points)}`, `logit mean ${effrob.signed(judged[J.logit])}`);
    } else {
      const cell = row.shifts[view.shift], score = numbers.cells[view.shift][i];
      const clean = view.axis === "clean" ? cell[A.clean] : row.clean[0];
      lines.push(`${plain(facts.labels[view.shift])} ${effrob.percent(cell[A.accuracy])} % ${effrob.between(cell[A.low], cell[A.high])}, clean ${effrob.percent(clean)} %`);
      if (score) lines.push(`effective robustness ${effrob.points(score[C.points])} ${effrob.between(score[C.low], score[C.high], 1, effrob.points)}`, `${effrob.data.verdicts[score[C.verdict]]}, in ${cell[A.votes][score[C.verdict]]} of ${cell[A.votes].reduce((a, b) => a + b)} analyses${score[C.extrapolated] ? "; extrapolated" : ""}`);
    }
    lines.push(`${plain(row.trained_on ?? "training not stated")}`, `${plain(row.source)}; ${plain(row.head)}${row.prompts ? `, ${plain(row.prompts)}` : ""}; ${plain(row.protocol)}${row.partial ? "; partial" : ""}`);
    return lines.join("<br>");
  }

  function ticks(to, low, high, most) {
    const apart = (high - low) / most, kept = [];
    for (const tick of TICKS) if (to(tick) >= low && to(tick) <= high && kept.every((other) => Math.abs(to(other) - to(tick)) >= apart)) kept.push(tick);
    kept.sort((a, b) => a - b);
    return { tickvals: kept.map(to), ticktext: kept.map((tick) => String(+(100 * tick).toPrecision(4))) };
  }

  function lineTraces(numbers, view, facts, to) {
    const line = numbers.lines[`${view.shift}|${view.axis}`] ?? {}, traces = [];
    for (const [i, curve] of (line.curves ?? []).entries()) {
      const x = curve.x.map(to), shared = { x, mode: "lines", hoverinfo: "skip", legendgroup: "line" };
      traces.push({ ...shared, y: curve.low.map(to), line: { width: 0 }, showlegend: false });
      traces.push({ ...shared, y: curve.high.map(to), line: { width: 0 }, fill: "tonexty", fillcolor: "rgba(217,95,14,0.16)", name: "95 % of baseline models", showlegend: i === 0 });
      traces.push({ ...shared, y: curve.y.map(to), line: { color: colour("--line-colour"), width: 2.5 }, name: `line of ${view.baseline}`, showlegend: i === 0 });
    }
    return { traces, why: line.why };
  }

  function draw(rows, numbers, view, facts) {
    const to = effrob.onScale(view.scale), traces = [], ids = [], xs = [], ys = [];
    const line = lineTraces(numbers, view, facts, to);
    let left = 0;
    const groups = {};
    for (const { row, i } of rows) {
      const [x, y] = place(row, view, facts);
      if (y === null) continue;
      if (x === null) { left += 1; continue; }
      if (to(x) === null || to(y) === null) continue;
      const key = `${row.source === "measured" ? 1 : 0}|${row.group}`;
      (groups[key] ??= []).push({ x: to(x), y: to(y), clean: x, row, i });
      if (x > 0.2 || rows.length < 50) { xs.push(to(x)); ys.push(to(y)); }
    }
    const ground = colour("--ground"), ink = colour("--ink");
    for (const key of Object.keys(groups).sort()) {
      const [measured, name] = key.split("|"), look = effrob.data.groups[name], these = groups[key];
      ids[traces.length] = these.map((each) => each.i);
      const symbol = SYMBOL[look.marker] + (measured === "1" ? "" : "-open");
      traces.push({
        type: "scatter", mode: "markers", name: measured === "1" ? `${look.name}, measured` : look.name, x: these.map((p) => p.x), y: these.map((p) => p.y),
        text: these.map((p) => hover(p.row, p.i, numbers, view, facts)), hovertemplate: "%{text}<extra></extra>",
        marker: { symbol, color: look.colour, size: these.map((p) => (p.row.model === view.model ? 17 : measured === "1" ? 11 : 7)), line: { width: measured === "1" ? 1 : 1.3, color: measured === "1" ? ink : look.colour } },
        selected: { marker: { opacity: 1 } }, unselected: { marker: { opacity: 0.18 } },
      });
    }
    const span = (values) => (values.length ? [Math.min(...values) - 0.15, Math.max(...values) + 0.15] : [-2, 2]);
    const [xr, yr] = [span(xs), span(ys)], low = Math.max(xr[0], yr[0]), high = Math.min(xr[1], yr[1]);
    const under = line.traces.length, diagonal = { x: [-9, 9], y: [-9, 9], mode: "lines", hoverinfo: "skip", line: { dash: "dash", width: 1, color: ink }, name: "y = x", showlegend: low < high };
    const narrow = box.clientWidth < 640, classes = view.shift === facts.mean || view.axis === "full" ? "all classes" : "the shift's classes";
    const axis = (range, title, most) => ({ range, title: { text: title, font: { size: 13 } }, ...ticks(to, range[0], range[1], most), gridcolor: colour("--line"), zeroline: false, linecolor: colour("--line"), color: ink });
    const layout = {
      xaxis: axis(xr, `clean accuracy, ${classes} (%)`, narrow ? 6 : 10), yaxis: axis(yr, `${facts.labels[view.shift]} (%)`, 10), paper_bgcolor: ground, plot_bgcolor: ground, font: { family: "system-ui, sans-serif", color: ink },
      margin: { l: 56, r: 12, t: 12, b: narrow ? 44 : 48 }, hovermode: "closest", dragmode: "zoom", hoverlabel: { bgcolor: ground, bordercolor: colour("--line"), font: { color: ink, size: 12.5 }, align: "left" },
      legend: narrow ? { orientation: "h", y: -0.16, font: { size: 11 } } : { x: 0.01, y: 0.99, bgcolor: "rgba(0,0,0,0)", font: { size: 12 } }, uirevision: [view.suite, view.shift, view.axis, view.scale].join(),
    };
    drawn = { ids: [...Array(under + 1), ...ids], shown: traces.reduce((sum, each) => sum + each.x.length, 0), left, why: line.why };
    Plotly.react(box, [...line.traces, diagonal, ...traces], layout, { responsive: true, displaylogo: false, scrollZoom: false, modeBarButtonsToRemove: ["toImage", "autoScale2d"], modeBarButtonsToAdd: ["select2d", "lasso2d"] });
    return drawn;
  }

  function listen(onBrush, onPick) {
    const idsOf = (event) => event.points.map((point) => drawn.ids[point.curveNumber]?.[point.pointNumber]).filter((id) => id !== undefined);
    box.on("plotly_selected", (event) => { if (event) onBrush(new Set(idsOf(event))); });
    box.on("plotly_deselect", () => onBrush(null));
    box.on("plotly_click", (event) => { const [id] = idsOf(event); if (id !== undefined) onPick(id); });
  }

  return { draw, listen, get drawn() { return drawn; } };
})();
