// The picture: one shift, both axes on the line's scale, drawn by plotly from this folder. Holds no state of the view.
"use strict";
effrob.chart = (() => {
  const { J, C, A, place } = effrob;
  const SYMBOLS = {
    o: "circle", s: "square", "^": "triangle-up", D: "diamond", v: "triangle-down", X: "x",
  };
  const LOWEST = 0.2; // clean accuracy a row must have to widen the first view
  const FEW = 50;     // unless so few rows are shown that each of them matters
  const CONFIG = { displayModeBar: false, displaylogo: false, doubleClick: false, responsive: true, scrollZoom: false };
  const box = document.getElementById("chart");

  let ids = [];    // per trace, the places in the data of its points
  let ranges = {}; // what is shown now, on the scale

  // plotly reads a little HTML in its texts: names are escaped so that they stay names.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const isDark = () => getComputedStyle(document.documentElement).colorScheme.includes("dark");

  function hoverOfMean(row, judged) {
    const { percent, points, logits, between } = effrob;
    return [
      `mean of the ranked shifts ${percent(row.mean)} %, clean ${percent(row.clean[0])} %`,
      `effective robustness of the mean ${points(judged[J.ofMean])}`,
      `mean effective robustness ${points(judged[J.mean])} ${between(judged[J.meanLow], judged[J.meanHigh], points)}`,
      `logit mean ${logits(judged[J.logit])}`,
    ];
  }

  function hoverOfShift(row, i, numbers, view, facts) {
    const { percent, points, between, survival } = effrob;
    const cell = row.shifts[view.shift], score = numbers.cells[view.shift][i];
    const [clean] = place.accuracies(row, view.shift, view.axis, facts);
    const label = plain(facts.labels[view.shift]);
    const lines = [
      `${label} ${percent(cell[A.accuracy])} % ${between(cell[A.low], cell[A.high])}, clean ${percent(clean)} %`,
    ];
    if (score) {
      const { word, kept, all } = survival(row, view.shift, score);
      const beyond = score[C.extrapolated] ? "; extrapolated" : "";
      lines.push(`effective robustness ${points(score[C.points])} ${between(score[C.low], score[C.high], points)}`);
      lines.push(`${word.replace("-", " ")}, in ${kept} of ${all} analyses${beyond}`);
    }
    return lines;
  }

  const disputed = (row, view, facts) =>
    effrob.disputedIn(row, view.shift === facts.mean ? facts.four : [view.shift]) ?? [];

  function hover({ row, i }, numbers, view, facts) {
    const size = row.size && row.source.startsWith("published") ? `, ${row.size} px` : "";
    const lines = view.shift === facts.mean
      ? hoverOfMean(row, numbers.rows[i])
      : hoverOfShift(row, i, numbers, view, facts);
    const how = row.prompts ? `${row.head}, ${row.prompts}` : row.head;
    return [
      `<b>${plain(row.model)}</b>${size}`,
      ...lines,
      plain(row.trained_on ? `trained on ${row.trained_on}` : "training not stated"),
      ...disputed(row, view, facts).map((said) => `† ${plain(said)}`),
      plain(`${row.source}; ${how}; protocol ${row.protocol}${row.partial ? "; partial" : ""}`),
    ].join("<br>");
  }

  function lineTraces(line, view, to) {
    const traces = [];
    (line.curves ?? []).forEach((curve, i) => {
      const shared = { x: curve.x.map(to), mode: "lines", hoverinfo: "skip", showlegend: false };
      const edge = { ...shared, line: { width: 0 } };
      traces.push({ ...edge, y: curve.low.map(to) });
      traces.push({ ...edge, y: curve.high.map(to), fill: "tonexty", fillcolor: ink("--band") });
      traces.push({ ...shared, y: curve.y.map(to), line: { color: ink("--line-colour"), width: 2.5 }, name: `line ${i}` });
    });
    return traces;
  }

  // One trace a family and origin: small and hollow published, hollow with an ink edge given, filled imported, filled with
  // an ink edge measured.
  function pointTraces(spots, numbers, view, facts, brush) {
    const groups = {}, dark = isDark(), ground = ink("--ground"), edge = ink("--ink"), found = [];
    const rank = (row) => 3 - effrob.ORIGINS.indexOf(effrob.origin(row)); // measured last, on top
    for (const spot of spots) (groups[`${rank(spot.row)}|${spot.row.group}`] ??= []).push(spot);
    for (const key of Object.keys(groups).sort()) {
      const origin = effrob.ORIGINS[3 - Number(key[0])], own = origin !== "published";
      const filled = origin === "measured" || origin === "imported", edged = origin === "measured" || origin === "given";
      const these = groups[key], look = effrob.data.groups[key.slice(2)];
      const colour = dark ? look.on_dark : look.colour;
      found.push({
        ids: these.map(({ i }) => i),
        trace: {
          type: "scatter", mode: "markers", showlegend: false, name: look.name,
          x: these.map(({ x }) => x), y: these.map(({ y }) => y),
          text: these.map((each) => hover(each, numbers, view, facts)),
          hovertemplate: "%{text}<extra></extra>",
          marker: {
            symbol: SYMBOLS[look.marker] + (filled ? "" : "-open"), color: filled || !edged ? colour : edge, size: own ? 12 : 7.5,
            line: { width: own ? 1.6 : 1.4, color: edged ? edge : colour },
          },
          hoverlabel: { bordercolor: colour, bgcolor: ground, font: { color: edge } },
          selectedpoints: brush ? these.flatMap(({ i }, at) => (brush.has(i) ? [at] : [])) : null,
          selected: { marker: { opacity: 1 } }, unselected: { marker: { opacity: 0.15 } },
        },
      });
    }
    return found;
  }

  // A line through the models of each series (a run's checkpoints, mixtures of the same weights) read in one way, in order.
  function seriesTraces(spots) {
    const runs = {}, dark = isDark();
    for (const spot of spots.filter(({ row }) => row.series)) {
      const { series, head, prompts, protocol, source } = spot.row;
      (runs[JSON.stringify([series[0], head, prompts, protocol, source])] ??= []).push(spot);
    }
    return Object.values(runs).filter((run) => run.length > 1).map((run) => {
      const { on_dark, colour } = effrob.data.groups[run[0].row.group];
      run.sort((one, other) => one.row.series[1] - other.row.series[1]);
      return {
        x: run.map(({ x }) => x), y: run.map(({ y }) => y), mode: "lines", hoverinfo: "skip", showlegend: false,
        name: run[0].row.series[0], line: { color: dark ? on_dark : colour, width: 1.5 },
      };
    });
  }

  // A ring around the chosen model's points.
  function chosen(spots, view) {
    const these = view.model ? spots.filter(({ row }) => row.model === view.model) : [];
    if (!these.length) return [];
    return [{
      x: these.map(({ x }) => x), y: these.map(({ y }) => y), mode: "markers", hoverinfo: "skip", showlegend: false,
      marker: { symbol: "circle-open", size: 20, color: ink("--ink"), line: { width: 2 } },
    }];
  }

  // Names beside points: the chosen model's in a frame, on top.
  function names(spots, view, made) {
    const look = { font: { color: ink("--ink"), size: 11 }, arrowcolor: ink("--soft"), bgcolor: ink("--veil") };
    const framed = { ...look, bgcolor: ink("--ground"), bordercolor: ink("--ink"), arrowcolor: ink("--ink"), borderpad: 3 };
    return effrob.names.place(spots, view.model, ranges, made.margin, box)
      .map(({ chosen: on, ...each }) => ({ ...each, ...(on ? framed : look), text: plain(each.text) })).reverse();
  }

  function outline(view, facts) {
    const brush = view.brush ? place.brushOf(view.brush, facts) : null;
    if (!brush || brush.shift !== view.shift || brush.axis !== view.axis || brush.scale !== view.scale) return [];
    const path = `M${brush.corners.map((corner) => corner.join()).join("L")}Z`;
    return [{ type: "path", path, line: { color: ink("--accent"), width: 1.5, dash: "dot" }, layer: "above" }];
  }

  function layout(to, view, facts, tool) {
    const narrow = box.clientWidth < 640, edge = ink("--ink"), grid = ink("--grid");
    const mean = view.shift === facts.mean, own = !mean && view.axis === "clean";
    const up = mean ? "Mean accuracy on the ranked shifts" : `Accuracy on ${facts.labels[view.shift]}`;
    const axis = (range, title, most) => ({
      range, ...place.ticks(to, range, most), gridcolor: grid, zeroline: false, linecolor: ink("--line"), color: edge,
      title: { text: title, font: { size: 13 }, standoff: 8 }, tickfont: { size: narrow ? 11 : 12 },
    });
    return {
      xaxis: axis(ranges.x, `Clean accuracy, ${own ? "the shift's classes" : "all classes"}, %`, narrow ? 7 : 14),
      yaxis: axis(ranges.y, `${up}, %`, 14),
      paper_bgcolor: ink("--ground"), plot_bgcolor: ink("--ground"), font: { family: "system-ui, sans-serif", color: edge },
      margin: { l: narrow ? 46 : 58, r: 10, t: 10, b: 48 }, hovermode: "closest", dragmode: tool, selections: [],
      hoverlabel: { font: { size: 12.5 }, align: "left" },
    };
  }

  // Draw the rows; says how many points there are, how many rows lack the axis, and why there is no line.
  function draw(rows, numbers, view, facts, brush, tool) {
    const to = place.onScale(view.scale), spots = [];
    let left = 0;
    for (const { row, i } of rows) {
      const [clean, accuracy] = place.accuracies(row, view.shift, view.axis, facts);
      if (accuracy === null) continue;
      if (clean === null) left += 1;
      else if (to(clean) !== null && to(accuracy) !== null) spots.push({ row, i, clean, x: to(clean), y: to(accuracy) });
    }
    const wide = spots.filter(({ clean }) => clean > LOWEST || spots.length < FEW);
    const whole = { x: place.range(wide.map(({ x }) => x)), y: place.range(wide.map(({ y }) => y)) };
    ranges = (view.zoom && place.zoomOf(view.zoom)) || whole;
    const line = numbers.lines[`${view.shift}|${view.axis}`] ?? {}, under = lineTraces(line, view, to);
    under.push({
      x: [-9, 9], y: [-9, 9], mode: "lines", hoverinfo: "skip", showlegend: false,
      line: { dash: "dash", width: 1.2, color: ink("--soft") },
    });
    const joined = seriesTraces(spots);
    under.push(...joined);
    const daggered = spots.filter(({ row }) => disputed(row, view, facts).length);
    if (daggered.length) {
      under.push({
        x: daggered.map(({ x }) => x), y: daggered.map(({ y }) => y), mode: "text", text: daggered.map(() => "†"), name: "disputed",
        textposition: "top right", textfont: { size: 10, color: ink("--line-colour") }, hoverinfo: "skip", showlegend: false,
      });
    }
    const points = pointTraces(spots, numbers, view, facts, brush);
    ids = [...under.map(() => []), ...points.map((each) => each.ids)];
    const made = layout(to, view, facts, tool);
    Object.assign(made, { annotations: names(spots, view, made), shapes: outline(view, facts) });
    Plotly.react(box, [...under, ...points.map(({ trace }) => trace), ...chosen(spots, view)], made, CONFIG);
    return { shown: spots.map(({ row }) => row), left, own: view.axis === "clean" && view.shift !== facts.mean, why: line.why, joined: joined.length > 0 };
  }

  // What the reader does in the picture: zoom to a range, brush a polygon, pick a point; null for undone.
  function listen({ zoom, brush, pick }) {
    box.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((key) => /^[xy]axis\.range/.test(key))) return;
      zoom([...box.layout.xaxis.range, ...box.layout.yaxis.range]);
    });
    box.on("plotly_doubleclick", () => zoom(null));
    box.on("plotly_selected", (event) => {
      if (event?.range) {
        const { x: [x0, x1], y: [y0, y1] } = event.range;
        brush([x0, y0, x1, y0, x1, y1, x0, y1]);
      } else if (event?.lassoPoints) {
        brush(event.lassoPoints.x.flatMap((x, i) => [x, event.lassoPoints.y[i]]));
      }
    });
    box.on("plotly_deselect", () => brush(null));
    box.on("plotly_click", (event) => {
      const found = event.points.map((point) => ids[point.curveNumber]?.[point.pointNumber]);
      const known = found.filter((id) => id !== undefined);
      if (known.length) pick(known[0]);
    });
  }

  // The ranges a step of zooming in (below 1) or out would show.
  function zoomed(factor) {
    return [ranges.x, ranges.y].flatMap(([low, high]) => {
      const middle = (low + high) / 2, half = ((high - low) / 2) * factor;
      return [middle - half, middle + half];
    });
  }

  return { draw, listen, zoomed, isDark };
})();
