// What the pages share: loading data, elements, numbers and addresses. Every text becomes a text node, never markup.
"use strict";

window.ciplug = (() => {
  const waiting = new Map();
  let arrived;
  const site = new Promise((resolve) => { arrived = resolve; });

  // Each data file calls this with one record.
  function push(record) {
    if (record.kind === "site") {
      arrived(record);
      return;
    }
    const file = document.currentScript.getAttribute("data-file");
    const entry = waiting.get(file);
    if (entry) entry.resolve(record);
  }

  // The record of a data file. A page that was opened from a disk may fetch nothing, but it may load scripts.
  function load(file) {
    if (!waiting.has(file)) {
      const entry = {};
      entry.promise = new Promise((resolve, reject) => {
        entry.resolve = resolve;
        const script = document.createElement("script");
        script.src = file;
        script.setAttribute("data-file", file);
        script.onload = () => { script.remove(); reject(new Error(`${file} is empty`)); };
        script.onerror = () => { script.remove(); reject(new Error(`${file} cannot be loaded`)); };
        document.head.append(script);
      });
      waiting.set(file, entry);
    }
    return waiting.get(file).promise;
  }

  // An element: properties that begin with `on` are listeners, others are attributes, `null` leaves one out.
  function element(tag, properties, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined).map((child) => child instanceof Node ? child : String(child)));
    return made;
  }

  function drawing(tag, properties, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(properties || {})) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // About four digits, and 0.99999 never becomes 1.
  function number(value) {
    if (value === undefined || value === null) return "–";
    if (typeof value !== "number") return String(value);
    if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "inf" : "-inf";
    if (Number.isInteger(value)) return Math.abs(value) < 1e15 ? String(value) : value.toPrecision(4);
    for (let digits = 4; digits < 18; digits += 1) {
      const text = value.toPrecision(digits);
      if (!Number.isInteger(Number(text))) return text.includes("e") ? text : String(Number(text));
    }
    return String(value);
  }

  // The order of names, in which class 4 comes before class 12.
  const byName = new Intl.Collator("en", { numeric: true }).compare;
  const words = (count, noun, more) => `${count.toLocaleString("en")} ${count === 1 ? noun : more || `${noun}s`}`;

  // What the address says behind `#`.
  function fragment() {
    const found = new Map();
    for (const part of location.hash.slice(1).split("&")) {
      const at = part.indexOf("=");
      if (at < 0) continue;
      try {
        found.set(part.slice(0, at), decodeURIComponent(part.slice(at + 1)));
      } catch {
        // Not of ours.
      }
    }
    return found;
  }

  function remember(values) {
    const text = Object.entries(values).filter(([, value]) => value).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
    history.replaceState(null, "", `${location.pathname}${location.search}${text ? `#${text}` : ""}`);
  }

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Table rows of texts or elements.
  function fill(table, headers, rows) {
    table.tHead.replaceChildren(element("tr", null, ...headers.map((header) => header instanceof Node ? header : element("th", { scope: "col" }, header))));
    table.tBodies[0].replaceChildren(...rows);
  }

  return { push, load, site, element, drawing, number, words, byName, fragment, remember, colour, fill };
})();
