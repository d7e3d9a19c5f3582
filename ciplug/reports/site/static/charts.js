// Charts by uPlot, coloured as the page is, and drawn again when its colours or its width change.
"use strict";

(() => {
  const { colour, number } = window.ciplug;
  const drawn = new Set();
  const HEIGHT = 240;
  const DASHES = [[], [7, 4], [2, 3]];

  const lineColour = (at) => colour(`--line${(at % 8) + 1}`);
  const lineDash = (at) => DASHES[Math.floor(at / 8) % DASHES.length];

  function axes(x) {
    const one = { stroke: colour("--soft"), grid: { stroke: colour("--faint"), width: 1 }, ticks: { stroke: colour("--edge"), width: 1 }, font: "11px system-ui, sans-serif" };
    return [
      { ...one, ...x },
      { ...one, size: 62, values: (plot, ticks) => ticks.map((tick) => number(Number(tick.toPrecision(12)))) },
    ];
  }

  // `make` returns the options and the data of a plot, from its width.
  function keep(target, title, make) {
    const entry = { target, plot: null, width: 0, draw: null };
    entry.draw = () => {
      const width = Math.floor(target.clientWidth);
      if (!width || !target.isConnected) return;
      if (entry.plot) entry.plot.destroy();
      const { options, data } = make(width);
      entry.plot = new window.uPlot({ width, height: HEIGHT, ...options }, data, target);
      entry.width = width;
      const canvas = target.querySelector("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", title);
    };
    drawn.add(entry);
    entry.draw();
    return entry;
  }

  function forget(within) {
    for (const entry of drawn) {
      if (within.contains(entry.target)) {
        if (entry.plot) entry.plot.destroy();
        drawn.delete(entry);
      }
    }
  }

  // Lines over x: `lines` are {label, x, y, at (its colour)}.
  function lines(target, title, those) {
    keep(target, title, () => {
      const tables = those.map((one) => [one.x, one.y.map((value) => Number.isFinite(value) ? value : null)]);
      const series = those.map((one) => ({
        label: one.label,
        stroke: lineColour(one.at),
        dash: lineDash(one.at),
        width: 1.8,
        spanGaps: false,
        points: { show: one.x.length < 13, size: 5 },
        value: (plot, value) => number(value === null ? undefined : value),
      }));
      return {
        data: tables.length === 1 ? tables[0] : window.uPlot.join(tables),
        options: { scales: { x: { time: false } }, axes: axes({}), series: [{ label: "step", value: (plot, value) => number(value === null ? undefined : value) }, ...series] },
      };
    });
  }

  // Points: `groups` are {label, points: [[x, y]], at}; the last ones are drawn over the others.
  function points(target, title, groups, x) {
    keep(target, title, () => {
      const tables = groups.map((group) => {
        const sorted = group.points.slice().sort((one, other) => one[0] - other[0]);
        return sorted;
      });
      // One column of x for all: each group has its values in rows of its own.
      const rows = tables.flatMap((table, at) => table.map((point) => [point[0], point[1], at])).sort((one, other) => one[0] - other[0]);
      const data = [rows.map((row) => row[0]), ...groups.map((group, at) => rows.map((row) => row[2] === at ? row[1] : null))];
      const series = groups.map((group) => ({
        label: group.label,
        stroke: lineColour(group.at),
        paths: () => null,
        points: { show: true, size: group.size || 5, space: 0, fill: lineColour(group.at) },
        value: (plot, value) => number(value === null ? undefined : value),
      }));
      return {
        data,
        options: { tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"), scales: { x: { time: x.time } }, axes: axes({}), series: [{ label: x.label, value: (plot, value) => value === null ? "–" : x.time ? new Date(value * 1000).toISOString().slice(0, 16).replace("T", " ") : number(value) }, ...series] },
      };
    });
  }

  // A metric over commits: `known` has rows [{at, value, commit}], bounds [[y, word]] and marks [{at, word, kind}].
  function history(target, title, known) {
    const commits = new Map(known.rows.map((row) => [row.at, row.commit]));
    keep(target, title, () => {
      const reach = known.bounds.map((bound) => bound[0]);
      return {
        data: [known.rows.map((row) => row.at), known.rows.map((row) => Number.isFinite(row.value) ? row.value : null)],
        options: {
          height: 300,
          scales: {
            x: { time: false },
            y: { range: (plot, low, high) => window.uPlot.rangeNum(Math.min(low ?? Infinity, ...reach), Math.max(high ?? -Infinity, ...reach), 0.1, true) },
          },
          axes: axes({ incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500], values: (plot, ticks) => ticks.map((tick) => commits.has(tick) ? commits.get(tick).slice(0, 8) : ""), space: 70 }),
          series: [
            { label: "commit", value: (plot, value) => value === null || !commits.has(value) ? "–" : commits.get(value) },
            { label: known.metric, stroke: lineColour(0), width: 1.8, points: { show: known.rows.length < 120, size: 5 }, spanGaps: true, value: (plot, value) => number(value === null ? undefined : value) },
          ],
          hooks: { draw: [(plot) => annotate(plot, known)] },
        },
      };
    });
  }

  function annotate(plot, known) {
    const { ctx, bbox } = plot;
    const scale = window.devicePixelRatio || 1;
    ctx.save();
    ctx.font = `${11 * scale}px system-ui, sans-serif`;
    ctx.lineWidth = 1.2 * scale;
    for (const [bound, word] of known.bounds) {
      const y = plot.valToPos(bound, "y", true);
      ctx.strokeStyle = colour("--bad");
      ctx.fillStyle = colour("--soft");
      ctx.setLineDash([2 * scale, 3 * scale]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.textAlign = "end";
      ctx.fillText(word, bbox.left + bbox.width - 4 * scale, y - 4 * scale);
    }
    known.marks.forEach((mark, number) => {
      const x = plot.valToPos(mark.at, "x", true);
      ctx.strokeStyle = colour(mark.kind === "worse" ? "--bad" : mark.kind === "better" ? "--good" : "--odd");
      ctx.fillStyle = colour("--soft");
      ctx.setLineDash(mark.kind === "version" ? [1 * scale, 3 * scale] : [5 * scale, 3 * scale]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const isLeft = x < bbox.left + bbox.width / 2;
      ctx.textAlign = isLeft ? "start" : "end";
      ctx.fillText(mark.word, x + (isLeft ? 4 : -4) * scale, bbox.top + (12 + 14 * (number % 3)) * scale);
    });
    ctx.restore();
  }

  function redraw() {
    for (const entry of drawn) {
      if (entry.target.isConnected) entry.draw();
      else drawn.delete(entry);
    }
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let soon = 0;
  addEventListener("resize", () => {
    clearTimeout(soon);
    soon = setTimeout(() => {
      for (const entry of drawn) if (entry.target.clientWidth !== entry.width) entry.draw();
    }, 150);
  });

  Object.assign(window.ciplug, { lines, points, history, forget, lineColour, lineDash });
})();
