// The table of runs: it is shown as soon as the last runs are there, and the others follow.
"use strict";

(async () => {
  const { element, load, number, words, byName, points, forget, drawing, lineColour } = window.ciplug;
  const ROWS = 50;
  const CHOSEN_MOST = 8;
  const SHOWN_METRICS = 4;
  const LINES_MOST = 500;
  const POINTS_MOST = 5000;
  const AXES_MOST = 8;
  const AT_ONCE = 4;
  const CHOICES_MOST = 60;
  const SWEEP_PARAMS = 8;
  const SWEEP_METRICS = 6;
  const page = Object.fromEntries(["model", "search", "deleted", "children", "advice", "sweep", "status", "runs", "more", "columns", "parallel", "scatter", "across", "up", "chosen"].map((id) => [id, document.getElementById(id)]));
  const FIXED = [["run", "id"], ["model", "model"], ["commit", "commit"], ["branch", "branch"], ["status", "status"], ["started (UTC)", "started"]];
  const LAST = [["by", "actor"]];

  const site = await ciplug.site;
  const runs = new ciplug.Runs(site);
  const details = new Map(site.details);
  const gated = new Map(site.gated);
  const directions = new Map(site.directions);
  const counting = new Map(site.counting);
  const state = { said: "", sweep: null, filter: "", folded: 0, advice: [], key: { kind: "attribute", name: "started" }, descending: true, order: [], found: [], rows: ROWS, columns: [], asked: false, chosen: [], loaded: 0, failed: 0 };

  const sameKey = (one, other) => one.kind === other.kind && one.name === other.name;

  const gatedOf = (models) => [...new Set((models.length ? models : [...gated.keys()]).flatMap((model) => gated.get(model) || []))];

  // The metrics to show first: those with gates, then those that most pieces have.
  function usual() {
    if (state.sweep) return state.sweep.columns;
    const model = page.model.value;
    const own = gatedOf(model ? [model] : []);
    const common = runs.names("metric");
    const first = own.filter((name) => common.has(name));
    const sample = (model || page.search.value ? state.found : state.order).slice(0, ROWS);
    const counts = new Map();
    for (const handle of sample) for (const [name] of runs.entries("metric", handle)) counts.set(name, (counts.get(name) || 0) + 1);
    const rest = [...counts.keys()].filter((name) => !first.includes(name)).sort((one, other) => counts.get(other) - counts.get(one) || byName(one, other));
    return [...first, ...rest].slice(0, SHOWN_METRICS).map((name) => ({ kind: "metric", name }));
  }

  // A cell; `kind` is its class where its column has numbers.
  function cell(handle, key, kind, title) {
    const value = runs.get(handle, key);
    if (key.kind !== "attribute") return element("td", { class: `value ${kind}`, "data-label": title, title: typeof value === "string" ? value : null }, number(value));
    if (key.name === "id") {
      const name = runs.attribute(handle, "name");
      return element("td", { title: name || null }, element("code", null, value.slice(0, 12)), name ? ` ${name}` : "");
    }
    if (key.name === "status") return element("td", { class: "marks" }, ...marks(handle));
    if (key.name === "commit") return element("td", { class: "tight", "data-label": title }, element("code", null, value ? value.slice(0, 8) : "–"));
    if (key.name === "started") return element("td", { class: "tight", "data-label": "started" }, value ? value.slice(0, 16).replace("T", " ") : "no time known");
    if (key.name === "actor") return element("td", { title: value || null, "data-label": title }, runs.starter(handle));
    return element("td", { title: value || null, "data-label": title }, value || "–");
  }

  function marks(handle) {
    const [status, ...others] = runs.marks(handle);
    const look = { failed: "FAIL", killed: "FAIL", unknown: "WARN" }[status] || "";
    const badges = [element("span", { class: `badge ${look}` }, status), ...others.flatMap((mark) => [" ", element("span", { class: "badge WARN" }, mark)])];
    const id = runs.attribute(handle, "id"), count = runs.children(handle);
    if (state.sweep && state.sweep.best === id) badges.unshift(element("span", { class: "badge PASS" }, "best"), " ");
    if (count) badges.push(" ", element("a", { class: "badge", href: `#${asFragment({ model: page.model.value, q: `parent:${id.slice(0, 12)}` })}` }, `+${words(count, "child", "children")}`));
    return badges;
  }

  const asFragment = (values) => Object.entries(values).filter(([, value]) => value).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");

  function header(words, key, number) {
    const isBy = sameKey(state.key, key);
    const press = element("button", { type: "button", class: "sort", "data-key": `${key.kind} ${key.name}`, title: words.length > 20 ? words : null, onclick: () => sortBy(key) }, isBy ? (state.descending ? "↓ " : "↑ ") : "", words);
    return element("th", { scope: "col", class: number, "aria-sort": isBy ? (state.descending ? "descending" : "ascending") : null }, press);
  }

  function sortBy(key) {
    state.descending = sameKey(state.key, key) ? !state.descending : key.kind !== "attribute" || key.name === "started";
    state.key = key;
    state.order = runs.ordered(state.key, state.descending);
    refresh();
    const press = [...page.runs.querySelectorAll("button.sort")].find((one) => one.dataset.key === `${key.kind} ${key.name}`);
    if (press) press.focus();
  }

  // `fromChart`: the reader is at a chart, and stays there.
  function choose(handle, isChosen, fromChart) {
    const id = runs.attribute(handle, "id");
    state.chosen = state.chosen.filter((one) => one !== id);
    if (isChosen) state.chosen.push(id);
    const dropped = state.chosen.splice(0, Math.max(0, state.chosen.length - CHOSEN_MOST));
    state.said = dropped.map((one) => ` ${CHOSEN_MOST} runs stand side by side at most: ${one.slice(0, 12)} is no longer chosen.`).join("");
    tell();
    showChosen();
    drawTable();
    const box = page.runs.querySelector(`input[data-run="${CSS.escape(id)}"]`);
    if (box && !fromChart) box.focus();
    drawOpen();
  }

  function showChosen() {
    const handles = chosenNow();
    remember();
    const models = handles.map((handle) => runs.attribute(handle, "model"));
    return ciplug.showChosen(page.chosen, runs, handles, details, gatedOf(models), () => {
      state.chosen = [];
      showChosen();
      drawTable();
      drawOpen();
      page.search.focus();
    });
  }

  function remember() {
    ciplug.remember({ model: page.model.value, q: page.search.value, chosen: state.chosen.join(",") });
  }

  function drawTable() {
    const own = (pairs) => pairs.map(([title, name]) => [title, { kind: "attribute", name }]);
    // The runs of a sweep have the rest in common.
    const [before, after] = state.sweep ? [FIXED.filter(([, name]) => ["id", "status"].includes(name)), []] : [FIXED, LAST];
    const keys = [...own(before), ...state.columns.map((key) => [key.name, key]), ...own(after)];
    const shown = state.found.slice(0, state.rows);
    const kinds = keys.map(([, key]) => key.kind === "metric" || (key.kind === "param" && shown.some((handle) => typeof runs.get(handle, key) === "number")) ? "number" : "");
    const headers = [element("td", null), ...keys.map(([words, key], at) => header(words, key, kinds[at]))];
    const rows = shown.map((handle) => {
      const id = runs.attribute(handle, "id");
      const isChosen = state.chosen.includes(id);
      const box = element("input", { type: "checkbox", "data-run": id, "aria-label": `choose ${id.slice(0, 12)}`, onchange: (event) => choose(handle, event.target.checked) });
      box.checked = isChosen;
      const gone = ["deleted", "withdrawn", "unread"].includes(runs.standing(handle));
      return element("tr", { class: `${isChosen ? "chosen" : ""}${gone ? " gone" : ""}` }, element("td", { class: "box-cell" }, box), ...keys.map(([title, key], at) => cell(handle, key, kinds[at], title)));
    });
    ciplug.fill(page.runs, headers, rows);
    page.more.hidden = state.found.length <= state.rows;
  }

  function search() {
    const chosen = { model: page.model.value, deleted: page.deleted.checked, children: page.children.checked };
    Object.assign(state, runs.search(state.order, page.search.value, chosen));
    findSweep();
  }

  // The sweep that is searched for: what differs between its runs, and which is the best.
  function findSweep() {
    const asked = /^\s*parent:\s*([0-9a-f]+)\s*$/i.exec(page.search.value);
    const parents = new Set(asked ? state.found.map((handle) => runs.attribute(handle, "parent")) : []);
    const before = state.sweep && state.sweep.parent;
    if (parents.size !== 1) {
      state.sweep = null;
      if (before) order({ kind: "attribute", name: "started" }, true);
      return;
    }
    const [parent] = parents;
    const model = runs.attribute(state.found[0], "model");
    const has = (kind, name) => state.found.some((handle) => runs.get(handle, { kind, name }) !== undefined);
    const named = (kind) => [...new Set(state.found.flatMap((handle) => runs.entries(kind, handle).map(([name]) => name)))].sort(byName);
    const params = named("param").filter((name) => new Set(state.found.map((handle) => runs.get(handle, { kind: "param", name }))).size > 1);
    const [metric, higher] = (directions.get(model) || []).find(([name]) => has("metric", name)) || [null, null];
    const first = [...new Set([metric, ...gatedOf([model])])].filter((name) => name && has("metric", name));
    const metrics = [...first, ...named("metric").filter((name) => !first.includes(name))].slice(0, SWEEP_METRICS);
    if (before !== parent) {
      state.asked = false;
      page.parallel.open = true;
      if (metric) order({ kind: "metric", name: metric }, higher);
    }
    const value = (handle) => runs.get(handle, { kind: "metric", name: metric });
    const fit = metric ? state.found.filter((handle) => Number.isFinite(value(handle)) && runs.attribute(handle, "status") === "finished" && !runs.standing(handle)) : [];
    // Of equal ones the last, as in the terminal.
    const started = (handle) => runs.attribute(handle, "started") || "";
    const isBetter = (one, other) => value(one) === value(other) ? started(one) > started(other) : higher ? value(one) > value(other) : value(one) < value(other);
    const best = fit.reduce((one, other) => !one || isBetter(other, one) ? other : one, null);
    state.sweep = {
      parent, metric, higher,
      best: best && runs.attribute(best, "id"),
      columns: [...params.slice(0, SWEEP_PARAMS).map((name) => ({ kind: "param", name })), ...metrics.map((name) => ({ kind: "metric", name }))],
    };
    if (!state.asked) state.columns = state.sweep.columns;
  }

  // Put the runs that were found, and all others, into another order.
  function order(key, descending) {
    Object.assign(state, { key, descending, order: runs.ordered(key, descending) });
    const found = new Set(state.found);
    state.found = state.order.filter((handle) => found.has(handle));
  }

  function showSweep() {
    page.sweep.hidden = !state.sweep;
    if (!state.sweep) return;
    const { parent, metric, higher, best } = state.sweep;
    const handle = runs.find(parent), id = (one) => element("code", null, one.slice(0, 12));
    const commit = handle && runs.attribute(handle, "commit");
    const counts = counting.get(parent);
    const who = counts === undefined ? [] : counts === null ? ["no run counts"] : counts === parent ? ["the run that started them counts, with its own metrics"] : [state.found.some((one) => runs.attribute(one, "id") === counts) ? "one of these counts, " : "another run counts, ", id(counts)];
    page.sweep.replaceChildren(
      element("strong", null, `${words(state.found.length, "child run")} of `), element("a", { href: `#${asFragment({ chosen: parent })}` }, id(parent)),
      handle && runs.attribute(handle, "name") ? ` ${runs.attribute(handle, "name")}` : "",
      metric ? `, by ${metric}, ${higher ? "higher" : "lower"} is better` : ", without a best one: no gate names a direction",
      ...(best ? ["; the best is ", id(best)] : []), ".",
      ...(commit && who.length ? [" For commit ", element("code", null, commit.slice(0, 8)), " ", ...who, "."] : []));
  }

  function tell() {
    const loading = state.loaded < site.pieces.length ? ` ${runs.handles.length.toLocaleString("en")} of ${words(site.runs, "run")} loaded.` : "";
    const failed = state.failed ? ` ${words(state.failed, "part")} of the data cannot be loaded.` : "";
    const found = page.search.value || page.model.value ? `${words(state.found.length, "run")} found` : words(state.found.length, "run");
    const folded = state.folded ? `, and ${words(state.folded, "child run")} of them` : "";
    const unknown = loading ? [] : state.chosen.filter((id) => runs.find(id) === undefined);
    const absent = unknown.length ? ` Not in this site: ${unknown.map((id) => id.slice(0, 12)).join(", ")}.` : "";
    page.status.textContent = `${found}${folded}.${loading}${failed}${absent}${state.said}`;
    page.advice.hidden = !state.advice.length;
    page.advice.replaceChildren(...state.advice.map((text) => element("span", null, `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith("?") ? "" : "."} `)));
  }

  // `isNew`: whether other runs may be there than before, so that other metrics may be the usual ones.
  function refresh(isNew) {
    const before = state.sweep && state.sweep.parent;
    search();
    const isOther = before !== (state.sweep && state.sweep.parent);
    if ((isNew || isOther) && !state.asked) state.columns = usual();
    drawTable();
    showSweep();
    tell();
    drawOpen();
  }

  // Charts

  const chosenNow = () => state.chosen.map((id) => runs.find(id)).filter((handle) => handle !== undefined);

  function axesOf(handles) {
    const found = [];
    for (const kind of ["param", "metric"]) {
      const names = [...new Set(handles.slice(0, LINES_MOST).flatMap((handle) => runs.entries(kind, handle).map(([name]) => name)))].sort(byName);
      for (const name of names) {
        const values = handles.map((handle) => runs.get(handle, { kind, name })).filter((value) => value !== undefined && value === value);
        const different = new Set(values);
        const isNumeric = values.every((value) => typeof value === "number");
        if (different.size < 2 || (!isNumeric && different.size > 20)) continue;
        found.push({ kind, name, isNumeric, different: [...different].sort() });
      }
    }
    const shown = state.columns.filter((key) => key.kind !== "attribute");
    const preferred = (axis) => shown.some((key) => sameKey(key, axis)) ? 0 : 1;
    const kept = found.map((axis, at) => ({ axis, at })).sort((one, other) => preferred(one.axis) - preferred(other.axis) || one.at - other.at).slice(0, AXES_MOST);
    return kept.sort((one, other) => one.at - other.at).map(({ axis }) => axis);
  }

  function drawParallel() {
    const target = page.parallel.querySelector(".drawing");
    const handles = state.found.slice(0, LINES_MOST);
    const axes = axesOf(handles);
    const note = page.parallel.querySelector("p");
    target.replaceChildren();
    if (axes.length < 2) {
      note.textContent = "Fewer than two parameters and metrics differ among these runs.";
      return;
    }
    note.textContent = state.found.length > handles.length ? `The first ${handles.length} of ${words(state.found.length, "run")}, in the order of the table.` : `${words(handles.length, "run")}. The colour is that of ${axes.at(-1).name}: from blue, the lowest, to red. A run has a gap where it has no value. A click chooses a run.`;
    const width = Math.max(page.parallel.clientWidth, 130 * axes.length), height = 280, top = 34, bottom = 22, side = 62;
    const x = (at) => side + (width - 2 * side) * at / (axes.length - 1);
    const scales = axes.map((axis) => {
      const numbers = axis.isNumeric ? handles.map((handle) => runs.get(handle, axis)).filter(Number.isFinite) : [];
      const low = axis.isNumeric ? numbers.reduce((a, b) => Math.min(a, b), Infinity) : 0;
      const high = axis.isNumeric ? numbers.reduce((a, b) => Math.max(a, b), -Infinity) : axis.different.length - 1;
      const share = (value) => {
        const own = axis.isNumeric ? value : axis.different.indexOf(value);
        return high === low ? 0.5 : (own - low) / (high - low);
      };
      return { share, low: axis.isNumeric ? number(low) : String(axis.different[0]), high: axis.isNumeric ? number(high) : String(axis.different.at(-1)) };
    });
    const y = (share) => height - bottom - (height - top - bottom) * share;
    const svg = drawing("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `Parallel coordinates of ${words(handles.length, "run")}: ${axes.map((axis) => axis.name).join(", ")}` });
    const chosen = chosenNow(), best = state.sweep && runs.find(state.sweep.best);
    const above = (handle) => chosen.includes(handle) || handle === best;
    for (const handle of [...handles.filter((one) => !above(one)), ...handles.filter(above)]) {
      // A run has no line over an axis of which it has no value.
      let isOpen = false;
      const path = axes.map((axis, at) => {
        const value = runs.get(handle, axis);
        if (value === undefined || (axis.isNumeric && !Number.isFinite(value))) {
          isOpen = false;
          return "";
        }
        const place = `${x(at).toFixed(1)},${y(scales[at].share(value)).toFixed(1)}`;
        const step = isOpen ? `L${place}` : `M${place}h0`;
        isOpen = true;
        return step;
      }).join("");
      if (!path) continue;
      const last = runs.get(handle, axes.at(-1));
      const share = last === undefined ? NaN : scales.at(-1).share(last);
      const shade = Number.isFinite(share) ? Math.max(0, Math.min(4, Math.floor(share * 5))) : "none";
      const line = drawing("path", { class: `run shade${shade}${above(handle) ? " chosen" : ""}`, d: path }, drawing("title", null, runs.attribute(handle, "id").slice(0, 12)));
      if (chosen.includes(handle)) line.style.stroke = lineColour(chosen.indexOf(handle));
      line.addEventListener("click", () => choose(handle, !state.chosen.includes(runs.attribute(handle, "id")), true));
      svg.append(line);
    }
    axes.forEach((axis, at) => {
      const anchor = at === 0 ? "start" : at === axes.length - 1 ? "end" : "middle";
      const place = at === 0 ? x(at) - side + 4 : at === axes.length - 1 ? x(at) + side - 4 : x(at);
      const label = axis.name.length > 20 ? `${axis.name.slice(0, 9)}…${axis.name.slice(-10)}` : axis.name;
      svg.append(drawing("line", { class: "axis", x1: x(at), x2: x(at), y1: top, y2: height - bottom }));
      svg.append(drawing("text", { class: "tick name", x: place, y: 12, "text-anchor": anchor }, label, drawing("title", null, axis.name)));
      svg.append(drawing("text", { class: "tick", x: place, y: 27, "text-anchor": anchor }, scales[at].high.slice(0, 14)));
      svg.append(drawing("text", { class: "tick", x: place, y: height - 6, "text-anchor": anchor }, scales[at].low.slice(0, 14)));
    });
    target.append(element("div", { class: "box", tabindex: 0, role: "group", "aria-label": "Parallel coordinates" }, svg));
  }

  const TIME = "started";

  function fillScatter() {
    const kept = [page.across.value, page.up.value];
    const metrics = [...runs.names("metric").keys()].sort(byName), params = [...runs.names("param").keys()].sort(byName);
    for (const [at, select] of [page.across, page.up].entries()) {
      const options = (kind, names) => names.slice(0, 500).map((name) => element("option", { value: JSON.stringify({ kind, name }) }, name));
      select.replaceChildren(...(at === 0 ? [element("option", { value: JSON.stringify({ kind: "attribute", name: TIME }) }, TIME)] : []),
        element("optgroup", { label: "metrics" }, ...options("metric", metrics)), element("optgroup", { label: "parameters" }, ...options("param", params)));
      if (kept[at] && [...select.options].some((option) => option.value === kept[at])) select.value = kept[at];
      else if (at === 1 && state.columns.length) select.value = JSON.stringify(state.columns[0]);
    }
  }

  function drawScatter() {
    fillScatter();
    const target = page.scatter.querySelector(".drawing");
    forget(target);
    target.replaceChildren();
    if (!page.up.value) return;
    const across = JSON.parse(page.across.value), up = JSON.parse(page.up.value);
    const chosen = chosenNow();
    const place = (handle, key) => key.kind === "attribute" ? Date.parse(runs.get(handle, key)) / 1000 : Number(runs.get(handle, key) ?? NaN);
    const all = state.found.map((handle) => [place(handle, across), place(handle, up), handle]).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
    const shown = all.slice(0, POINTS_MOST);
    const note = all.length > shown.length ? `The first ${shown.length.toLocaleString("en")} of ${words(all.length, "run")}, in the order of the table.` : `${words(all.length, "run")}.`;
    const hint = "Point at one to see which it is; a click chooses it.";
    page.scatter.querySelector("p.soft").textContent = all.length < state.found.length ? `${note} ${hint} ${words(state.found.length - all.length, "run has", "runs have")} no number for one of the two.` : `${note} ${hint}`;
    if (!shown.length) return;
    const shownAs = (one, value) => one.kind === "attribute" ? new Date(value * 1000).toISOString().slice(0, 16).replace("T", " ") : number(value);
    const spot = ([x, y, handle]) => {
      const id = runs.attribute(handle, "id"), name = runs.attribute(handle, "name");
      return [x, y, `${name ? `${name} ` : ""}${id.slice(0, 12)}: ${up.name} ${number(y)}, ${across.name} ${shownAs(across, x)}`, id];
    };
    const groups = [{ label: "runs", points: shown.filter(([, , handle]) => !chosen.includes(handle)).map(spot), at: chosen.length ? null : 0, size: 5 }];
    chosen.forEach((handle, at) => {
      const own = all.filter((one) => one[2] === handle);
      if (own.length) groups.push({ label: runs.attribute(handle, "name") || runs.attribute(handle, "id").slice(0, 12), points: own.map(spot), at, size: 10 });
    });
    points(target, `${up.name} over ${across.name} of ${words(shown.length, "run")}`, groups, { label: across.name, time: across.kind === "attribute" }, (id) => choose(runs.find(id), !state.chosen.includes(id), true));
  }

  let soon = 0;
  function drawOpen() {
    clearTimeout(soon);
    soon = setTimeout(() => {
      if (page.parallel.open) drawParallel();
      if (page.scatter.open) drawScatter();
      if (page.columns.open) drawChoices();
    }, 60);
  }

  function drawChoices() {
    const target = page.columns.querySelector(".choices");
    const filter = page.columns.querySelector("input");
    const wanted = filter.value.trim().toLowerCase();
    const isOn = (key) => state.columns.some((one) => sameKey(one, key));
    const boxes = [["metric", "metric"], ["param", "parameter"], ["tag", "tag"]].map(([kind, noun]) => {
      const every = [...runs.names(kind).keys()].filter((name) => name.toLowerCase().includes(wanted)).sort(byName);
      const names = [...every.filter((name) => isOn({ kind, name })), ...every.filter((name) => !isOn({ kind, name }))].slice(0, CHOICES_MOST);
      const labels = names.map((name) => {
        const key = { kind, name };
        const box = element("input", { type: "checkbox", onchange: (event) => {
          state.asked = true;
          state.columns = state.columns.filter((one) => !sameKey(one, key));
          if (event.target.checked) state.columns.push(key);
          drawTable();
        } });
        box.checked = isOn(key);
        return element("label", { class: "check" }, box, ` ${name}`);
      });
      const more = every.length - names.length;
      const left = more ? element("p", { class: "soft" }, `${words(more, `more ${noun}`)}: write a part of the name to find one.`) : null;
      return labels.length ? element("fieldset", null, element("legend", null, `${noun}s`), ...labels, left) : null;
    });
    target.replaceChildren(...boxes.filter(Boolean));
    if (!target.children.length) target.append(element("p", { class: "soft" }, "No metric, parameter or tag is named so."));
  }

  // Loading

  function fillModels() {
    const kept = page.model.value || asked.get("model") || "";
    const names = [...runs.values("model")].sort(byName);
    if (kept && !names.includes(kept)) names.push(kept);
    page.model.replaceChildren(element("option", { value: "" }, "all"), ...names.map((name) => element("option", { value: name }, name)));
    page.model.value = kept;
  }

  function take() {
    fillModels();
    state.order = runs.ordered(state.key, state.descending);
    refresh(true);
  }

  async function piece(at) {
    try {
      runs.add(at, await load(site.pieces[at][0]));
    } catch {
      state.failed += 1;
    }
    state.loaded += 1;
    runs.isWhole = state.loaded === site.pieces.length;
  }

  const asked = ciplug.fragment();
  page.search.value = asked.get("q") || "";
  state.chosen = (asked.get("chosen") || "").split(",").filter(Boolean).slice(0, CHOSEN_MOST);
  page.columns.querySelector("input").addEventListener("input", drawChoices);
  for (const [name, what] of [["search", "input"], ["model", "change"], ["deleted", "change"], ["children", "change"]]) {
    page[name].addEventListener(what, () => {
      state.rows = ROWS;
      refresh(name === "model");
      remember();
    });
  }
  page.more.addEventListener("click", () => {
    const first = state.rows;
    state.rows += ROWS;
    drawTable();
    const next = page.runs.tBodies[0].rows[first];
    if (next) next.querySelector("input").focus();
  });
  for (const part of [page.parallel, page.scatter, page.columns]) part.addEventListener("toggle", drawOpen);
  for (const select of [page.across, page.up]) select.addEventListener("change", drawOpen);
  addEventListener("hashchange", () => {
    const now = ciplug.fragment();
    page.search.value = now.get("q") || "";
    page.model.value = now.get("model") || "";
    state.chosen = (now.get("chosen") || "").split(",").filter(Boolean).slice(0, CHOSEN_MOST);
    refresh(true);
    showChosen();
    // The link that was followed stood in a row that is drawn anew.
    if (document.activeElement === document.body) page.search.focus();
  });

  // The last two parts have the last runs: those are shown at once, the others as they come.
  const parts = site.pieces.map((_, at) => at).reverse();
  runs.isWhole = !parts.length;
  await Promise.all(parts.slice(0, 2).map(piece));
  take();
  let shownAt = performance.now();
  for (let at = 2; at < parts.length; at += AT_ONCE) {
    await Promise.all(parts.slice(at, at + AT_ONCE).map(piece));
    if (performance.now() - shownAt > 2000) {
      take();
      shownAt = performance.now();
    } else {
      tell();
    }
    await new Promise((resolve) => { setTimeout(resolve, 0); });
  }
  if (parts.length > 2) take();
  tell();
  if (state.chosen.length) {
    await showChosen();
    page.chosen.scrollIntoView();
  }
  document.documentElement.dataset.ready = "yes";
})();
