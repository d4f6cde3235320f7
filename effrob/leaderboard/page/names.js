// Names beside points: which rows are named, and where each name has room. Pure geometry in pixels; draws nothing.
"use strict";
effrob.names = (() => {
  const CHARACTER = 6.3, LINE = 15; // px of the 11 px type
  const REACH = [[34, -20], [-34, -20], [34, 22], [-34, 22], [0, -34], [0, 36], [64, -38], [-64, -38], [64, 44], [-64, 44]];
  const WIDE = 900, MOST = { narrow: 6, wide: 18 };

  // The chosen model's name has room before all others. Rows that were not published come next, each by its own name; then those that readers look for, in their own order.
  function candidates(spots, model) {
    const chosen = spots.filter(({ row }) => row.model === model).slice(0, 1);
    const rest = spots.filter(({ row }) => row.model !== model);
    const own = rest.filter(({ row }) => effrob.origin(row) !== "published");
    const notable = rest.filter(({ row }) => row.named).sort((a, b) => a.row.named[1] - b.row.named[1]);
    const full = (some) => some.map((spot) => [spot, effrob.shortName(spot.row)]);
    return [...full(chosen), ...full(own), ...notable.map((spot) => [spot, spot.row.named[0]])];
  }

  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

  // Annotations for as many names as have room: the place that covers no other name, fewest points and is near wins.
  function place(spots, model, ranges, margin, box) {
    const width = box.clientWidth - margin.l - margin.r, height = box.clientHeight - margin.t - margin.b;
    const px = (x) => ((x - ranges.x[0]) / (ranges.x[1] - ranges.x[0])) * width;
    const py = (y) => height - ((y - ranges.y[0]) / (ranges.y[1] - ranges.y[0])) * height;
    const points = spots.map(({ x, y }) => [px(x), py(y)]);
    const taken = box.clientWidth < WIDE ? [] : [{ left: 0, right: 400, top: 0, bottom: 46 }]; // the tools
    const made = [], most = box.clientWidth < WIDE ? MOST.narrow : MOST.wide;
    for (const [spot, text] of candidates(spots, model)) {
      if (made.length >= most) break;
      const [x, y] = [px(spot.x), py(spot.y)], half = (text.length * CHARACTER) / 2 + 3;
      if (x < 0 || x > width || y < 0 || y > height) continue;
      let best = null;
      for (const [dx, ay] of REACH) {
        const ax = dx || Math.min(Math.max(x, half), width - half) - x; // above and below it slides to where it fits
        const shift = Math.sign(dx) * half; // a name to the side begins, or ends, near its line
        const at = { left: x + ax + shift - half, right: x + ax + shift + half, top: y + ay - LINE / 2, bottom: y + ay + LINE / 2 };
        if (at.left < 0 || at.right > width || at.top < 0 || at.bottom > height || taken.some((each) => meet(at, each))) continue;
        const covers = points.filter(([a, b]) => a > at.left - 4 && a < at.right + 4 && b > at.top - 4 && b < at.bottom + 4).length;
        const cost = covers + Math.hypot(ax, ay) / 20;
        if (!best || cost < best.cost) best = { at, ax, ay, cost, anchor: Math.sign(dx) };
      }
      if (!best) continue;
      taken.push(best.at);
      made.push({
        x: spot.x, y: spot.y, text, showarrow: true, arrowhead: 0, arrowwidth: 0.8, ax: best.ax, ay: best.ay, standoff: 4,
        xanchor: { 1: "left", 0: "center", "-1": "right" }[best.anchor], borderpad: 0,
        chosen: spot.row.model === model,
      });
    }
    return made;
  }

  return { place };
})();
