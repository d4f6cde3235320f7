// Joins the view with controls, picture and table: every change filters the rows once and draws what shows them.
"use strict";
(() => {
  const { view, rows, place, table, chart, picked, controls } = effrob, byId = (id) => document.getElementById(id);
  if (!view.now.suite) return;
  let picture = null; // draws what was shown last
  let tool = view.narrow ? false : "zoom"; // a finger scrolls the page until it takes up a tool

  function notes(drawn, now, facts) {
    const protocols = [...new Set(drawn.shown.map((row) => row.protocol))].sort(), said = [];
    if (drawn.why) said.push(`No line: ${drawn.why}.`);
    byId("protocols-note").textContent = protocols.length > 1
      ? `Protocols differ (${protocols.join(", ")}): points are not comparable to the last point.` : "";
    byId("joined").hidden = !drawn.joined;
    if (drawn.left) { // last, beside the button that mends it
      const many = drawn.left === 1 ? "1 row has" : `${drawn.left} rows have`;
      said.push(`${many} no clean accuracy${drawn.own ? " on the shift's classes" : ""} and cannot be drawn here.`);
    }
    byId("picture-note").textContent = said.join(" ");
    byId("full-axis").hidden = !(drawn.left && drawn.own);
    const against = `${facts.labels[now.shift]} against clean accuracy, with the line of ${now.baseline}`;
    const label = `${drawn.shown.length} models: ${against}. The table below holds the same numbers.`;
    byId("chart").setAttribute("aria-label", label);
  }

  function tools(now) {
    for (const each of byId("tools").querySelectorAll("[data-tool]")) {
      each.setAttribute("aria-pressed", String(each.dataset.tool === tool));
    }
    byId("unzoom").disabled = !now.zoom;
    byId("unbrush").hidden = !now.brush;
  }

  function show(numbers) {
    const now = view.now, facts = effrob.data.suites[now.suite];
    if (numbers.key !== view.keyOf(now)) return; // another analysis was chosen while this one loaded
    const { rows: shown, counts } = rows.kept(now, facts, view.groups()), brush = place.brushed(now.brush, facts);
    const listed = brush ? shown.filter(({ i }) => brush.has(i)) : shown;
    const standing = rows.standings(facts, numbers, now.protocol);
    const ranking = rows.ranking(now, listed, standing), together = ranking.key === "all";
    const meeting = together ? listed : listed.filter(({ i }) => standing[i].group === ranking.key);
    controls.draw(now, facts, counts, ranking, numbers);
    tools(now);
    table.draw(meeting, numbers, now, facts, standing, together);
    byId("ranking-said").textContent = table.sentence(ranking.key, meeting, now);
    byId("verdicts-said").hidden = !view.columns().has("verdicts") || !view.columns().has("shifts");
    picked.draw(now, facts, numbers, standing);
    const held = brush ? ", brushed in the picture" : "";
    byId("count").textContent = `${listed.length} of ${facts.rows.length} rows of the board${held}; ${meeting.length} listed here`;
    document.documentElement.dataset.table = numbers.key;
    picture = () => {
      notes(chart.draw(shown, numbers, now, facts, brush, tool), now, facts);
      document.documentElement.dataset.ready = numbers.key;
    };
    if (window.Plotly) picture(); // its script is the largest and comes last: the table does not wait for it
  }

  const refresh = () => effrob.load(view.now.suite, view.keyOf(view.now), show);
  const draw = (name) => (flat) => view.change({ [name]: flat ? place.short(flat) : "" });

  function brush(flat) {
    const { shift, axis, scale } = view.now;
    const held = flat ? [shift, axis, scale, place.short(flat)].join("~") : "";
    view.change({ brush: held, ranking: held ? "all" : "" }); // a brush holds rows of several tables
  }

  function pick(i) {
    view.change({ model: effrob.data.suites[view.now.suite].rows[i].model });
  }

  byId("tools").addEventListener("click", ({ target }) => {
    const { tool: chosen, zoom } = target.dataset;
    if (chosen) {
      tool = tool === chosen ? false : chosen;
      refresh();
    } else if (zoom) {
      draw("zoom")(chart.zoomed(Number(zoom)));
    }
  });
  byId("full-axis").addEventListener("click", () => view.change({ axis: "full" }));
  byId("unzoom").addEventListener("click", () => view.change({ zoom: "" }));
  byId("unbrush").addEventListener("click", () => brush(null));
  byId("picked").addEventListener("click", ({ target }) => { if (target.id === "unpick") view.change({ model: "" }); });
  byId("table").addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button?.dataset.pick) {
      pick(Number(button.dataset.pick));
      byId("picture").scrollIntoView({ block: "start" });
      byId("unpick")?.focus({ preventScroll: true });
    } else if (button?.dataset.sort) {
      const { sort } = button.dataset;
      view.change({ sort, down: view.now.sort === sort ? !view.now.down : false });
      byId("table").querySelector(`button[data-sort="${CSS.escape(sort)}"]`)?.focus();
    }
  });
  byId("pages").addEventListener("click", ({ target }) => {
    if (!target.dataset.page) return;
    view.change({ page: Number(target.dataset.page) });
    byId("table").scrollTop = 0;
    byId("table-title").scrollIntoView({ block: "nearest" });
  });
  byId("pages").addEventListener("change", ({ target }) => {
    if (target.id === "per") view.change({ per: Number(target.value) });
  });
  byId("copy").addEventListener("click", async () => {
    const said = byId("copied");
    try {
      await navigator.clipboard.writeText(location.href);
      said.textContent = "Link copied";
    } catch {
      said.textContent = "The address bar holds the link";
    }
    setTimeout(() => { said.textContent = ""; }, 4000);
  });
  document.addEventListener("theme", refresh);
  view.listen(refresh);
  controls.listen();
  effrob.find.listen();
  byId("rule").textContent = effrob.data.rule;
  refresh();
  byId("plotly").addEventListener("load", () => {
    picture?.();
    chart.listen({ zoom: draw("zoom"), brush, pick });
  });
})();
