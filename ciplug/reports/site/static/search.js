// The runs of all pieces that have been loaded, as columns: values, search and order.
"use strict";

(() => {
  const WIDTH = 2 ** 24; // more runs than a piece has
  const NUMBERS = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b, "!=": (a, b) => a !== b };
  const SPECIAL = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity };

  // The values of a column in full: some are written as a place among the different ones.
  function values(coded, count) {
    if (Array.isArray(coded)) return coded;
    return coded.at ? coded.at.map((at) => coded.of[at]) : new Array(count).fill(coded.of[0]);
  }

  const numeric = (value) => typeof value === "string" && value in SPECIAL ? SPECIAL[value] : value;

  class Piece {
    constructor(record, changes) {
      this.count = record.count;
      this.columns = { attribute: new Map(), metric: new Map(), param: new Map(), tag: new Map() };
      for (const [name, coded] of record.attributes) this.columns.attribute.set(name, values(coded, this.count));
      for (const kind of ["metric", "param", "tag"]) {
        for (const [name, rows, coded] of record[`${kind}s`]) {
          const places = rows || null;
          const found = values(coded, places ? places.length : this.count);
          const full = new Array(this.count);
          found.forEach((value, at) => { full[places ? places[at] : at] = kind === "metric" ? numeric(value) : value; });
          this.columns[kind].set(name, full);
        }
      }
      this.standing = new Array(this.count);
      for (const at of record.wrong) this.standing[at] = "wrong";
      for (const [at, facts] of changes) this.change(at, facts);
      this.texts = this.searchable();
    }

    change(at, facts) {
      if (facts.standing && this.standing[at] !== "wrong") this.standing[at] = facts.standing;
      for (const name of ["name", "status"]) if (facts[name]) this.put("attribute", name, at, facts[name]);
      for (const [name, value] of facts.metrics || []) this.put("metric", name, at, numeric(value));
      // A parameter never changes: its first value counts.
      for (const [name, value] of facts.params || []) if (this.get("param", name, at) === undefined) this.put("param", name, at, value);
      for (const name of facts.untag || []) this.put("tag", name, at, undefined);
      for (const [name, value] of facts.tags || []) this.put("tag", name, at, value);
    }

    get(kind, name, at) {
      const column = this.columns[kind].get(name);
      const value = column && column[at];
      return value === null ? undefined : value;
    }

    put(kind, name, at, value) {
      if (!this.columns[kind].has(name)) this.columns[kind].set(name, new Array(this.count));
      this.columns[kind].get(name)[at] = value;
    }

    // As `ciplug runs list` marks a run.
    marks(at) {
      const found = [this.get("attribute", "status", at) || "unknown"];
      const standing = this.standing[at];
      if (standing && standing !== "wrong") found.push(standing === "unread" ? "amendment unreadable" : standing);
      if (this.get("attribute", "dirty", at) === "true") found.push("dirty");
      if (this.get("attribute", "set_aside", at) === "true") found.push("files set aside");
      if (this.get("attribute", "trusted", at) === "false") found.push("fork");
      if (this.get("attribute", "parent", at)) found.push("child");
      return found;
    }

    searchable() {
      const texts = new Array(this.count);
      const own = ["id", "name", "model", "commit", "branch", "actor", "host"].map((name) => this.columns.attribute.get(name));
      const named = ["param", "tag"].flatMap((kind) => [...this.columns[kind]]);
      for (let at = 0; at < this.count; at += 1) {
        const parts = this.marks(at);
        for (const column of own) if (column && column[at]) parts.push(column[at]);
        for (const [name, column] of named) if (column[at] !== undefined) parts.push(`${name}=${column[at]}`);
        texts[at] = parts.join("\n").toLowerCase();
      }
      return texts;
    }
  }

  class Runs {
    constructor(site) {
      this.pieces = [];
      this.handles = [];
      this.changes = site.pieces.map(() => []);
      for (const [piece, row, facts] of site.changes) this.changes[piece].push([row, facts]);
      this.total = site.runs;
    }

    add(index, record) {
      this.pieces[index] = new Piece(record, this.changes[index]);
      for (let at = 0; at < record.count; at += 1) this.handles.push(index * WIDTH + at);
    }

    get(handle, key) {
      return this.pieces[Math.floor(handle / WIDTH)].get(key.kind, key.name, handle % WIDTH);
    }

    marks(handle) {
      return this.pieces[Math.floor(handle / WIDTH)].marks(handle % WIDTH);
    }

    standing(handle) {
      return this.pieces[Math.floor(handle / WIDTH)].standing[handle % WIDTH];
    }

    attribute(handle, name) {
      return this.get(handle, { kind: "attribute", name });
    }

    // Name → how many pieces have it, of metrics, parameters or tags.
    names(kind) {
      const found = new Map();
      for (const piece of this.pieces) if (piece) for (const name of piece.columns[kind].keys()) found.set(name, (found.get(name) || 0) + 1);
      return found;
    }

    values(name) {
      const found = new Set();
      for (const piece of this.pieces) {
        for (const value of (piece && piece.columns.attribute.get(name)) || []) if (value) found.add(value);
      }
      return found;
    }

    entries(kind, handle) {
      const piece = this.pieces[Math.floor(handle / WIDTH)];
      return [...piece.columns[kind]].map(([name, column]) => [name, column[handle % WIDTH]]).filter(([, value]) => value !== undefined && value !== null);
    }

    find(id) {
      return this.handles.find((handle) => this.attribute(handle, "id") === id);
    }

    // All runs in order; what has no value, or NaN, comes last.
    ordered(key, descending) {
      const sign = descending ? -1 : 1;
      const place = (value) => value === undefined ? 3 : value !== value ? 2 : typeof value === "number" ? 0 : 1;
      const found = new Map(this.handles.map((handle) => [handle, this.get(handle, key)]));
      const compare = (one, other) => {
        const a = found.get(one), b = found.get(other);
        const first = place(a), second = place(b);
        if (first !== second) return first > 1 || second > 1 ? first - second : sign * (first - second);
        return a < b ? -sign : a > b ? sign : other - one;
      };
      return this.handles.slice().sort(compare);
    }

    // The runs of an order that a query, a model and the box for deleted ones let through.
    search(order, query, model, deleted) {
      const tests = compile(query, this);
      const found = [];
      for (const handle of order) {
        const piece = this.pieces[Math.floor(handle / WIDTH)];
        const at = handle % WIDTH;
        const standing = piece.standing[at];
        if (standing === "wrong" || (standing === "deleted" && !deleted)) continue;
        if (model && piece.columns.attribute.get("model")[at] !== model) continue;
        if (tests.every((test) => test(piece, at))) found.push(handle);
      }
      return found;
    }
  }

  const plain = (text) => text.replaceAll('"', "");

  // One test for each part of a query: all must hold.
  function compile(query, runs) {
    const parts = query.match(/(?:[^\s"]|"[^"]*"?)+/g) || [];
    return parts.map((part) => {
      const chosen = /^(model|branch|commit|status|run|name|by|is):(.+)$/i.exec(part);
      if (chosen) return oneColumn(chosen[1].toLowerCase(), plain(chosen[2]).toLowerCase());
      const compared = /^((?:[^<>=!"\s]|"[^"]*")+)(<=|>=|!=|=|<|>)(.+)$/.exec(part);
      if (compared) return comparison(plain(compared[1]), compared[2], plain(compared[3]), runs);
      const word = plain(part).toLowerCase();
      return (piece, at) => piece.texts[at].includes(word);
    });
  }

  function oneColumn(name, wanted) {
    if (name === "is") return (piece, at) => piece.marks(at).includes(wanted);
    const column = { run: "id", by: "actor" }[name] || name;
    const begins = column === "commit" || column === "id";
    return (piece, at) => {
      const value = (piece.get("attribute", column, at) || "").toLowerCase();
      return begins ? value.startsWith(wanted) : value === wanted;
    };
  }

  function comparison(name, sign, text, runs) {
    const kinds = ["metric", "param", "tag"].filter((kind) => runs.names(kind).has(name));
    const wanted = Number(text);
    const isText = text.trim() === "" || Number.isNaN(wanted);
    return (piece, at) => kinds.some((kind) => {
      const value = piece.get(kind, name, at);
      if (value === undefined) return false;
      if (isText) return sign === "=" ? String(value).toLowerCase() === text.toLowerCase() : sign === "!=" && String(value).toLowerCase() !== text.toLowerCase();
      const own = typeof value === "number" ? value : typeof value === "string" && value.trim() !== "" ? Number(value) : NaN;
      return !Number.isNaN(own) && NUMBERS[sign](own, wanted);
    });
  }

  Object.assign(window.ciplug, { Runs });
})();
