// What is known of the chosen model, for those who cannot hover: one line a row of it.
"use strict";
effrob.picked = (() => {
  const { J, C, A, make } = effrob;
  const box = document.getElementById("picked");

  const within = (value, low, high) => `${effrob.points(value)} ${effrob.between(low, high, effrob.points)}`;

  const rate = (q) => (q === null ? "–" : q < 1e-12 ? "under 1e-12" : q.toPrecision(2));

  function ofMean(row, judged) {
    return [
      ["Mean of the ranked shifts", `${effrob.percent(row.mean)} %`],
      ["Clean, all classes", `${effrob.percent(row.clean[0])} %`],
      ["Effective robustness of the mean", effrob.points(judged[J.ofMean])],
      ["Mean effective robustness", within(judged[J.mean], judged[J.meanLow], judged[J.meanHigh])],
      ["Logit mean", effrob.logits(judged[J.logit])],
    ];
  }

  function ofShift(row, i, numbers, view, facts) {
    const cell = row.shifts[view.shift], score = numbers.cells[view.shift][i];
    const axis = numbers.rows[i][J.axis], [clean] = effrob.place.accuracies(row, view.shift, axis, facts);
    const pairs = [
      [facts.labels[view.shift], `${effrob.percent(cell[A.accuracy])} % ${effrob.between(cell[A.low], cell[A.high])}`],
      [`Clean, ${axis === "clean" ? "the shift's" : "all"} classes`, `${effrob.percent(clean)} %`],
    ];
    if (!score) return pairs;
    const { word, kept, all } = effrob.survival(row, view.shift, score);
    const beyond = score[C.extrapolated] ? "; extrapolated" : "";
    const chance = effrob.byChance(score) ? " alone, not among so many" : "";
    return [
      ...pairs,
      ["Effective robustness", within(score[C.points], score[C.low], score[C.high])],
      ["With the scatter of baseline models", effrob.between(score[C.wideLow], score[C.wideHigh], effrob.points)],
      ["Verdict", `${word.replace("-", " ")}${chance}, in ${kept} of ${all} analyses${beyond}`],
      ["False discovery rate (q)", rate(score[C.q])],
    ];
  }

  function list(row, i, view, facts, numbers, standing) {
    const mean = view.shift === facts.mean, has = mean ? row.mean !== null : row.shifts[view.shift];
    const rank = standing[i].rank === null ? "no rank" : `rank ${standing[i].rank}`;
    const head = row.prompts ? `${row.head}, ${row.prompts}` : row.head, size = row.size ? `${row.size} px` : null;
    const how = [row.source, head, `protocol ${row.protocol}`, size, rank].filter(Boolean).join(" · ");
    const said = make("div", {}, make("p", { class: "how" }, how));
    if (!has) {
      said.append(make("p", { class: "note" }, `No accuracy on ${facts.labels[view.shift]}.`));
      return said;
    }
    const disputed = effrob.disputedIn(row, mean ? facts.four : [view.shift]) ?? [];
    const pairs = mean ? ofMean(row, numbers.rows[i]) : ofShift(row, i, numbers, view, facts);
    const items = pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
    said.append(make("dl", {}, ...items));
    for (const each of disputed) said.append(make("p", { class: "note" }, `† ${each}`));
    return said;
  }

  function draw(view, facts, numbers, standing) {
    const rows = view.model ? facts.rows.flatMap((row, i) => (row.model === view.model ? [{ row, i }] : [])) : [];
    box.hidden = !rows.length;
    if (!rows.length) return box.replaceChildren();
    const title = make("h3", {}, make("a", { href: `models/${rows[0].row.page}` }, view.model));
    const close = make("button", { type: "button", id: "unpick", "aria-label": "Let go of this model" }, "✕");
    const { trained_on: trained } = rows[0].row;
    const card = make("p", { class: "note" }, trained ? `Trained on ${trained}` : "Training not stated");
    const lists = rows.map(({ row, i }) => list(row, i, view, facts, numbers, standing));
    box.replaceChildren(make("div", { class: "bar" }, title, close), card, ...lists);
  }

  return { draw };
})();
