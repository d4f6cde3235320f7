// "Find my model": a name, or part of one, leads to its point in the picture and its row in the ranking it stands in.
"use strict";
effrob.find = (() => {
  const { view, rows, make } = effrob, byId = (id) => document.getElementById(id);
  const OPEN = { q: "", source: "", data: "", group: "", images: "", size: "", head: "", protocol: "", brush: "" };

  // The names to choose from, made when the reader comes to the field: a board has thousands.
  function offer() {
    const facts = effrob.data.suites[view.now.suite], names = byId("find-names");
    if (names.dataset.suite === view.now.suite) return;
    names.dataset.suite = view.now.suite;
    names.replaceChildren(...[...new Set(facts.rows.map((row) => row.model))].map((value) => make("option", { value })));
  }

  // Rows of the model whose name is the text, else of the shortest name that holds every word of it.
  function matching(text, facts) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean), all = facts.rows.map((row, i) => ({ row, i }));
    const exact = all.filter(({ row }) => [row.model, row.named?.[0]].some((name) => name?.toLowerCase() === text.toLowerCase()));
    if (exact.length || !words.length) return exact;
    const held = all.filter(({ row }) => words.every((word) => `${row.model} ${row.named?.[0] ?? ""}`.toLowerCase().includes(word)));
    held.sort((a, b) => a.row.model.length - b.row.model.length);
    return held.filter(({ row }) => row.model === held[0].row.model);
  }

  function go(text) {
    const facts = effrob.data.suites[view.now.suite], found = matching(text.trim(), facts), said = byId("find-said");
    if (!found.length) {
      said.textContent = text.trim() ? `No model here is named so: effrob place gives ${text.trim()} a row.` : "";
      return;
    }
    effrob.load(view.now.suite, view.keyOf(view.now), (numbers) => {
      const standing = rows.standings(facts, numbers, "");
      const { i, row } = found.find(({ i: at }) => standing[at].rank !== null) ?? found[0];
      view.change({ ...OPEN, model: row.model, ranking: standing[i].group, sort: "rank", down: false });
      view.change({ page: effrob.table.pageOf(i) });
      const { rank } = standing[i], among = found.length > 1 ? `; ${found.length} rows` : "";
      said.textContent = `${rank === null ? "Without a rank" : `Rank ${rank}`}${among}`;
      const line = byId("table").querySelector(`tr[data-row="${i}"]`);
      if (line) byId("table").scrollTop = line.offsetTop - byId("table").clientHeight / 2;
      byId("picture").scrollIntoView({ block: "start" });
    });
  }

  function listen() {
    byId("find-name").addEventListener("focus", offer);
    byId("find").addEventListener("submit", (event) => {
      event.preventDefault();
      go(byId("find-name").value);
    });
    byId("find-name").addEventListener("input", (event) => {
      if (event.inputType === "insertReplacementText" || !event.inputType) go(event.target.value); // chosen from the list
    });
  }

  return { listen };
})();
