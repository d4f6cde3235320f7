// "Find my model": a name, or part of one, leads to its point in the picture and its row in the ranking it stands in.
"use strict";
effrob.find = (() => {
  const { view, rows, make } = effrob, byId = (id) => document.getElementById(id);
  const OPEN = { q: "", source: "", data: "", group: "", images: "", size: "", head: "", protocol: "", brush: "" };

  // The names to choose from, made when the reader comes to the field: a board has thousands.
  function offer() {
    const names = byId("find-names"), every = Object.values(effrob.data.suites).flatMap((facts) => facts.rows);
    if (names.children.length) return;
    names.replaceChildren(...[...new Set(every.map((row) => row.model))].map((value) => make("option", { value })));
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
    const known = effrob.data.suites, said = byId("find-said");
    const suites = [view.now.suite, ...Object.keys(known)]; // the one that is shown goes first
    const suite = suites.find((each) => known[each] && matching(text.trim(), known[each]).length);
    if (!suite) {
      said.textContent = text.trim() ? `No model here is named so: effrob place gives ${text.trim()} a row.` : "";
      return;
    }
    if (suite !== view.now.suite) view.change({ suite });
    const facts = known[suite], found = matching(text.trim(), facts);
    effrob.load(suite, view.keyOf(view.now), (numbers) => {
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
