// The view: one flat object, written to the address after the #, so that every view has a permalink.
"use strict";
effrob.view = (() => {
  const COLUMNS = {
    training: "Training", images: "Training images", size: "Image size", protocol: "Head, protocol",
    clean: "Clean accuracy", mean: "Means", shifts: "The ranked shifts", accuracy: "Accuracies", verdicts: "Verdicts",
    intervals: "Intervals", diagnostic: "-A (diagnostic)", others: "Other shifts",
  };
  const WIDE = ["training", "protocol", "clean", "mean", "shifts", "accuracy", "verdicts", "intervals"];
  const NARROW = ["clean", "mean"];
  const narrow = matchMedia("(max-width: 760px)").matches;
  const first = Object.keys(effrob.data.suites)[0] ?? null;
  const listeners = [];

  const keyOf = (view) => [view.suite, view.baseline, view.axis, view.scale].join("|");

  function start(suite = first) {
    if (!suite) return { suite };
    const facts = effrob.data.suites[suite];
    const [, baseline, axis, scale] = facts.opens.split("|");
    return {
      suite, baseline, axis, scale, protocol: "", shift: facts.mean ?? facts.shifts[0],
      ranking: "", q: "", source: "", data: "", group: "", images: "", size: "", head: "",
      sort: "rank", down: false, page: 0, per: 50, columns: (narrow ? NARROW : WIDE).join("."),
      model: "", zoom: "", brush: "",
    };
  }

  let now = start();

  function write() {
    const normal = start(now.suite), text = new URLSearchParams();
    for (const [key, value] of Object.entries(now)) {
      const differs = key === "suite" ? value !== first : String(value) !== String(normal[key]);
      if (differs) text.set(key, value);
    }
    const hash = text.toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  // An address may be old or mistyped: what it says of no known suite, shift or analysis is left at its default.
  function read() {
    const text = new URLSearchParams(location.hash.slice(1));
    const suite = effrob.data.suites[text.get("suite")] ? text.get("suite") : first;
    const normal = start(suite), fresh = { ...normal };
    for (const [key, value] of text) {
      if (!(key in normal) || key === "suite") continue;
      if (typeof normal[key] === "number") fresh[key] = Math.max(0, Number.parseInt(value, 10) || 0);
      else fresh[key] = typeof normal[key] === "boolean" ? value === "true" : value;
    }
    if (suite) {
      const facts = effrob.data.suites[suite];
      if (![...facts.shifts, facts.mean].includes(fresh.shift)) fresh.shift = normal.shift;
      if (!facts.files[keyOf(fresh)]) {
        Object.assign(fresh, { baseline: normal.baseline, axis: normal.axis, scale: normal.scale });
      }
      fresh.per = fresh.per || normal.per;
    }
    now = fresh;
  }

  const tell = () => { for (const listen of listeners) listen(now); };

  // Where the picture is zoomed to means nothing on another shift, axis or scale.
  const MOVES = ["suite", "shift", "axis", "scale"];
  // These change which rows there are, or their order: the table starts at its first page again.
  const TURNS = ["ranking", "sort", "down", "per", "q", "source", "data", "group", "images", "size", "head", "protocol", "brush"];

  function change(part) {
    const changed = Object.keys(part).filter((key) => part[key] !== now[key]);
    if (!changed.length) return;
    if (changed.includes("suite")) now = { ...start(part.suite), columns: now.columns };
    else now = { ...now, ...part };
    if (changed.some((key) => MOVES.includes(key)) && !("zoom" in part)) now.zoom = "";
    if (changed.includes("axis") && !("ranking" in part) && now.ranking !== "all") now.ranking = ""; // of the other axis
    if (changed.some((key) => TURNS.includes(key)) && !("page" in part)) now.page = 0;
    write();
    tell();
  }

  function reset() {
    now = { ...start(now.suite), columns: now.columns, per: now.per };
    write();
    tell();
  }

  addEventListener("hashchange", () => { read(); tell(); });
  read();
  return {
    COLUMNS, keyOf, change, reset, narrow,
    get now() { return now; },
    listen: (each) => { listeners.push(each); },
    columns: () => new Set(now.columns.split(".")),
    groups: () => new Set(now.group.split(".").filter(Boolean)),
  };
})();
