// The table: built node by node, so that a name is always text. Sorted, paged, grouped by what can be compared.
"use strict";
effrob.table = (() => {
  const { J, C, A } = effrob;
  const SIGN = { above: "▲", below: "▼", on: "●", "cannot-tell": "?" };
  const box = document.getElementById("table"), pager = document.getElementById("pages");

  function make(tag, facts = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(facts)) if (value !== null && value !== false) key === "class" ? (node.className = value) : node.setAttribute(key, value === true ? "" : value);
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  const ci = (text) => (text ? make("span", { class: "ci" }, text) : null);

  // Columns: id, heading, what sorts them, what fills a cell. Higher first unless `up`.
  function columns(view, facts, numbers, standing) {
    const on = effrob.view.columns(), wide = on.has("intervals"), verdicts = effrob.data.verdicts, made = [];
    made.push({ id: "rank", head: "Rank", up: true, cell: (row, i) => {
      const judged = numbers.rows[i], rank = standing[i].rank;
      if (rank === null) return make("td", {}, "–");
      return make("td", {}, String(rank), wide && !view.protocol && judged[J.best] !== judged[J.worst] ? ci(`${judged[J.best]}–${judged[J.worst]}`) : null);
    } });
    made.push({ id: "model", head: "Model", up: true, value: (row) => row.model.toLowerCase(), cell: (row, i) => {
      const measured = row.source === "measured", group = effrob.data.groups[row.group], tags = make("div");
      tags.append(make("span", { class: measured ? "tag measured" : "tag", title: measured ? "measured here, proved from predictions" : "published by others" }, row.source));
      if (numbers.rows[i][J.axis] === "full" && view.axis === "clean") tags.append(make("span", { class: "tag warn", title: "no accuracy on the shift's own classes: judged on all classes" }, "full axis"));
      if (row.partial) tags.append(make("span", { class: "tag warn", title: "part of the official set" }, "◐ partial"));
      const dot = make("span", { class: measured ? "dot full" : "dot", style: `color:${group.colour}`, "aria-hidden": "true" });
      return make("th", { scope: "row", class: "name" }, dot, make("a", { href: `models/${row.page}` }, row.model), tags);
    } });
    if (on.has("training")) made.push({ id: "training", head: "Training", up: true, value: (row) => row.group, cell: (row) => make("td", { class: "text" }, effrob.data.groups[row.group].name, ci(row.trained_on ?? "")) });
    if (on.has("images")) made.push({ id: "images", head: "Training images", value: (row) => row.images, cell: (row) => make("td", {}, row.images === null ? "–" : effrob.short(row.images)) });
    if (on.has("size")) made.push({ id: "size", head: "px", value: (row) => row.size, cell: (row) => make("td", {}, row.size === null ? "–" : String(row.size)) });
    if (on.has("protocol")) made.push({ id: "protocol", head: "Head, protocol", up: true, value: (row) => `${row.head} ${row.protocol}`, cell: (row) => make("td", { class: "text" }, row.head + (row.prompts ? `, ${row.prompts}` : ""), ci(row.protocol)) });
    if (on.has("clean")) made.push({ id: "clean", head: "Clean %", value: (row) => row.clean[0], cell: (row) => make("td", {}, effrob.percent(row.clean[0]), wide ? ci(effrob.between(row.clean[1], row.clean[2])) : null) });
    if (on.has("mean")) {
      made.push({ id: "logit", head: "Logit mean", value: (row, i) => numbers.rows[i][J.logit], cell: (row, i) => { const j = numbers.rows[i]; return make("td", {}, effrob.signed(j[J.logit]), wide && j[J.logitLow] !== null ? ci(`[${effrob.signed(j[J.logitLow])}, ${effrob.signed(j[J.logitHigh])}]`) : null); } });
      made.push({ id: "mean", head: "Mean, points", value: (row, i) => numbers.rows[i][J.mean], cell: (row, i) => { const j = numbers.rows[i]; return make("td", {}, effrob.points(j[J.mean]), wide ? ci(effrob.between(j[J.meanLow], j[J.meanHigh], 1, effrob.points)) : null); } });
    }
    const shifts = [...(on.has("shifts") ? facts.four : []), ...(on.has("diagnostic") ? facts.shifts.slice(facts.four.length) : [])];
    for (const shift of shifts) {
      if (on.has("accuracy")) made.push({ id: `${shift}.accuracy`, head: `${facts.labels[shift]} %`, value: (row) => row.shifts[shift]?.[A.accuracy] ?? null, cell: (row) => { const cell = row.shifts[shift]; return make("td", {}, effrob.percent(cell?.[A.accuracy]), wide && cell ? ci(effrob.between(cell[A.low], cell[A.high])) : null); } });
      made.push({ id: shift, head: `${facts.labels[shift]} eff. rob.`, value: (row, i) => numbers.cells[shift][i]?.[C.points] ?? null, cell: (row, i) => {
        const score = numbers.cells[shift][i];
        if (!score) return make("td", {}, "–");
        const word = verdicts[score[C.verdict]], votes = row.shifts[shift][A.votes], all = votes.reduce((a, b) => a + b);
        const said = make("span", { class: `v ${word}`, title: `${word}: in ${votes[score[C.verdict]]} of ${all} analyses${score[C.extrapolated] ? "; extrapolated" : ""}` }, `${SIGN[word]}`, make("span", { class: "ci" }, `${votes[score[C.verdict]]}/${all}${score[C.extrapolated] ? " ↗" : ""}`));
        said.setAttribute("aria-label", `${word}, in ${votes[score[C.verdict]]} of ${all} analyses${score[C.extrapolated] ? ", extrapolated" : ""}`);
        said.setAttribute("role", "img");
        return make("td", { "data-value": score[C.points] }, effrob.points(score[C.points]), wide ? ci(effrob.between(score[C.low], score[C.high], 1, effrob.points)) : null, on.has("verdicts") ? said : null);
      } });
    }
    return made;
  }

  const REACH = ["", ", above the baseline's clean accuracies on a shift: extrapolated", ", below the baseline's clean accuracies on a shift: extrapolated", ", not ranked for want of one of the four"];
  function groupTitle(key, rows) {
    const [kind, axis, reach] = key.split("|"), protocols = new Set(rows.map(({ row }) => row.protocol));
    const mixed = protocols.size > 1 ? `. Protocols differ (${[...protocols].sort().join(", ")}): not comparable to the last point` : "";
    return `${kind === "0" ? "Measured" : "Published"}, ${axis} axis${REACH[Number(reach)]}${mixed}`;
  }

  function order(rows, view, numbers, standing, column) {
    const value = ({ row, i }) => (view.sort === "rank" ? numbers.rows[i][J.logit] : column.value(row, i)), way = (column.up ? 1 : -1) * (view.down ? -1 : 1);
    const up = view.sort === "rank" ? (view.down ? 1 : -1) : way;
    return [...rows].sort((a, b) => {
      if (view.sort === "rank") {
        const [g, h] = [standing[a.i].group, standing[b.i].group];
        if (g !== h) return g < h ? -1 : 1;
      }
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return x === y ? (b.row.clean[0] ?? 0) - (a.row.clean[0] ?? 0) : x === null ? 1 : -1;
      return x < y ? -up : x > y ? up : a.row.model < b.row.model ? -1 : 1;
    });
  }

  function draw(rows, numbers, view, facts, standing) {
    const made = columns(view, facts, numbers, standing), column = made.find((each) => each.id === view.sort) ?? made[0];
    const sorted = order(rows, { ...view, sort: column.id }, numbers, standing, column), pages = Math.max(1, Math.ceil(sorted.length / view.per)), page = Math.min(view.page, pages - 1);
    const head = make("tr");
    for (const each of made) {
      const active = each.id === column.id, button = make("button", { type: "button", "data-sort": each.id }, each.head, active ? (view.down !== Boolean(each.up) ? " ↓" : " ↑") : "");
      if (active) button.replaceChildren(each.head, (each.up ? view.down : !view.down) ? " ↓" : " ↑");
      head.append(make("th", { scope: "col", class: each.id === "model" ? "name" : null, "aria-sort": active ? ((each.up ? view.down : !view.down) ? "descending" : "ascending") : null }, button));
    }
    const body = make("tbody");
    const members = {};
    for (const each of sorted) (members[standing[each.i].group] ??= []).push(each);
    let last = null;
    for (const each of sorted.slice(page * view.per, (page + 1) * view.per)) {
      const group = standing[each.i].group;
      if (column.id === "rank" && group !== last) body.append(make("tr", { class: "group" }, make("th", { colspan: made.length, scope: "rowgroup" }, groupTitle(group, members[group]))));
      last = group;
      const line = make("tr", { "data-row": each.i, class: each.row.model === view.model ? "chosen" : null });
      line.append(...made.map((one) => one.cell(each.row, each.i)));
      body.append(line);
    }
    box.replaceChildren(make("table", { "aria-rowcount": sorted.length }, make("thead", {}, head), body));
    const button = (text, to, off) => make("button", { type: "button", "data-page": to, disabled: off }, text);
    const per = make("select", { "aria-label": "Rows a page", id: "per" }, ...[50, 200, 2000].map((n) => make("option", { value: n, selected: n === view.per }, `${n} rows`)));
    pager.replaceChildren(button("Previous", page - 1, page === 0), `Page ${page + 1} of ${pages}`, button("Next", page + 1, page >= pages - 1), per);
    return sorted;
  }

  return { draw, make };
})();
