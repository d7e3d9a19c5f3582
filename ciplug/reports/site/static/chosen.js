// The chosen runs side by side: what differs, the steps in one chart, the images.
"use strict";

(() => {
  const { element, load, number, byName, words, lines, forget, lineColour, lineDash } = window.ciplug;
  const FACTS = ["model", "commit", "branch", "started"];
  const CHARTS_MOST = 24;
  const KINDS = [["metric", "metric"], ["param", "parameter"], ["tag", "tag"]];
  const ROWS = 15;

  function swatch(at) {
    return ciplug.drawing("svg", { class: "swatch", width: 18, height: 8, "aria-hidden": "true" },
      ciplug.drawing("line", { x1: 0, x2: 18, y1: 4, y2: 4, stroke: lineColour(at), "stroke-width": 2.5, "stroke-dasharray": lineDash(at).join(" ") }));
  }

  const NAME_MOST = 48;

  // Its middle is left out where it is long: many names differ at their ends only.
  function nameOf(runs, handle) {
    const name = runs.attribute(handle, "name") || runs.attribute(handle, "id").slice(0, 12);
    return name.length > NAME_MOST ? `${name.slice(0, NAME_MOST / 2)}…${name.slice(1 - NAME_MOST / 2)}` : name;
  }

  function row(name, cells, isCode) {
    return element("tr", null, element("th", { scope: "row", class: "name" }, isCode ? element("code", null, name) : name),
      ...cells.map((cell) => element("td", null, typeof cell === "number" ? number(cell) : cell ?? "–")));
  }

  // The rows that are shown when somebody asks for them.
  function folded(rows, noun, columns) {
    const more = element("tbody", { hidden: true });
    const title = (isOpen) => `${isOpen ? "Hide" : "Show"} ${words(rows.length, `more ${noun}`)}`;
    const press = element("button", { type: "button", "aria-expanded": "false", onclick: () => {
      if (!more.rows.length) more.append(...rows.map((one) => row(...one)));
      more.hidden = !more.hidden;
      press.textContent = title(!more.hidden);
      press.setAttribute("aria-expanded", String(!more.hidden));
    } }, title(false));
    return [element("tbody", null, element("tr", null, element("td", { colspan: columns }, press))), more];
  }

  function table(runs, handles, gated) {
    const heads = handles.map((handle, at) => element("th", { scope: "col", class: "run-name", title: runs.attribute(handle, "name") || null }, swatch(at), " ", nameOf(runs, handle)));
    const short = { commit: (value) => value.slice(0, 12), started: (value) => value.slice(0, 16).replace("T", " ") };
    const fact = (handle, name) => {
      const value = runs.attribute(handle, name);
      return value && short[name] ? short[name](value) : value || (name === "started" ? "no time known" : value);
    };
    const facts = FACTS.map((name) => [name === "started" ? "started (UTC)" : name, handles.map((handle) => fact(handle, name)), false]);
    facts.push(["status", handles.map((handle) => runs.marks(handle).join(", ")), false]);
    const bodies = [element("tbody", null, ...facts.map((one) => row(...one)))];
    let same = 0;
    for (const [kind, noun] of KINDS) {
      const names = [...new Set(handles.flatMap((handle) => runs.entries(kind, handle).map(([name]) => name)))].sort(byName);
      const first = kind === "metric" ? gated.filter((name) => names.includes(name)) : [];
      const rows = [...first, ...names.filter((name) => !first.includes(name))].map((name) => [name, handles.map((handle) => runs.get(handle, { kind, name })), true]);
      const differing = handles.length > 1 ? rows.filter(([name, cells]) => first.includes(name) || new Set(cells).size > 1) : rows;
      same += rows.length - differing.length;
      if (!differing.length) continue;
      const heading = element("tr", { class: "kind" }, element("th", { scope: "rowgroup", colspan: handles.length + 1 }, `${noun}s`));
      bodies.push(element("tbody", null, heading, ...differing.slice(0, ROWS).map((one) => row(...one))));
      const rest = differing.slice(ROWS);
      if (rest.length) bodies.push(...folded(rest, noun, handles.length + 1));
    }
    const made = element("table", null, element("thead", null, element("tr", null, element("th", { scope: "col" }, "run"), ...heads)), ...bodies);
    return [element("div", { class: "box", tabindex: 0, role: "group", "aria-label": "Chosen runs" }, made),
      same ? element("p", { class: "soft" }, `${words(same, "value is", "values are")} the same in all of them.`) : null];
  }

  // What a training that failed wrote last.
  function crashes(target, runs, handles, details) {
    details.forEach((detail, at) => {
      if (!detail || !detail.ended) return;
      const [words, error] = detail.ended;
      target.append(element("p", { class: "note crash" }, element("strong", null, `${nameOf(runs, handles[at])}: ${words}${error ? ": " : "."}`), error ? element("code", null, error) : null));
      if (detail.output.length) target.append(element("pre", { class: "output", tabindex: 0, role: "group", "aria-label": `last lines of the output of ${nameOf(runs, handles[at])}` }, detail.output.join("\n")));
    });
  }

  function curves(target, runs, handles, details, gated) {
    const known = new Map();
    details.forEach((detail, at) => {
      for (const [name, x, y] of (detail && detail.series) || []) {
        if (!known.has(name)) known.set(name, []);
        known.get(name).push({ label: nameOf(runs, handles[at]), x, y: y.map(Number), at });
      }
    });
    if (!known.size) return;
    const place = (name) => gated.includes(name) ? gated.indexOf(name) : gated.length;
    const names = [...known.keys()].sort((one, other) => place(one) - place(other) || known.get(other).length - known.get(one).length || byName(one, other));
    const grid = element("div", { class: "charts plots" });
    target.append(element("h3", { class: "part" }, "Steps"), grid);
    for (const name of names.slice(0, CHARTS_MOST)) {
      const drawing = element("div", { class: "drawing" });
      grid.append(element("figure", null, element("figcaption", null, name), drawing));
      lines(drawing, `${name}, step by step, of ${words(known.get(name).length, "run")}`, known.get(name));
    }
    if (names.length > CHARTS_MOST) target.append(element("p", { class: "soft" }, `${names.length - CHARTS_MOST} more not drawn.`));
  }

  async function images(target, runs, handles, details) {
    const paths = [...new Set(details.flatMap((detail) => ((detail && detail.images) || []).map(([path]) => path)))].sort(byName);
    if (!paths.length) return;
    target.append(element("h3", { class: "part" }, "Images"));
    details.forEach((detail, at) => {
      if (detail && detail.images_left) target.append(element("p", { class: "soft" }, `${words(detail.images_left, "more image")} of ${nameOf(runs, handles[at])}: ciplug runs show ${runs.attribute(handles[at], "id").slice(0, 12)}`));
    });
    for (const path of paths) {
      const shelf = element("div", { class: "pictures" });
      target.append(shelf);
      for (const [at, detail] of details.entries()) {
        const found = ((detail && detail.images) || []).find(([one]) => one === path);
        if (!found) continue;
        const [, file, problem] = found;
        const label = `${path}, ${nameOf(runs, handles[at])}`;
        const figure = element("figure", null, element("figcaption", null, swatch(at), " ", label));
        shelf.append(figure);
        if (problem) figure.append(element("p", { class: "soft" }, problem));
        else load(file).then((image) => figure.append(element("img", { src: image.address, alt: label })), () => figure.append(element("p", { class: "soft" }, "it cannot be loaded")));
      }
    }
  }

  function provenance(target, runs, handles, details) {
    details.forEach((detail, at) => {
      if (!detail) return;
      const facts = element("dl", { class: "sides" }, ...detail.facts.flatMap(([name, value]) => [element("dt", null, name), element("dd", null, value)]));
      const files = detail.files.map(([path, size, digest]) => element("li", null, path, " ", element("span", { class: "soft" }, `${size}, ${digest}`)));
      target.append(element("details", null, element("summary", null, `How ${nameOf(runs, handles[at])} came to be`), facts, files.length ? element("ul", null, ...files) : null));
    });
  }

  // Fill the part of the page for these runs; `files` is run → file of its details.
  let asked = 0;
  async function show(target, runs, handles, files, gated, clear) {
    asked += 1;
    const own = asked;
    const ids = handles.map((handle) => runs.attribute(handle, "id"));
    const details = await Promise.all(ids.map((id) => files.has(id) ? load(files.get(id)).catch(() => null) : null));
    if (own !== asked) return;
    forget(target);
    target.hidden = !handles.length;
    target.replaceChildren();
    if (!handles.length) return;
    target.append(element("div", { class: "row" }, element("h2", null, handles.length > 1 ? `${handles.length} runs side by side` : nameOf(runs, handles[0])), element("button", { type: "button", onclick: clear }, "Clear the choice")));
    target.append(...table(runs, handles, gated).filter(Boolean));
    crashes(target, runs, handles, details);
    curves(target, runs, handles, details, gated);
    images(target, runs, handles, details);
    provenance(target, runs, handles, details);
    const bare = ids.filter((id, at) => !details[at]);
    if (bare.length) target.append(element("p", { class: "soft" }, `Steps and images of ${bare.map((id) => id.slice(0, 12)).join(", ")} are not in this site: ciplug runs show ${bare[0].slice(0, 12)}`));
  }

  Object.assign(window.ciplug, { showChosen: show });
})();
