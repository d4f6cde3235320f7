// Which rows are shown, what they compare with, and their ranks. Pure: reads data and view, touches no document.
"use strict";
effrob.rows = (() => {
  const { J } = effrob;
  const SIZES = { small: "under 200 px", middle: "200 to 299 px", large: "300 px and more", none: "not stated" };
  const IMAGES = {
    thousands: "up to 10 M", millions: "10 M to 100 M", many: "100 M to 1 B", billions: "over 1 B", none: "not stated",
  };

  function sizeOf({ size }) {
    if (size === null) return "none";
    return size < 200 ? "small" : size < 300 ? "middle" : "large";
  }

  function imagesOf({ images }) {
    if (images === null) return "none";
    if (images <= 1e7) return "thousands";
    return images <= 1e8 ? "millions" : images <= 1e9 ? "many" : "billions";
  }

  // Every filter but the family's, which the legend counts within.
  function passes(row, view, words) {
    if (view.protocol && row.protocol !== view.protocol) return false;
    if (view.source && row.source !== view.source) return false;
    if (view.head && row.head !== view.head) return false;
    if (view.data && (row.trained_on ?? "-") !== view.data) return false;
    if (view.size && sizeOf(row) !== view.size) return false;
    if (view.images && imagesOf(row) !== view.images) return false;
    const text = `${row.model} ${row.trained_on ?? ""} ${row.source} ${row.protocol}`.toLowerCase();
    return words.every((word) => text.includes(word));
  }

  // { rows: shown, counts: family -> rows before the family filter }; each row with its place in the data.
  function kept(view, facts, groups) {
    const words = view.q.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [], counts = {};
    facts.rows.forEach((row, i) => {
      if (!passes(row, view, words)) return;
      counts[row.group] = (counts[row.group] ?? 0) + 1;
      if (!groups.size || groups.has(row.group)) rows.push({ row, i });
    });
    return { rows, counts };
  }

  // Where each row stands. Rows compare within kind, axis and reach of the line; the file's ranks count every protocol,
  // so within one protocol they are counted here, by the file's own rule: equal means share a rank, and the ranks an
  // interval leaves open are those of the rows whose intervals overlap it.
  function standings(facts, numbers, protocol) {
    const found = facts.rows.map((row, i) => {
      const judged = numbers.rows[i], kind = effrob.ORIGINS.indexOf(row.source.split(":")[0]);
      const group = `${kind}|${judged[J.axis]}|${judged[J.reach]}`;
      return { group, rank: judged[J.rank], best: judged[J.best], worst: judged[J.worst] };
    });
    if (protocol) recount(found, facts, numbers, protocol);
    return found;
  }

  function recount(found, facts, numbers, protocol) {
    const groups = {};
    facts.rows.forEach((row, i) => {
      Object.assign(found[i], { rank: null, best: null, worst: null });
      if (row.protocol === protocol && numbers.rows[i][J.logit] !== null) (groups[found[i].group] ??= []).push(i);
    });
    for (const members of Object.values(groups)) {
      const at = (i, name, otherwise) => numbers.rows[i][J[name]] ?? otherwise;
      members.sort((i, j) => at(j, "logit") - at(i, "logit"));
      members.forEach((i, place) => {
        const before = members[place - 1], tied = place > 0 && at(before, "logit") === at(i, "logit");
        const low = at(i, "logitLow", -Infinity), high = at(i, "logitHigh", Infinity);
        found[i].rank = tied ? found[before].rank : place + 1;
        found[i].best = members.filter((j) => at(j, "logitLow", -Infinity) > high).length + 1;
        found[i].worst = members.length - members.filter((j) => at(j, "logitHigh", Infinity) < low).length;
      });
    }
  }

  // Rows that compare, by their key: how many of those listed. `all` is every table together.
  function rankings(listed, standing) {
    const counts = {};
    for (const { i } of listed) counts[standing[i].group] = (counts[standing[i].group] ?? 0) + 1;
    return counts;
  }

  const isWithin = (key) => key.endsWith("|0");
  const most = (counts, keys) => keys.reduce((best, key) => (best && counts[best] >= counts[key] ? best : key), null);

  // The ranking to show: the one asked for, or where none is, or it lists nothing, the one with most rows on this axis.
  function ranking(view, listed, standing) {
    const counts = rankings(listed, standing), keys = Object.keys(counts).sort();
    if (view.ranking === "all" || counts[view.ranking]) return { key: view.ranking, counts };
    const every = rankings(standing.map((each, i) => ({ i })), standing);
    const own = (from) => most(from, Object.keys(from).sort().filter((key) => isWithin(key) && key.split("|")[1] === view.axis));
    const home = own(every);
    if (home && counts[home]) return { key: home, counts };
    return { key: own(counts) ?? most(counts, keys.filter(isWithin)) ?? most(counts, keys) ?? "all", counts };
  }

  const known = (facts, of) => [...new Set(facts.rows.map(of))].sort((a, b) => (a < b ? -1 : 1));

  return { SIZES, IMAGES, kept, standings, ranking, isWithin, known };
})();
