// The table: sorted, paged, and in order of rank grouped by what can be compared. Built node by node.
"use strict";
effrob.table = (() => {
  const { J, C, A, make } = effrob;
  const SIGNS = { above: "▲", below: "▼", on: "●", "cannot-tell": "?" };
  const BY_CHANCE = { above: "△", below: "▽" };
  const REACH = [
    "",
    ", above the baseline's clean accuracies on a shift: the line is extrapolated",
    ", below the baseline's clean accuracies on a shift: the line is extrapolated",
    ", not ranked for want of a ranked shift",
  ];
  const SAID = {
    measured: "measured, and recounted from predictions",
    imported: "answers of others, recounted here from predictions",
    given: "an accuracy given, taken on trust",
    published: "published by others",
  };
  const PER = [50, 200, 5000];
  const box = document.getElementById("table"), pager = document.getElementById("pages");

  const small = (text) => (text ? make("span", { class: "ci" }, text) : null);
  const tag = (text, title, kind = "") => make("span", { class: `tag ${kind}`, title }, text);

  // A row's marks, in words: where it is from, and all that forbids a plain comparison.
  function tags(row, standing, view, mixed) {
    const [, axis, reach] = standing.group.split("|"), found = make("div", { class: "tags" });
    const origin = row.source.split(":")[0];
    found.append(tag(effrob.reference(row) ?? row.source.replace("published:", ""), SAID[origin], origin));
    if (mixed) {
      const why = "other rows here have another: not comparable to the last point";
      found.append(tag(`protocol ${row.protocol}`, why, "protocol"));
    }
    if (axis === "full" && view.axis === "clean") {
      found.append(tag("full axis", "no accuracy on the shift's own classes: judged on all classes", "warn"));
    }
    if (reach === "1" || reach === "2") {
      found.append(tag("↗ extrapolated", "outside the baseline's clean accuracies", "warn"));
    }
    if (row.partial) found.append(tag("◐ partial", "part of the official set was evaluated", "warn"));
    const disputed = effrob.disputedIn(row);
    if (disputed) found.append(tag("† disputed", disputed.join("; "), "warn"));
    return found;
  }

  function nameCell(row, i, standing, view, mixed) {
    const label = `Show ${row.model} in the picture`, facts = { type: "button", class: "pick", "data-pick": i };
    const glyph = effrob.glyph(row.group, effrob.origin(row));
    const pick = make("button", { ...facts, "aria-label": label, title: "Show in the picture" }, glyph);
    const named = make("div", { class: "named" }, pick, make("a", { href: `models/${row.page}` }, effrob.shortName(row)));
    return make("th", { scope: "row", class: "name" }, named, tags(row, standing, view, mixed));
  }

  function verdictOf(row, shift, score) {
    const { word, kept, all } = effrob.survival(row, shift, score), beyond = score[C.extrapolated];
    const chance = effrob.byChance(score), sign = chance ? BY_CHANCE[word] : SIGNS[word];
    const words = `${word.replace("-", " ")}${chance ? " alone, not among so many" : ""}, in ${kept} of ${all} analyses` +
      (beyond ? ", extrapolated" : "");
    const shown = make("span", { class: `v ${word}`, role: "img", "aria-label": words, title: words }, sign);
    shown.append(make("small", {}, ` ${kept}/${all}${beyond ? " ↗" : ""}`));
    return shown;
  }

  // Columns: id, heading, what sorts them, what fills a cell. Higher first unless `up`.
  function columns(view, facts, numbers, standing, mixed) {
    const on = effrob.view.columns(), wide = on.has("intervals");
    const ci = (...ends) => (wide ? small(effrob.between(...ends)) : null);
    const made = [
      { id: "rank", head: "Rank", up: true, value: (row, i) => standing[i].rank, cell: (row, i) => {
        const { rank, best, worst } = standing[i];
        const open = wide && rank !== null && best !== worst ? small(`${best}–${worst}`) : null;
        return make("td", { class: "rank" }, rank === null ? "–" : String(rank), open);
      } },
      { id: "model", head: "Model", up: true, name: true, value: (row) => row.model.toLowerCase(),
        cell: (row, i) => nameCell(row, i, standing[i], view, mixed(i)) },
    ];
    const plain = (column, id, head, up, value, text, under = () => null) => {
      if (!on.has(column)) return;
      const cell = (row) => make("td", { class: up ? "text" : null }, text(row), small(under(row)));
      made.push({ id, head, up, text: up, value, cell });
    };
    plain("training", "training", "Training", true, (row) => row.group,
      (row) => facts.families[row.group], (row) => row.trained_on);
    plain("images", "images", "Training images", false, (row) => row.images,
      (row) => (row.images === null ? "–" : effrob.count(row.images)));
    plain("size", "size", "Pixels", false, (row) => row.size, (row) => String(row.size ?? "–"));
    plain("protocol", "protocol", "Head, protocol", true, (row) => `${row.head} ${row.protocol}`,
      (row) => (row.prompts ? `${row.head}, ${row.prompts}` : row.head), (row) => row.protocol);
    const number = (column, id, head, value, text, ends, disputed = () => null) => {
      if (!on.has(column)) return;
      made.push({ id, head, value, cell: (row, i) => {
        const known = value(row, i), said = known === null ? null : disputed(row);
        const dagger = said ? make("span", { class: "dagger", role: "img", "aria-label": `disputed: ${said.join("; ")}`, title: said.join("; ") }, "†") : null;
        return make("td", {}, text(known), dagger, known === null ? null : ends(row, i));
      } });
    };
    const { percent, points, logits } = effrob;
    const ofMean = (row) => effrob.disputedIn(row, facts.four);
    number("clean", "clean", "Clean %", (row) => row.clean[0], percent, (row) => ci(row.clean[1], row.clean[2]));
    number("mean", "logit", "Logit mean", (row, i) => numbers.rows[i][J.logit], logits,
      (row, i) => ci(numbers.rows[i][J.logitLow], numbers.rows[i][J.logitHigh], logits, 2), ofMean);
    number("mean", "mean", "Mean, points", (row, i) => numbers.rows[i][J.mean], points,
      (row, i) => ci(numbers.rows[i][J.meanLow], numbers.rows[i][J.meanHigh], points), ofMean);
    for (const shift of shiftsShown(on, facts)) {
      const label = facts.labels[shift];
      number("accuracy", `${shift}.accuracy`, `${label} %`, (row) => row.shifts[shift]?.[A.accuracy] ?? null, percent,
        (row) => ci(row.shifts[shift][A.low], row.shifts[shift][A.high]), (row) => row.disputed?.[shift]);
      made.push({
        id: shift, head: `${label} eff. rob.`, value: (row, i) => numbers.cells[shift][i]?.[C.points] ?? null,
        cell: (row, i) => robustnessCell(row, shift, numbers.cells[shift][i], on, ci),
      });
    }
    return made;
  }

  function shiftsShown(on, facts) {
    const others = facts.shifts.filter((shift) => !facts.four.includes(shift) && shift !== facts.diagnostic);
    const shown = (column, shifts) => (on.has(column) ? shifts : []);
    return [...shown("shifts", facts.four), ...shown("diagnostic", facts.diagnostic ? [facts.diagnostic] : []), ...shown("others", others)];
  }

  function robustnessCell(row, shift, score, on, ci) {
    if (!score) return make("td", {}, "–");
    const verdict = on.has("verdicts") ? verdictOf(row, shift, score) : null;
    return make("td", {}, effrob.points(score[C.points]), ci(score[C.low], score[C.high], effrob.points), verdict);
  }

  function groupTitle(key, protocols = new Set()) {
    const [kind, axis, reach] = key.split("|"), names = [...protocols].sort().join(", ");
    const origin = effrob.ORIGINS[Number(kind)];
    const mixed = protocols.size > 1 ? `. Protocols differ (${names}): not comparable to the last point` : "";
    return `${origin[0].toUpperCase() + origin.slice(1)}, ${axis} axis${REACH[Number(reach)]}${mixed}`;
  }

  // Nothing known comes last, whichever way; equals by clean accuracy, then by name.
  function order(rows, view, standing, column) {
    const down = Boolean(column.up) === view.down, clean = (row) => row.clean[0] ?? 0;
    const byGroup = (a, b) => (standing[a.i].group < standing[b.i].group ? -1 : 1);
    return [...rows].sort((a, b) => {
      if (column.id === "rank" && standing[a.i].group !== standing[b.i].group) return byGroup(a, b);
      const [x, y] = [column.value(a.row, a.i), column.value(b.row, b.i)];
      if ((x === null) !== (y === null)) return x === null ? 1 : -1;
      if (x !== y) return (x < y) === down ? 1 : -1;
      return clean(b.row) - clean(a.row) || (a.row.model < b.row.model ? -1 : 1);
    });
  }

  function heading(made, column, view) {
    const down = Boolean(column.up) === view.down;
    return make("thead", {}, make("tr", {}, ...made.map((each) => {
      const active = each.id === column.id, arrow = active ? (down ? " ↓" : " ↑") : null;
      const arrowed = arrow ? make("span", { "aria-hidden": "true" }, arrow) : null;
      const sort = active ? (down ? "descending" : "ascending") : null;
      return make("th", { scope: "col", class: each.name ? "name" : each.text ? "text" : null, "aria-sort": sort },
        make("button", { type: "button", "data-sort": each.id }, each.head, arrowed));
    })));
  }

  function pages(view, page, last, total) {
    const button = (text, to, off) => make("button", { type: "button", "data-page": to, disabled: off }, text);
    const per = make("select", { id: "per", "aria-label": "Rows a page" },
      ...PER.map((n) => make("option", { value: n, selected: n === view.per }, `${n} rows a page`)));
    const [from, to] = [page * view.per, Math.min(total, (page + 1) * view.per)];
    pager.replaceChildren(
      button("← Previous", page - 1, page === 0), make("span", {}, total ? `${from + 1}–${to} of ${total}` : "no rows"),
      button("Next →", page + 1, page >= last), per,
    );
  }

  // What the table lists, in a sentence: which rows, judged how, and whether their protocols differ.
  function sentence(key, rows, view) {
    const protocols = new Set(rows.map(({ row }) => row.protocol));
    if (key === "all") return "Every table, one below the other: rows of different tables do not compare.";
    const [kind, axis, reach] = key.split("|"), ranked = rows.length === 1 ? "row" : "rows";
    const judged = `clean accuracy over ${axis === "clean" ? "the shift's own" : "all"} classes, line of ${view.baseline}`;
    const why = reach === "3" ? "Without a rank, for want of a ranked shift or of a clean accuracy: " : "";
    const beyond = reach === "1" || reach === "2" ? REACH[Number(reach)] : "";
    const which = effrob.view.narrow ? "" : ` (${[...protocols].sort().join(", ")})`;
    const mixed = protocols.size > 1 ? ` Protocols differ${which}: not comparable to the last point.` : "";
    return `${why}${rows.length} ${effrob.ORIGINS[Number(kind)]} ${ranked}: ${judged}${beyond}.${mixed}`;
  }

  let last = [];  // the rows of the table as it stands, sorted, over all its pages
  let each = 50;  // rows a page
  const pageOf = (i) => Math.max(0, Math.floor(last.findIndex((one) => one.i === i) / each));

  function draw(rows, numbers, view, facts, standing, together) {
    // In order of rank rows meet their own group alone, in any other order all that are listed.
    const meeting = (i) => (byRank ? standing[i].group : "all"), protocols = {};
    const mixed = (i) => protocols[meeting(i)].size > 1;
    const made = columns(view, facts, numbers, standing, mixed);
    const column = made.find((each) => each.id === view.sort) ?? made[0];
    const byRank = column.id === "rank", sorted = order(rows, view, standing, column);
    const final = Math.max(0, Math.ceil(sorted.length / view.per) - 1), page = Math.min(view.page, final);
    [last, each] = [sorted, view.per];
    const body = make("tbody");
    for (const { row, i } of sorted) (protocols[meeting(i)] ??= new Set()).add(row.protocol);
    let before = null;
    for (const { row, i } of sorted.slice(page * view.per, (page + 1) * view.per)) {
      const { group } = standing[i];
      if (together && byRank && group !== before) {
        const title = make("span", {}, groupTitle(group, protocols[group]));
        body.append(make("tr", { class: "group" }, make("th", { colspan: made.length, scope: "rowgroup" }, title)));
      }
      before = group;
      const line = make("tr", { "data-row": i, class: row.model === view.model ? "chosen" : null });
      line.append(...made.map((each) => each.cell(row, i)));
      body.append(line);
    }
    const caption = make("caption", { class: "hidden" }, "Models, their accuracies and effective robustness");
    box.replaceChildren(make("table", {}, caption, heading(made, column, view), body));
    pages(view, page, final, sorted.length);
  }

  return { draw, sentence, groupTitle, pageOf };
})();
