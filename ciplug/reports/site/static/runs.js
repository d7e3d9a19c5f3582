// The table of runs: it is shown as soon as the last runs are there, and the others follow.
"use strict";

(async () => {
  const { element, load, number, words, points, forget, drawing, colour } = window.ciplug;
  const ROWS = 50;
  const CHOSEN_MOST = 8;
  const SHOWN_METRICS = 4;
  const LINES_MOST = 500;
  const POINTS_MOST = 5000;
  const AXES_MOST = 8;
  const AT_ONCE = 4;
  const page = Object.fromEntries(["model", "search", "deleted", "status", "runs", "more", "columns", "parallel", "scatter", "across", "up", "chosen"].map((id) => [id, document.getElementById(id)]));
  const FIXED = [["run", "id"], ["model", "model"], ["commit", "commit"], ["branch", "branch"], ["status", "status"], ["started (UTC)", "started"]];
  const LAST = [["by", "actor"]];

  const site = await ciplug.site;
  const runs = new ciplug.Runs(site);
  const details = new Map(site.details);
  const gated = new Map(site.gated);
  const state = { key: { kind: "attribute", name: "started" }, descending: true, order: [], found: [], rows: ROWS, columns: [], asked: false, chosen: [], loaded: 0, failed: 0 };

  const sameKey = (one, other) => one.kind === other.kind && one.name === other.name;

  // The metrics to show first: those with gates, then those that most pieces have.
  function usual() {
    const model = page.model.value;
    const own = model ? gated.get(model) || [] : [...new Set([...gated.values()].flat())];
    const common = runs.names("metric");
    const first = own.filter((name) => common.has(name));
    const sample = (model || page.search.value ? state.found : state.order).slice(0, ROWS);
    const counts = new Map();
    for (const handle of sample) for (const [name] of runs.entries("metric", handle)) counts.set(name, (counts.get(name) || 0) + 1);
    const rest = [...counts.keys()].filter((name) => !first.includes(name)).sort((one, other) => counts.get(other) - counts.get(one) || (one < other ? -1 : 1));
    return [...first, ...rest].slice(0, SHOWN_METRICS).map((name) => ({ kind: "metric", name }));
  }

  function cell(handle, key) {
    const value = runs.get(handle, key);
    if (key.kind !== "attribute") return element("td", { class: typeof value === "number" ? "number" : null, title: typeof value === "string" ? value : null }, number(value));
    if (key.name === "id") {
      const name = runs.attribute(handle, "name");
      return element("td", { title: name || null }, element("code", null, value.slice(0, 12)), name ? ` ${name}` : "");
    }
    if (key.name === "status") return element("td", { class: "marks" }, ...marks(handle));
    if (key.name === "commit") return element("td", { class: "tight" }, element("code", null, value ? value.slice(0, 8) : "–"));
    if (key.name === "started") return element("td", { class: "tight" }, (value || "–").slice(0, 16).replace("T", " "));
    if (key.name === "actor") {
      const host = (runs.attribute(handle, "host") || "–").split("_")[0];
      return element("td", { title: value || null }, value ? `${host}/${value}` : host);
    }
    return element("td", { title: value || null }, value || "–");
  }

  function marks(handle) {
    const [status, ...others] = runs.marks(handle);
    const look = { failed: "FAIL", killed: "FAIL", unknown: "WARN" }[status] || "";
    return [element("span", { class: `badge ${look}` }, status), ...others.flatMap((mark) => [" ", element("span", { class: "badge WARN" }, mark)])];
  }

  function header(words, key) {
    const isBy = sameKey(state.key, key);
    const number = key.kind === "metric" ? "number" : "";
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

  function choose(handle, isChosen) {
    const id = runs.attribute(handle, "id");
    state.chosen = state.chosen.filter((one) => one !== id);
    if (isChosen) state.chosen = [...state.chosen, id].slice(-CHOSEN_MOST);
    showChosen();
    drawTable();
    const box = page.runs.querySelector(`input[data-run="${CSS.escape(id)}"]`);
    if (box) box.focus();
    drawOpen();
  }

  function showChosen() {
    const handles = state.chosen.map((id) => runs.find(id)).filter((handle) => handle !== undefined);
    remember();
    return ciplug.showChosen(page.chosen, runs, handles, details, () => {
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
    const keys = [...own(FIXED), ...state.columns.map((key) => [key.name, key]), ...own(LAST)];
    const headers = [element("td", null), ...keys.map(([words, key]) => header(words, key))];
    const rows = state.found.slice(0, state.rows).map((handle) => {
      const id = runs.attribute(handle, "id");
      const isChosen = state.chosen.includes(id);
      const box = element("input", { type: "checkbox", "data-run": id, "aria-label": `choose ${id.slice(0, 12)}`, onchange: (event) => choose(handle, event.target.checked) });
      box.checked = isChosen;
      const gone = ["deleted", "withdrawn", "unread"].includes(runs.standing(handle));
      return element("tr", { class: `${isChosen ? "chosen" : ""}${gone ? " gone" : ""}` }, element("td", null, box), ...keys.map(([, key]) => cell(handle, key)));
    });
    ciplug.fill(page.runs, headers, rows);
    page.more.hidden = state.found.length <= state.rows;
  }

  function search() {
    state.found = runs.search(state.order, page.search.value, page.model.value, page.deleted.checked);
  }

  function tell() {
    const loading = state.loaded < site.pieces.length ? ` ${runs.handles.length.toLocaleString("en")} of ${words(site.runs, "run")} loaded.` : "";
    const failed = state.failed ? ` ${words(state.failed, "part")} of the data cannot be loaded.` : "";
    const found = page.search.value || page.model.value ? `${words(state.found.length, "run")} found` : words(state.found.length, "run");
    page.status.textContent = `${found}.${loading}${failed}`;
  }

  // `isNew`: whether other runs may be there than before, so that other metrics may be the usual ones.
  function refresh(isNew) {
    search();
    if (isNew && !state.asked) state.columns = usual();
    drawTable();
    tell();
    drawOpen();
  }

  // Charts

  const chosenNow = () => new Set(state.chosen.map((id) => runs.find(id)));

  function axesOf(handles) {
    const found = [];
    for (const kind of ["param", "metric"]) {
      const names = [...new Set(handles.slice(0, LINES_MOST).flatMap((handle) => runs.entries(kind, handle).map(([name]) => name)))].sort();
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
    note.textContent = state.found.length > handles.length ? `The first ${handles.length} of ${words(state.found.length, "run")}, in the order of the table.` : `${words(handles.length, "run")}. The colour is that of ${axes.at(-1).name}: from blue, the lowest, to red.`;
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
    const chosen = chosenNow();
    for (const handle of [...handles.filter((one) => !chosen.has(one)), ...handles.filter((one) => chosen.has(one))]) {
      const places = axes.map((axis, at) => {
        const value = runs.get(handle, axis);
        return value === undefined || (axis.isNumeric && !Number.isFinite(value)) ? null : [x(at), y(scales[at].share(value))];
      });
      const stretches = places.map((place) => place ? `${place[0].toFixed(1)},${place[1].toFixed(1)}` : " ").join(" ").trim();
      const last = runs.get(handle, axes.at(-1));
      const shade = last === undefined ? 0 : Math.max(0, Math.min(4, Math.floor(scales.at(-1).share(last) * 5)));
      svg.append(drawing("polyline", { class: `run shade${Number.isNaN(shade) ? 0 : shade}${chosen.has(handle) ? " chosen" : ""}`, points: stretches }, drawing("title", null, runs.attribute(handle, "id").slice(0, 12))));
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
    const metrics = [...runs.names("metric").keys()].sort(), params = [...runs.names("param").keys()].sort();
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
    page.scatter.querySelector("p").textContent = all.length < state.found.length ? `${note} ${words(state.found.length - all.length, "run has", "runs have")} no number for one of the two.` : note;
    if (!shown.length) return;
    const groups = [{ label: up.name, points: shown.filter(([, , handle]) => !chosen.has(handle)), at: 0, size: 4 }];
    const own = all.filter(([, , handle]) => chosen.has(handle));
    if (own.length) groups.push({ label: "chosen", points: own, at: 1, size: 9 });
    points(target, `${up.name} over ${across.name} of ${words(shown.length, "run")}`, groups, { label: across.name, time: across.kind === "attribute" });
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
    const boxes = [["metric", "metrics"], ["param", "parameters"], ["tag", "tags"]].map(([kind, noun]) => {
      const names = [...runs.names(kind).keys()].sort().slice(0, 300);
      const labels = names.map((name) => {
        const key = { kind, name };
        const box = element("input", { type: "checkbox", onchange: (event) => {
          state.asked = true;
          state.columns = state.columns.filter((one) => !sameKey(one, key));
          if (event.target.checked) state.columns.push(key);
          drawTable();
        } });
        box.checked = state.columns.some((one) => sameKey(one, key));
        return element("label", { class: "check" }, box, ` ${name}`);
      });
      return labels.length ? element("fieldset", null, element("legend", null, noun), ...labels) : null;
    });
    target.replaceChildren(...boxes.filter(Boolean));
  }

  // Loading

  function fillModels() {
    const kept = page.model.value || asked.get("model") || "";
    const names = [...runs.values("model")].sort();
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
  }

  const asked = ciplug.fragment();
  page.search.value = asked.get("q") || "";
  state.chosen = (asked.get("chosen") || "").split(",").filter(Boolean).slice(0, CHOSEN_MOST);
  for (const [name, what] of [["search", "input"], ["model", "change"], ["deleted", "change"]]) {
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
  });

  // The last two parts have the last runs: those are shown at once, the others as they come.
  const parts = site.pieces.map((_, at) => at).reverse();
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
  if (state.chosen.length) await showChosen();
  document.documentElement.dataset.ready = "yes";
})();
