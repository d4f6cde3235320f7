// What the data files hand over, and the few computations the page makes of it: the scale, ranks within a protocol, words.
"use strict";
const effrob = (() => {
  const loaded = {};      // key of an analysis -> its numbers
  const waiting = {};     // key -> callbacks
  let held = null;        // the board: rows, groups, suites

  const fileOf = (key) => `data/${key.replaceAll("|", ".").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[.-]+|[.-]+$/g, "").slice(-80)}.js`;

  function load(key, then) {
    if (loaded[key]) return then(loaded[key]);
    if (waiting[key]) return waiting[key].push(then);
    waiting[key] = [then];
    const script = document.createElement("script");
    script.src = fileOf(key);
    document.head.append(script);
  }

  function analysis(numbers) {
    loaded[numbers.key] = numbers;
    for (const then of waiting[numbers.key] ?? []) then(numbers);
    delete waiting[numbers.key];
  }

  // Acklam's rational approximation of the normal quantile, relative error below 1.2e-9: for places on the picture alone.
  function probit(p) {
    const a = [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239];
    const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572];
    const c = [-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783];
    const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];
    const poly = (k, x) => k.reduce((sum, each) => sum * x + each, 0);
    if (p < 0.02425) { const q = Math.sqrt(-2 * Math.log(p)); return poly(c, q) / (poly(d, q) * q + 1); }
    if (p > 1 - 0.02425) return -probit(1 - p);
    const q = p - 0.5, r = q * q;
    return poly(a, r) * q / (poly(b, r) * r + 1);
  }
  const logit = (p) => Math.log(p / (1 - p));
  const onScale = (name) => (p) => (p > 0 && p < 1 ? (name === "probit" ? probit : logit)(p) : null);

  const J = { logit: 0, logitLow: 1, logitHigh: 2, mean: 3, meanLow: 4, meanHigh: 5, ofMean: 6, rank: 7, best: 8, worst: 9, reach: 10, axis: 11 };
  const C = { points: 0, low: 1, high: 2, wideLow: 3, wideHigh: 4, logit: 5, verdict: 6, extrapolated: 7 };
  const A = { accuracy: 0, low: 1, high: 2, clean: 3, n: 4, votes: 5 };

  const points = (value, digits = 2) => (value === null || value === undefined ? "–" : `${value < 0 ? "−" : "+"}${(100 * Math.abs(value)).toFixed(digits)}`);
  const percent = (value, digits = 2) => (value === null || value === undefined ? "–" : (100 * value).toFixed(digits));
  const signed = (value) => (value === null ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`);
  const between = (low, high, digits = 1, say = percent) => (low === null || low === undefined ? "" : `[${say(low, digits)}, ${say(high, digits)}]`);
  const short = (n) => (n >= 1e9 ? `${+(n / 1e9).toPrecision(3)} B` : n >= 1e6 ? `${+(n / 1e6).toPrecision(3)} M` : n.toLocaleString("en"));

  // Where a row stands: rows compare within kind, axis and reach. Ranks of the file count all protocols; within one they are counted here.
  function standings(rows, numbers, protocol) {
    const found = rows.map((row, i) => ({ group: `${row.source === "measured" ? 0 : 1}|${numbers.rows[i][J.axis]}|${numbers.rows[i][J.reach]}`, rank: numbers.rows[i][J.rank] }));
    if (!protocol) return found;
    const kept = rows.map((_, i) => i).filter((i) => rows[i].protocol === protocol && numbers.rows[i][J.logit] !== null);
    kept.sort((i, j) => numbers.rows[j][J.logit] - numbers.rows[i][J.logit]);
    const count = {}, last = {};
    for (const i of kept) {
      const group = found[i].group, value = numbers.rows[i][J.logit];
      count[group] = (count[group] ?? 0) + 1;
      found[i].rank = last[group]?.value === value ? last[group].rank : count[group];
      last[group] = { value, rank: found[i].rank };
    }
    return found;
  }

  return { load, analysis, onScale, standings, points, percent, signed, between, short, J, C, A, board: (value) => { held = value; }, get data() { return held; }, get loaded() { return loaded; } };
})();
