// Charts by uPlot, coloured as the page is, and drawn again when its colours or its width change.
"use strict";

(() => {
  const { colour, number } = window.ciplug;
  const drawn = new Set();
  const HEIGHT = 240;
  const DASHES = [[], [7, 4], [2, 3]];

  // Steps and commits are whole numbers.
  const WHOLE = [...Array(10).keys()].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));

  const lineColour = (at) => colour(`--line${(at % 8) + 1}`);
  const lineDash = (at) => DASHES[Math.floor(at / 8) % DASHES.length];

  function axes(x) {
    const one = { stroke: colour("--soft"), grid: { stroke: colour("--faint"), width: 1 }, ticks: { stroke: colour("--edge"), width: 1 }, font: "11px system-ui, sans-serif" };
    const values = (plot, ticks) => ticks.map((tick) => number(Number(tick.toPrecision(12))));
    return [
      { ...one, space: 80, values, ...x },
      { ...one, size: 62, values },
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
      // Until somebody points at the chart, the legend has the last value of each line.
      const last = data.map((column) => column.findLastIndex((value) => value !== null && value !== undefined));
      const isLive = !options.legend;
      const hooks = isLive ? { ...options.hooks, setCursor: [(plot) => { if (plot.cursor.idx === null || plot.cursor.left < 0) plot.setLegend({ idxs: last }, false); }] } : options.hooks;
      entry.plot = new window.uPlot({ width, height: HEIGHT, ...options, hooks }, data, target);
      if (isLive) entry.plot.setLegend({ idxs: last }, false);
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

  // A value of a line in the legend: of the nearest step that the line has, which is named where it is another one.
  function atItsStep(plot, value, series, at) {
    if (value === null || value === undefined) return "–";
    const step = plot.data[0][at];
    return at === plot.legend.idxs[0] || step === undefined ? number(value) : `${number(value)} (step ${number(step)})`;
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
        value: atItsStep,
      }));
      return {
        data: tables.length === 1 ? tables[0] : window.uPlot.join(tables),
        options: { scales: { x: { time: false } }, axes: axes({ incrs: WHOLE }), series: [{ label: "step", value: (plot, value) => number(value === null ? undefined : value) }, ...series] },
      };
    });
  }

  const NEAR = 14;

  // Points: `groups` are {label, points: [[x, y, words, id]], at (its colour; null: none of its own)}; the last ones
  // are drawn over the others. `pick` is called with the id of a point that is clicked.
  function points(target, title, groups, x, pick) {
    const own = (group) => group.at === null ? colour("--soft") : lineColour(group.at);
    const tip = window.ciplug.element("div", { class: "tip", hidden: true });
    const every = groups.flatMap((group) => group.points);
    const pointedAt = (plot) => {
      let best = null, least = NEAR;
      for (const point of every) {
        const far = Math.hypot(plot.valToPos(point[0], "x") - plot.cursor.left, plot.valToPos(point[1], "y") - plot.cursor.top);
        if (far <= least) [best, least] = [point, far];
      }
      return best;
    };
    const point = (plot) => {
      const one = plot.cursor.left >= 0 ? pointedAt(plot) : null;
      tip.hidden = !one;
      plot.over.classList.toggle("pointed", Boolean(one));
      if (!one) return;
      tip.textContent = one[2];
      plot.over.append(tip);
      const left = plot.valToPos(one[0], "x"), isLeft = left < plot.over.clientWidth / 2;
      tip.style.left = isLeft ? `${left + 8}px` : "auto";
      tip.style.right = isLeft ? "auto" : `${plot.over.clientWidth - left + 8}px`;
      tip.style.top = `${Math.max(0, plot.valToPos(one[1], "y") - 30)}px`;
    };
    keep(target, title, () => {
      // One column of x for all: each group has its values in rows of its own.
      const rows = groups.flatMap((group, at) => group.points.map((one) => [one[0], one[1], at])).sort((one, other) => one[0] - other[0]);
      const data = [rows.map((row) => row[0]), ...groups.map((group, at) => rows.map((row) => row[2] === at ? row[1] : null))];
      const series = groups.map((group) => ({
        label: group.label,
        stroke: own(group),
        paths: () => null,
        points: { show: true, size: group.size || 5, space: 0, fill: own(group) },
      }));
      const click = (plot) => {
        const one = pointedAt(plot);
        if (one) pick(one[3]);
      };
      return {
        data,
        options: {
          legend: { live: false },
          cursor: { points: { show: false }, drag: { x: false, y: false } },
          hooks: { setCursor: [point], ready: [(plot) => plot.over.addEventListener("click", () => click(plot))] },
          tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
          scales: { x: { time: x.time, range: (plot, low, high) => padded(low, high) } },
          axes: axes(x.time ? { space: 90, values: moments } : {}),
          series: [{ label: x.label }, ...series],
        },
      };
    });
  }

  // A point at the end of an axis is drawn whole.
  function padded(low, high) {
    const room = (high - low) * 0.03 || Math.abs(low) * 0.03 || 1;
    return [low - room, high + room];
  }

  // Times of an axis, as the rest of the page has them: a day, the minute within it, or the second.
  const moments = (plot, ticks, axis, space, step) => ticks.map((tick) => {
    const text = new Date(tick * 1000).toISOString();
    if (step >= 86400) return text.slice(0, 10);
    return step >= 60 ? text.slice(5, 16).replace("T", " ") : text.slice(11, step >= 1 ? 19 : 23);
  });

  // A metric over commits: `known` has rows [{at, value, commit}], bounds [[y, word]] and marks [{at, word, kind}].
  function history(target, title, known) {
    const commits = new Map(known.rows.map((row) => [row.at, row.commit]));
    keep(target, title, () => {
      const reach = known.bounds.map((bound) => bound[0]);
      return {
        data: [known.rows.map((row) => row.at), known.rows.map((row) => Number.isFinite(row.value) ? row.value : null)],
        options: {
          height: 300,
          padding: [null, 36, null, null],
          scales: {
            x: { time: false },
            y: { range: (plot, low, high) => window.uPlot.rangeNum(Math.min(low ?? Infinity, ...reach), Math.max(high ?? -Infinity, ...reach), 0.1, true) },
          },
          axes: axes({ incrs: WHOLE, values: (plot, ticks) => ticks.map((tick) => commits.has(tick) ? commits.get(tick).slice(0, 8) : ""), space: 70 }),
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
