// The controls: selects, legend, shift tabs, columns. They show the view and change it; they draw no number.
"use strict";
effrob.ORIGINS = ["measured", "imported", "given", "published"];
effrob.origin = (row) => row.source.split(":")[0];
effrob.glyph = (group, origin) => {
  const SHAPES = {
    o: "M8 3a5 5 0 1 0 .01 0z", s: "M3.5 3.5h9v9h-9z", "^": "M8 3l5.5 9.5h-11z", D: "M8 2l6 6-6 6-6-6z",
    v: "M8 13L2.5 3.5h11z",
    X: "M4.6 2.5L8 5.9l3.4-3.4 2.1 2.1L10.1 8l3.4 3.4-2.1 2.1L8 10.1l-3.4 3.4-2.1-2.1L5.9 8 2.5 4.6z",
  };
  const look = effrob.data.groups[group], name = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(name, "svg"), facts = { viewBox: "0 0 16 16", class: "glyph", "aria-hidden": "true" };
  for (const [key, value] of Object.entries(facts)) svg.setAttribute(key, value);
  svg.style.setProperty("--light", look.colour);
  svg.style.setProperty("--dark", look.on_dark);
  const path = document.createElementNS(name, "path");
  path.setAttribute("d", SHAPES[look.marker]);
  path.setAttribute("class", origin);
  svg.append(path);
  return svg;
};

