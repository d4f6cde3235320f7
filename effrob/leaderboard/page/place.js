// Where things lie in the picture: scales, ticks, ranges, what a brush holds. Pure geometry, no drawing.
"use strict";
effrob.place = (() => {
  const { A } = effrob;

  // Acklam's rational approximation of the normal quantile, relative error below 1.2e-9: for the picture alone.
  const TAIL = 0.02425;
  const [NA, NB, NC, ND] = [
    [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239],
    [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572],
    [-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
      2.938163982698783],
    [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416],
  ];
  const poly = (factors, x) => factors.reduce((sum, each) => sum * x + each, 0);

  function probit(p) {
    if (p > 1 - TAIL) return -probit(1 - p);
    if (p < TAIL) {
      const q = Math.sqrt(-2 * Math.log(p));
      return poly(NC, q) / (poly(ND, q) * q + 1);
    }
    const q = p - 0.5, r = q * q;
    return (poly(NA, r) * q) / (poly(NB, r) * r + 1);
  }
  const logit = (p) => Math.log(p / (1 - p));

  // A scale as a function of an accuracy; null at 0 and 1, which have no place on it.
  const onScale = (name) => (p) => (p > 0 && p < 1 ? (name === "probit" ? probit : logit)(p) : null);

  // [clean accuracy, accuracy under shift] of a row, null where it has none. A mean stands on all classes.
  function accuracies(row, shift, axis, facts) {
    if (shift === facts.mean) return [row.clean[0], row.mean];
    const cell = row.shifts[shift];
    if (!cell) return [null, null];
    return [axis === "clean" ? cell[A.clean] : row.clean[0], cell[A.accuracy]];
  }

  // The same on a scale, or null.
  function spot(row, shift, axis, to, facts) {
    const [x, y] = accuracies(row, shift, axis, facts);
    if (x === null || y === null || to(x) === null || to(y) === null) return null;
    return [to(x), to(y)];
  }

  // Round accuracies, the roundest first, then ever finer ones for a picture zoomed far in.
  const ROUND = [0.5, 0.1, 0.9, 0.01, 0.99, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6, 0.95, 0.05, 0.98, 0.02, 0.001, 0.999, 0.995];
  const every = (n) => Array.from({ length: n - 1 }, (_, i) => (i + 1) / n);
  const LEVELS = [[...ROUND, ...every(20)], every(100), every(200), every(500), every(1000), every(2000)];
  const ENOUGH = 5;

  function ticks(to, [low, high], most) {
    const apart = (high - low) / most, kept = [];
    for (const level of LEVELS) {
      for (const tick of level) {
        const at = to(tick), clear = kept.every((other) => Math.abs(to(other) - at) >= apart);
        if (at >= low && at <= high && clear) kept.push(tick);
      }
      if (kept.length >= ENOUGH) break;
    }
    kept.sort((a, b) => a - b);
    return { tickvals: kept.map(to), ticktext: kept.map((tick) => String(+(100 * tick).toPrecision(5))) };
  }

  const AIR = 0.15; // of the scale, around the outermost points
  function range(values) {
    return values.length ? [Math.min(...values) - AIR, Math.max(...values) + AIR] : [-2, 2];
  }

  const numbersOf = (text) => text.split(",").map(Number);
  const short = (values) => values.map((value) => +value.toFixed(3)).join();

  // zoom: "x0,x1,y0,y1" on the scale; null where the text is no such thing.
  function zoomOf(text) {
    const [x0, x1, y0, y1] = numbersOf(text);
    return [x0, x1, y0, y1].every(Number.isFinite) && x0 < x1 && y0 < y1 ? { x: [x0, x1], y: [y0, y1] } : null;
  }

  // brush: "shift~axis~scale~x,y,x,y,…": a polygon with the picture it was drawn in, so that it can be followed to another.
  function brushOf(text, facts) {
    const [shift, axis, scale, ends] = text.split("~");
    const flat = numbersOf(ends ?? "");
    if (flat.length < 6 || !flat.every(Number.isFinite) || ![...facts.shifts, facts.mean].includes(shift)) return null;
    const corners = flat.slice(0, flat.length - (flat.length % 2)).reduce((made, value, i) => {
      if (i % 2) made[made.length - 1].push(value);
      else made.push([value]);
      return made;
    }, []);
    return { shift, axis, scale, corners };
  }

  // The even-odd rule.
  function inside([x, y], corners) {
    let within = false;
    corners.forEach(([ax, ay], i) => {
      const [bx, by] = corners[(i + corners.length - 1) % corners.length];
      if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
    });
    return within;
  }

  // The places in the data of the rows a brush holds, or null without a brush.
  function brushed(text, facts) {
    const brush = text ? brushOf(text, facts) : null;
    if (!brush) return null;
    const to = onScale(brush.scale), held = new Set();
    facts.rows.forEach((row, i) => {
      const at = spot(row, brush.shift, brush.axis, to, facts);
      if (at && inside(at, brush.corners)) held.add(i);
    });
    return held;
  }

  return { onScale, accuracies, ticks, range, zoomOf, brushOf, brushed, short };
})();
