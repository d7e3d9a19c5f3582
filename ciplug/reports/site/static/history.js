// The history of a metric over the commits of a branch, with the commits that moved it.
"use strict";

(async () => {
  const { element, load, number, words } = window.ciplug;
  const page = Object.fromEntries(["model", "metric", "status", "notes", "chart", "changes", "commits"].map((id) => [id, document.getElementById(id)]));
  const site = await ciplug.site;
  const files = new Map(site.histories.map(([model, file, metrics]) => [model, { file, metrics }]));
  const asked = ciplug.fragment();

  function fillMetrics(wanted) {
    const known = files.get(page.model.value);
    page.metric.replaceChildren(...(known ? known.metrics : []).map((name) => element("option", { value: name }, name)));
    if (wanted && known && known.metrics.includes(wanted)) page.metric.value = wanted;
  }

  async function show() {
    const known = files.get(page.model.value);
    if (!known) {
      page.status.textContent = page.model.value ? `No metric of ${page.model.value} has a history here.` : "No metric has a history.";
      ciplug.forget(page.chart);
      for (const part of [page.notes, page.chart, page.changes, page.commits.tHead, page.commits.tBodies[0]]) part.replaceChildren();
      document.documentElement.dataset.ready = "yes";
      return;
    }
    let record;
    try {
      record = await load(known.file);
    } catch (problem) {
      page.status.textContent = String(problem.message);
      return;
    }
    const one = record.metrics.find((metric) => metric.metric === page.metric.value) || record.metrics[0];
    const rows = one.rows.map(([at, commit, run, value, runs, date, author, subject, versions]) => ({ at, commit, run, value: Number(value), runs, date, author, subject, versions }));
    const direction = one.higher === null ? "" : one.higher ? ", higher is better" : ", lower is better";
    page.status.textContent = `${one.metric} of ${record.model}: ${words(rows.length, "commit")} of ${record.branch} with a run${direction}.`;
    page.notes.replaceChildren(...one.notes.map((note) => element("p", { class: "note" }, note)));
    const marks = [
      ...one.changes.map(([at, , worse], number) => ({ at, word: `change ${number + 1}`, kind: worse === null ? "moved" : worse ? "worse" : "better" })),
      ...rows.filter((row) => row.versions).map((row) => ({ at: row.at, word: row.versions.slice(0, 40), kind: "version" })),
    ];
    ciplug.forget(page.chart);
    page.chart.replaceChildren();
    if (!rows.some((row) => Number.isFinite(row.value))) page.chart.append(element("p", { class: "note" }, "No commit has a finite number, so there is nothing to draw."));
    else ciplug.history(page.chart, `${one.metric} of ${words(rows.length, "commit")}, oldest first`, { metric: one.metric, rows, bounds: one.bounds, marks });
    page.changes.replaceChildren(one.changes.length
      ? element("ol", null, ...one.changes.map(([, text, worse]) => element("li", { class: worse === null ? "" : worse ? "worse" : "better" }, text)))
      : element("p", { class: "soft" }, "no commit has moved the metric beyond its noise"));
    const body = rows.slice().reverse().map((row) => element("tr", null,
      element("td", { class: "tight" }, element("code", null, row.commit.slice(0, 8))),
      element("td", { class: "number first" }, number(row.value)),
      element("td", { class: "number", "data-label": "runs" }, row.runs),
      element("td", { class: "tight" }, element("a", { href: `runs.html#chosen=${encodeURIComponent(row.run)}` }, element("code", null, row.run.slice(0, 12)))),
      element("td", { class: "tight" }, row.date), element("td", null, row.author), element("td", { class: "text" }, row.subject), element("td", { class: "tight" }, row.versions)));
    const right = (text) => element("th", { scope: "col", class: "number" }, text);
    ciplug.fill(page.commits, ["commit", right(one.metric), right("runs"), "run", "day", "author", "subject", "versions"], body);
    ciplug.remember({ model: page.model.value, metric: page.metric.value });
    document.documentElement.dataset.ready = "yes";
  }

  const names = [...new Set([...files.keys(), ...(asked.get("model") ? [asked.get("model")] : [])])];
  page.model.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  if (asked.get("model")) page.model.value = asked.get("model");
  fillMetrics(asked.get("metric"));
  page.model.addEventListener("change", () => { fillMetrics(); show(); });
  page.metric.addEventListener("change", show);
  await show();
})();
