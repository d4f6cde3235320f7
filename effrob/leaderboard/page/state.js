// The view: one object, written to the address after the #, so that every view has a permalink.
"use strict";
effrob.view = (() => {
  const first = Object.keys(effrob.data.suites)[0] ?? null;
  const narrow = matchMedia("(max-width: 720px)").matches;
  const COLUMNS = { training: "Training", protocol: "Head, protocol", size: "Image size", images: "Training images", clean: "Clean accuracy", mean: "Means", shifts: "Four shifts", accuracy: "Accuracies", intervals: "Intervals", verdicts: "Verdicts", diagnostic: "-A (diagnostic)" };
  const shown = narrow ? ["clean", "mean"] : ["training", "protocol", "clean", "mean", "shifts", "accuracy", "intervals", "verdicts"];

  function start(suite = first) {
    const [, baseline, axis, scale] = suite ? effrob.data.suites[suite].analyses[0].split("|") : [];
    const facts = suite ? effrob.data.suites[suite] : { shifts: [] };
    return { suite, baseline, axis, scale, shift: facts.mean ?? facts.shifts[0], protocol: "", q: "", source: "", group: "", images: "", size: "", head: "", sort: "rank", down: false, page: 0, per: 50, columns: shown.join("."), model: "" };
  }

  let now = start();
  const listeners = [];

  function write() {
    const normal = start(now.suite), text = new URLSearchParams();
    for (const [key, value] of Object.entries(now)) if (String(value) !== String(normal[key]) || (key === "suite" && value !== first)) text.set(key, value);
    const hash = text.toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  function read() {
    const text = new URLSearchParams(location.hash.slice(1));
    const suite = effrob.data.suites[text.get("suite")] ? text.get("suite") : first;
    const fresh = start(suite);
    for (const [key, normal] of Object.entries(fresh)) {
      if (!text.has(key) || key === "suite") continue;
      const value = text.get(key);
      fresh[key] = typeof normal === "number" ? Math.max(0, Number.parseInt(value, 10) || normal) : typeof normal === "boolean" ? value === "true" : value;
    }
    const facts = suite ? effrob.data.suites[suite] : null;
    if (facts && ![...facts.shifts, facts.mean].includes(fresh.shift)) fresh.shift = start(suite).shift;
    if (facts && !facts.analyses.includes(keyOf(fresh))) Object.assign(fresh, { baseline: start(suite).baseline, axis: start(suite).axis, scale: start(suite).scale });
    now = fresh;
  }

  const keyOf = (view) => [view.suite, view.baseline, view.axis, view.scale].join("|");

  function change(part) {
    if (part.suite && part.suite !== now.suite) now = { ...start(part.suite), columns: now.columns };
    now = { ...now, page: 0, ...part };
    write();
    for (const listen of listeners) listen(now, part);
  }

  addEventListener("hashchange", () => { read(); for (const listen of listeners) listen(now, now); });
  read();
  return { get now() { return now; }, change, reset: () => { now = { ...start(now.suite), columns: now.columns }; change({}); }, listen: (each) => listeners.push(each), keyOf, COLUMNS, columns: () => new Set(now.columns.split(".")) };
})();
