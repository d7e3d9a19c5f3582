// The runs of all pieces that have been loaded, as columns: values, search and order.
"use strict";

(() => {
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
      this.write();
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

    // All that is searched in, one run after the other in one text: that is read fastest.
    write() {
      const texts = new Array(this.count);
      this.starts = new Uint32Array(this.count + 1);
      const own = ["id", "name", "model", "commit", "branch", "actor", "host"].map((name) => this.columns.attribute.get(name));
      const named = ["param", "tag"].flatMap((kind) => [...this.columns[kind]]);
      for (let at = 0; at < this.count; at += 1) {
        const parts = this.marks(at);
        for (const column of own) if (column && column[at]) parts.push(column[at]);
        for (const [name, column] of named) if (column[at] !== undefined) parts.push(`${name}=${column[at]}`);
        texts[at] = `${parts.join("\n").toLowerCase()}\n`;
        this.starts[at + 1] = this.starts[at] + texts[at].length;
      }
      this.text = texts.join("");
    }

    // Which runs have a word: 1 or 0 for each.
    having(word) {
      const hits = new Uint8Array(this.count);
      let row = 0;
      for (let found = this.text.indexOf(word); found >= 0; found = this.text.indexOf(word, this.starts[row])) {
        while (this.starts[row + 1] <= found) row += 1;
        hits[row] = 1;
        row += 1;
        if (row === this.count) break;
      }
      return hits;
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
      // A handle is the place of a run: its piece, its row there, and its number among all.
      for (let at = 0; at < record.count; at += 1) this.handles.push({ piece: this.pieces[index], at, number: this.handles.length });
    }

    get(handle, key) {
      return handle.piece.get(key.kind, key.name, handle.at);
    }

    marks(handle) {
      return handle.piece.marks(handle.at);
    }

    standing(handle) {
      return handle.piece.standing[handle.at];
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
      return [...handle.piece.columns[kind]].map(([name, column]) => [name, column[handle.at]]).filter(([, value]) => value !== undefined && value !== null);
    }

    find(id) {
      return this.handles.find((handle) => this.attribute(handle, "id") === id);
    }

    // All runs in order; what has no value, or NaN, comes last.
    ordered(key, descending) {
      const sign = descending ? -1 : 1;
      const place = (value) => value === undefined ? 3 : value !== value ? 2 : typeof value === "number" ? 0 : 1;
      const found = this.handles.map((handle) => {
        const value = this.get(handle, key);
        return { handle, value, place: place(value) };
      });
      found.sort((one, other) => {
        if (one.place !== other.place) return one.place > 1 || other.place > 1 ? one.place - other.place : sign * (one.place - other.place);
        return one.value < other.value ? -sign : one.value > other.value ? sign : other.handle.number - one.handle.number;
      });
      return found.map((one) => one.handle);
    }

    // The runs of an order that a query, a model and the box for deleted ones let through.
    search(order, query, model, deleted) {
      const tests = compile(query);
      const passes = tests.length === 0 ? () => true : tests.length === 1 ? tests[0] : (piece, at) => tests.every((test) => test(piece, at));
      const found = [];
      for (const handle of order) {
        const { piece, at } = handle;
        const standing = piece.standing[at];
        if (standing === "wrong" || (standing === "deleted" && !deleted)) continue;
        if (model && piece.columns.attribute.get("model")[at] !== model) continue;
        if (passes(piece, at)) found.push(handle);
      }
      return found;
    }
  }

  const plain = (text) => text.replaceAll('"', "");

  // One test for each part of a query: all must hold.
  function compile(query) {
    const parts = query.match(/(?:[^\s"]|"[^"]*"?)+/g) || [];
    return parts.map((part) => {
      const chosen = /^(model|branch|commit|status|run|name|by|is):(.+)$/i.exec(part);
      if (chosen) return oneColumn(chosen[1].toLowerCase(), plain(chosen[2]).toLowerCase());
      const compared = /^((?:[^<>=!"\s]|"[^"]*")+)(<=|>=|!=|=|<|>)(.+)$/.exec(part);
      if (compared) return comparison(plain(compared[1]), compared[2], plain(compared[3]));
      const word = plain(part).toLowerCase();
      return once((piece) => piece.having(word));
    });
  }

  // A test that is made for all runs of a piece at once, when the first one is asked for.
  function once(hits) {
    const known = new Map();
    return (piece, at) => {
      let own = known.get(piece);
      if (!own) {
        own = hits(piece);
        known.set(piece, own);
      }
      return own[at] === 1;
    };
  }

  // 1 for each run in which a column passes a test; many runs have the same value.
  function hitsOf(piece, columns, passes) {
    const hits = new Uint8Array(piece.count);
    const known = new Map();
    for (const column of columns) {
      for (let at = 0; at < piece.count; at += 1) {
        const value = column[at];
        if (value === undefined || value === null) continue;
        if (!known.has(value)) known.set(value, passes(value));
        if (known.get(value)) hits[at] = 1;
      }
    }
    return hits;
  }

  function oneColumn(name, wanted) {
    if (name === "is") return (piece, at) => piece.marks(at).includes(wanted);
    const column = { run: "id", by: "actor" }[name] || name;
    const passes = column === "commit" || column === "id" ? (value) => value.toLowerCase().startsWith(wanted) : (value) => value.toLowerCase() === wanted;
    return once((piece) => hitsOf(piece, [piece.columns.attribute.get(column) || []], passes));
  }

  function comparison(name, sign, text) {
    const wanted = Number(text);
    const isText = text.trim() === "" || Number.isNaN(wanted);
    const passes = (value) => {
      if (isText) return sign === "=" ? String(value).toLowerCase() === text.toLowerCase() : sign === "!=" && String(value).toLowerCase() !== text.toLowerCase();
      const own = typeof value === "number" ? value : typeof value === "string" && value.trim() !== "" ? Number(value) : NaN;
      return !Number.isNaN(own) && NUMBERS[sign](own, wanted);
    };
    return once((piece) => hitsOf(piece, ["metric", "param", "tag"].map((kind) => piece.columns[kind].get(name)).filter(Boolean), passes));
  }

  Object.assign(window.ciplug, { Runs });
})();