effrob.controls = (() => {
  const { view, make, rows } = effrob;
  const form = document.getElementById("controls"), byId = (id) => document.getElementById(id);

  function choices(name, pairs, chosen) {
    const options = pairs.map(([value, text]) => make("option", { value, selected: value === chosen }, text));
    form.elements[name].replaceChildren(...options);
  }

  const same = (values) => values.map((value) => [value, value]);

  function selects(now, facts) {
    const of = (name) => rows.known(facts, (row) => row[name]);
    choices("suite", same(Object.keys(effrob.data.suites)), now.suite);
    choices("baseline", same([...new Set(Object.keys(facts.files).map((key) => key.split("|")[1]))]), now.baseline);
    form.elements.axis.value = now.axis;
    form.elements.scale.value = now.scale;
    choices("protocol", [["", "all, marked"], ...same(of("protocol"))], now.protocol);
    const sources = of("source").map((each) => [each, each.replace("published:", "published: ")]);
    choices("source", [["", "all"], ...sources], now.source);
    const sets = rows.known(facts, (row) => row.trained_on ?? "-");
    choices("data", [["", "any"], ...sets.map((each) => [each, each === "-" ? "not stated" : each])], now.data);
    choices("images", [["", "any"], ...Object.entries(rows.IMAGES)], now.images);
    choices("size", [["", "any"], ...Object.entries(rows.SIZES)], now.size);
    choices("head", [["", "any"], ...same(of("head"))], now.head);
    if (form.elements.q.value !== now.q) form.elements.q.value = now.q;
    byId("suite-label").hidden = Object.keys(effrob.data.suites).length < 2;
  }

  function summaries(now) {
    const axis = now.axis === "clean" ? "the shift's classes" : "all classes";
    byId("judged-now").textContent = `${now.baseline}, ${axis}, ${now.scale}${now.protocol ? `, ${now.protocol}` : ""}`;
    const names = ["q", "source", "data", "images", "size", "head"].filter((name) => now[name]);
    byId("shown-now").textContent = names.length ? `${names.length} filter${names.length > 1 ? "s" : ""}` : "all rows";
  }

  function tabs(now, facts) {
    const shifts = [...(facts.mean ? [facts.mean] : []), ...facts.shifts];
    byId("shifts").replaceChildren(...shifts.map((shift) => {
      const on = shift === now.shift;
      const state = { role: "radio", "aria-checked": String(on), tabindex: on ? "0" : "-1", "data-shift": shift };
      return make("button", { type: "button", ...state }, facts.labels[shift]);
    }));
  }

  // Families as buttons: none pressed shows all, each pressed one is shown.
  function legend(now, facts, counts) {
    const focused = document.activeElement?.dataset?.group, pressed = view.groups();
    const present = new Set(facts.rows.map((row) => row.group));
    const families = Object.entries(facts.families).filter(([key]) => present.has(key));
    byId("legend").replaceChildren(...families.map(([key, name]) => {
      const state = { "aria-pressed": String(pressed.has(key)), "data-group": key };
      const count = make("small", {}, String(counts[key] ?? 0));
      return make("button", { type: "button", ...state }, effrob.glyph(key, "published"), `${name} `, count);
    }));
    if (focused) byId("legend").querySelector(`[data-group="${CSS.escape(focused)}"]`)?.focus();
  }

  // Above the table: the axis, each with the rows its longest ranking has; the rankings of this axis; all other tables.
  function tables(now, facts, ranking, numbers) {
    const radio = (on, facts_, ...said) =>
      make("button", { type: "button", role: "radio", "aria-checked": String(on), tabindex: on ? "0" : "-1", ...facts_ }, ...said);
    const small = (n) => make("small", {}, ` ${n}`);
    byId("axes").replaceChildren(...Object.entries({ full: "All classes", clean: "The shift's classes" }).map(([axis, name]) =>
      radio(axis === now.axis, { "data-axis": axis }, name, small(facts.ranked[view.keyOf({ ...now, axis })] ?? 0))));
    const { key: chosen, counts } = ranking, keys = Object.keys(counts).sort();
    const own = keys.filter((key) => rows.isWithin(key) && key.split("|")[1] === now.axis);
    byId("rankings").replaceChildren(...own.map((key) => {
      const kind = effrob.ORIGINS[Number(key[0])];
      return radio(key === chosen, { "data-ranking": key }, kind[0].toUpperCase() + kind.slice(1), small(counts[key]));
    }));
    byId("rankings").hidden = own.length < 2 && own[0] === chosen;
    const total = keys.reduce((sum, key) => sum + counts[key], 0);
    const others = keys.filter((key) => !own.includes(key)).map((key) => [key, `${effrob.table.groupTitle(key)}: ${counts[key]}`]);
    const options = [["", "Other tables"], ...others, ["all", `Every table: ${total}`]];
    byId("others").replaceChildren(...options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
  }

  function columns() {
    const on = view.columns();
    byId("columns").replaceChildren(...Object.entries(view.COLUMNS).map(([key, text]) =>
      make("label", {}, make("input", { type: "checkbox", value: key, checked: on.has(key) }), text)));
  }

  function draw(now, facts, counts, ranking, numbers) {
    tables(now, facts, ranking, numbers);
    selects(now, facts);
    summaries(now);
    tabs(now, facts);
    legend(now, facts, counts);
  }

  // Arrow keys walk a group of radio buttons, as they do in a form.
  function arrows(group, name) {
    group.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const all = [...group.children];
      const at = all.findIndex((each) => each.getAttribute("aria-checked") === "true");
      view.change({ [name]: all[(at + step + all.length) % all.length].dataset[name] });
      group.querySelector("[aria-checked=true]")?.focus();
    });
  }

  function listen() {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", ({ target }) => {
      if (target.name && target.name !== "q") view.change({ [target.name]: target.value });
    });
    let typing = 0;
    form.elements.q.addEventListener("input", ({ target }) => {
      clearTimeout(typing);
      typing = setTimeout(() => view.change({ q: target.value }), 120);
    });
    byId("reset").addEventListener("click", view.reset);
    byId("legend").addEventListener("click", ({ target }) => {
      const key = target.closest("button")?.dataset.group;
      if (!key) return;
      const pressed = view.groups();
      if (!pressed.delete(key)) pressed.add(key);
      view.change({ group: [...pressed].join(".") });
    });
    byId("shifts").addEventListener("click", ({ target }) => {
      if (target.dataset.shift) view.change({ shift: target.dataset.shift });
    });
    for (const [id, name] of [["shifts", "shift"], ["axes", "axis"], ["rankings", "ranking"]]) arrows(byId(id), name);
    for (const name of ["axis", "ranking"]) {
      byId(name === "axis" ? "axes" : "rankings").addEventListener("click", ({ target }) => {
        const chosen = target.closest("button")?.dataset[name];
        if (chosen) view.change({ [name]: chosen });
      });
    }
    byId("others").addEventListener("change", ({ target }) => view.change({ ranking: target.value }));
    columns();
    byId("columns").addEventListener("change", () => {
      const on = [...byId("columns").querySelectorAll("input:checked")].map((each) => each.value);
      view.change({ columns: on.join(".") });
    });
    view.listen(() => {
      const on = view.columns();
      for (const each of byId("columns").querySelectorAll("input")) each.checked = on.has(each.value);
    });
    if (view.narrow) for (const each of [...form.querySelectorAll("details"), byId("more")]) each.open = false;
  }

  return { draw, listen };
})();
