// Joins view, picture and table: every change of the view filters the rows once and draws both.
"use strict";
(() => {
  const { view, table, chart } = effrob, form = document.getElementById("controls"), byId = (id) => document.getElementById(id);
  if (!view.now.suite) return;
  let brush = null;
  const SIZES = { "": "any", small: "under 200 px", middle: "200 to 299 px", large: "300 px and more", none: "not stated" };
  const IMAGES = { "": "any", m: "up to 10 M", h: "10 M to 1 B", b: "over 1 B", none: "not stated" };
  const sizeOf = (px) => (px === null ? "none" : px < 200 ? "small" : px < 300 ? "middle" : "large");
  const imagesOf = (n) => (n === null ? "none" : n <= 1e7 ? "m" : n <= 1e9 ? "h" : "b");

  const option = (value, text, chosen) => table.make("option", { value, selected: value === chosen }, text);
  function choices(name, pairs, chosen) {
    form.elements[name].replaceChildren(...pairs.map(([value, text]) => option(value, text, chosen)));
  }
  const known = (rows, of) => [...new Set(rows.map(of))].sort();

  function controls(now, facts) {
    const keys = facts.analyses.map((key) => key.split("|"));
    choices("suite", Object.keys(effrob.data.suites).map((each) => [each, each]), now.suite);
    choices("baseline", [...new Set(keys.map(([, baseline]) => baseline))].map((each) => [each, each]), now.baseline);
    form.elements.axis.value = now.axis;
    form.elements.scale.value = now.scale;
    choices("protocol", [["", "all, marked"], ...known(facts.rows, (row) => row.protocol).map((each) => [each, each])], now.protocol);
    choices("source", [["", "all"], ...known(facts.rows, (row) => row.source).map((each) => [each, each])], now.source);
    choices("group", [["", "any"], ...Object.entries(effrob.data.groups).filter(([key]) => facts.rows.some((row) => row.group === key)).map(([key, each]) => [key, each.name])], now.group);
    choices("images", Object.entries(IMAGES), now.images);
    choices("size", Object.entries(SIZES), now.size);
    choices("head", [["", "any"], ...known(facts.rows, (row) => row.head).map((each) => [each, each])], now.head);
    if (form.elements.q.value !== now.q) form.elements.q.value = now.q;
    const shifts = [...(facts.mean ? [facts.mean] : []), ...facts.shifts];
    byId("shifts").replaceChildren(...shifts.map((shift) => table.make("button", { type: "button", role: "radio", "aria-checked": String(shift === now.shift), tabindex: shift === now.shift ? "0" : "-1", "data-shift": shift }, facts.labels[shift])));
    const on = view.columns();
    byId("columns").replaceChildren(...Object.entries(view.COLUMNS).map(([key, text]) => table.make("label", {}, table.make("input", { type: "checkbox", value: key, checked: on.has(key) }), text)));
  }

  function kept(now, facts) {
    const words = now.q.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    facts.rows.forEach((row, i) => {
      if (now.protocol && row.protocol !== now.protocol) return;
      if (now.source && row.source !== now.source) return;
      if (now.group && row.group !== now.group) return;
      if (now.head && row.head !== now.head) return;
      if (now.size && sizeOf(row.size) !== now.size) return;
      if (now.images && imagesOf(row.images) !== now.images) return;
      const text = `${row.model} ${row.trained_on ?? ""} ${row.source}`.toLowerCase();
      if (!words.every((word) => text.includes(word))) return;
      found.push({ row, i });
    });
    return found;
  }

  function show(numbers) {
    const now = view.now, facts = effrob.data.suites[now.suite];
    if (numbers.key !== view.keyOf(now)) return;
    const rows = kept(now, facts), standing = effrob.standings(facts.rows, numbers, now.protocol);
    const listed = brush ? rows.filter(({ i }) => brush.has(i)) : rows;
    table.draw(listed, numbers, now, facts, standing);
    byId("count").textContent = `${listed.length} of ${facts.rows.length} rows; baseline ${now.baseline}, ${now.axis} axis, ${now.scale} scale${brush ? "; brushed in the picture" : ""}`;
    byId("unbrush").hidden = !brush;
    const drawn = chart.draw(rows, numbers, now, facts), said = [];
    if (drawn.why) said.push(`No line: ${drawn.why}.`);
    if (drawn.left) said.push(`${drawn.left} rows have no clean accuracy on the shift's classes and are not drawn; choose clean accuracy over all classes to see them.`);
    byId("picture-note").textContent = said.join(" ");
    byId("chart").setAttribute("aria-label", `${drawn.shown} models: ${facts.labels[now.shift]} against clean accuracy, with the line of ${now.baseline}. The table below holds the same numbers.`);
    document.documentElement.dataset.ready = "true";
  }

  function refresh() {
    const now = view.now;
    controls(now, effrob.data.suites[now.suite]);
    effrob.load(view.keyOf(now), show);
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => { if (event.target.name && event.target.name !== "q") view.change({ [event.target.name]: event.target.value }); });
  let typing = 0;
  form.elements.q.addEventListener("input", (event) => { clearTimeout(typing); typing = setTimeout(() => view.change({ q: event.target.value }), 120); });
  byId("reset").addEventListener("click", () => { brush = null; view.reset(); });
  byId("unbrush").addEventListener("click", () => { brush = null; Plotly.restyle(byId("chart"), { selectedpoints: [null] }); refresh(); });
  byId("shifts").addEventListener("click", (event) => { if (event.target.dataset.shift) view.change({ shift: event.target.dataset.shift, page: view.now.page }); });
  byId("shifts").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...byId("shifts").children], next = all[(all.findIndex((each) => each.getAttribute("aria-checked") === "true") + step + all.length) % all.length];
    view.change({ shift: next.dataset.shift });
    byId("shifts").querySelector("[aria-checked=true]").focus();
  });
  byId("table").addEventListener("click", (event) => {
    const button = event.target.closest("button[data-sort]");
    if (!button) return;
    const same = view.now.sort === button.dataset.sort;
    view.change({ sort: button.dataset.sort, down: same ? !view.now.down : false });
    byId("table").querySelector(`button[data-sort="${CSS.escape(button.dataset.sort)}"]`)?.focus();
  });
  byId("pages").addEventListener("click", (event) => { if (event.target.dataset.page) { view.change({ page: Number(event.target.dataset.page) }); byId("table").scrollIntoView({ block: "nearest" }); } });
  byId("pages").addEventListener("change", (event) => { if (event.target.id === "per") view.change({ per: Number(event.target.value) }); });
  byId("columns").addEventListener("change", () => view.change({ columns: [...byId("columns").querySelectorAll("input:checked")].map((each) => each.value).join("."), page: view.now.page }));
  document.addEventListener("theme", refresh);
  view.listen(refresh);
  byId("rule").textContent = effrob.data.rule;
  refresh();
  effrob.chart.listen((ids) => { brush = ids; refresh(); }, (id) => view.change({ model: effrob.data.suites[view.now.suite].rows[id].model, page: view.now.page }));
})();
