// What the data files hand over, and how the page says a number. Knows neither the view nor the document's parts.
"use strict";
const effrob = (() => {
  // Places in the arrays that page_data.py writes: of a row under an analysis, of a cell under one, of an accuracy.
  const J = {
    logit: 0, logitLow: 1, logitHigh: 2, mean: 3, meanLow: 4, meanHigh: 5, ofMean: 6,
    rank: 7, best: 8, worst: 9, reach: 10, axis: 11,
  };
  const C = { points: 0, low: 1, high: 2, wideLow: 3, wideHigh: 4, logit: 5, verdict: 6, extrapolated: 7, q: 8 };
  const A = { accuracy: 0, low: 1, high: 2, clean: 3, n: 4, votes: 5 };

  const loaded = {};  // key of an analysis -> its numbers
  const waiting = {}; // key -> callbacks
  let held = null;    // the board: rows, groups, suites

  function load(suite, key, then) {
    if (loaded[key]) return then(loaded[key]);
    if (waiting[key]) return waiting[key].push(then);
    waiting[key] = [then];
    const script = document.createElement("script");
    script.src = `data/${held.suites[suite].files[key]}`;
    document.head.append(script);
  }

  function analysis(numbers) {
    loaded[numbers.key] = numbers;
    for (const then of waiting[numbers.key] ?? []) then(numbers);
    delete waiting[numbers.key];
  }

  const none = (value) => value === null || value === undefined;
  const sign = (value) => (value < 0 ? "−" : "+");
  const percent = (value, digits = 2) => (none(value) ? "–" : (100 * value).toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1")); // no minus zero
  function points(value, digits = 2) {
    if (none(value)) return "–";
    const size = (100 * Math.abs(value)).toFixed(digits);
    return (Number(size) ? sign(value) : "+") + size; // no minus zero
  }
  const logits = (value, digits = 3) => (none(value) ? "–" : sign(value) + Math.abs(value).toFixed(digits));
  // An interval; in percent with up to two more digits where an end that is not 0 would read as 0, as formatting.py has it.
  const DEEPER = 2, kept = (end, digits) => end === 0 || Number((100 * Math.abs(end)).toFixed(digits)) > 0;
  function between(low, high, say = percent, digits = 1) {
    if (none(low)) return "";
    const enough = say === logits ? digits : [...Array(DEEPER + 1).keys()].map((more) => digits + more).find((d) => kept(low, d) && kept(high, d));
    return `[${say(low, enough ?? digits)}, ${say(high, enough ?? digits)}]`;
  }

  function count(n) {
    if (n >= 1e9) return `${+(n / 1e9).toPrecision(3)} B`;
    return n >= 1e6 ? `${+(n / 1e6).toPrecision(3)} M` : n.toLocaleString("en");
  }

  // What is disputed of a row on some shifts, or on any; null for nothing.
  function disputedIn(row, shifts = Object.keys(row.disputed ?? {})) {
    const said = shifts.flatMap((shift) => row.disputed?.[shift] ?? []);
    return said.length ? said : null;
  }

  // A row of a paper names it in brackets after its model: the table shows the two apart.
  const bracketed = (row) => (row.source.startsWith("published") ? row.model.match(/^(.+) \[(.+)\]$/) : null);
  const shortName = (row) => bracketed(row)?.[1] ?? row.model;
  const reference = (row) => bracketed(row)?.[2] ?? null;

  // In how many analyses at hand a cell has the verdict it has now.
  function survival(row, shift, score) {
    const votes = row.shifts[shift][A.votes];
    return { word: held.verdicts[score[C.verdict]], kept: votes[score[C.verdict]], all: votes.reduce((a, b) => a + b) };
  }

  // A verdict that its own interval gives, and chance too, on a board so long.
  function byChance(score) {
    return ["above", "below"].includes(held.verdicts[score[C.verdict]]) && score[C.q] >= held.rate;
  }

  // An element, its attributes, its children. Text goes in as text nodes, so a name can never become markup.
  function make(tag, facts = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(facts)) {
      if (value === null || value === false) continue;
      if (key === "class") node.className = value;
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => !none(child)));
    return node;
  }

  return {
    J, C, A, load, analysis, percent, points, logits, between, count, survival, byChance, make, shortName, reference, disputedIn,
    board: (value) => { held = value; },
    get data() { return held; },
  };
})();
