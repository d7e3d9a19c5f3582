// The runs of all pieces that have been loaded, as columns: values, search and order.
"use strict";

(() => {
  const NUMBERS = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": null, "!=": null };
  // Equality is in `equals`.
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
      if (this.get("attribute", "kind", at) === "monitor") found.push("monitor");
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
      this.byId = new Map();
      this.counts = new Map();
      this.indexed = 0;
      this.isWhole = false;
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
      if (!id) return undefined;
      this.index();
      return this.byId.get(id);
    }

    // By id, and how many child runs there are; made anew where more runs have come.
    index() {
      if (this.indexed === this.handles.length) return;
      this.byId = new Map();
      this.counts = new Map();
      for (const handle of this.handles) {
        const id = this.attribute(handle, "id"), parent = this.attribute(handle, "parent");
        if (!this.byId.has(id)) this.byId.set(id, handle);
        if (parent && this.standing(handle) !== "deleted") this.counts.set(parent, (this.counts.get(parent) || 0) + 1);
      }
      this.indexed = this.handles.length;
    }

    // All runs in order; what has no value, or NaN, comes last.
    ordered(key, descending) {
      const sign = descending ? -1 : 1;
      const place = (value) => value === undefined ? 3 : value !== value ? 2 : typeof value === "number" ? 0 : 1;
      const found = this.handles.map((handle) => {
        const value = this.get(handle, key);
        return { handle, value, place: place(value), started: this.attribute(handle, "started") || "" };
      });
      found.sort((one, other) => {
        if (one.place !== other.place) return one.place > 1 || other.place > 1 ? one.place - other.place : sign * (one.place - other.place);
        if (one.value !== other.value && one.place < 2) return one.value < other.value ? -sign : sign;
        // Of equal ones the last comes first.
        return one.started === other.started ? other.handle.number - one.handle.number : one.started < other.started ? 1 : -1;
      });
      return found.map((one) => one.handle);
    }

    // The runs of an order that a query, a model and the boxes let through; and what is to be said about the query.
    search(order, query, { model, deleted, children }) {
      const { alternatives, wrong, why } = compile(query, this);
      const folds = !children && alternatives.every((tests) => tests.length === 0);
      // A look at a version in production is no training: it is listed where it is asked for.
      const monitors = /(^|\s)is:\s*"?monitor"?(\s|$)/i.test(query);
      const passes = (piece, at) => alternatives.some((tests) => tests.every((test) => test(piece, at)));
      const found = [];
      let folded = 0, hidden = 0, others = 0;
      for (const handle of order) {
        const { piece, at } = handle;
        const standing = piece.standing[at];
        if (standing === "wrong" || !passes(piece, at)) continue;
        if (!monitors && piece.get("attribute", "kind", at) === "monitor") continue;
        if (standing === "deleted" && !deleted) {
          hidden += 1;
          continue;
        }
        if (model && piece.columns.attribute.get("model")[at] !== model) {
          others += 1;
          continue;
        }
        // A child run is counted beside its parent.
        if (folds && this.find(piece.get("attribute", "parent", at))) folded += 1;
        else found.push(handle);
      }
      if (found.length || folded || !this.isWhole) return { found, folded, advice: wrong };
      const { words } = window.ciplug;
      const elsewhere = [others ? `found in ${words(others, "run")} of other models` : "", hidden ? `found in ${words(hidden, "deleted run")}: tick ‘deleted ones, too’` : ""].filter(Boolean);
      const reasons = elsewhere.length ? elsewhere : why.map((one) => one()).filter(Boolean);
      return { found, folded, advice: [...new Set([...wrong, ...reasons])] };
    }

    // How many child runs a run has.
    children(handle) {
      this.index();
      return this.counts.get(this.attribute(handle, "id")) || 0;
    }

    // Whether any run has a metric, parameter or tag.
    has(kind, name) {
      return this.pieces.some((piece) => piece && piece.columns[kind].has(name));
    }

    // Whether any run has a word.
    hasWord(word) {
      return this.pieces.some((piece) => piece && piece.text.includes(word));
    }

    starter(handle) {
      return starter(handle.piece, handle.at);
    }
  }

  const plain = (text) => text.replaceAll('"', "");
  const COLUMNS = { model: "model", branch: "branch", commit: "commit", status: "status", run: "id", name: "name", by: "actor", parent: "parent", is: null };
  const BEGINNINGS = ["commit", "id", "parent"];
  const MARKS = ["withdrawn", "deleted", "amendment unreadable", "dirty", "files set aside", "fork", "child", "monitor", "finished", "failed", "killed", "unknown"];
  const KINDS = { metrics: ["metric"], params: ["param"], tags: ["tag"] };

  // A query: alternatives of tests that must all hold, what is wrong with it, and what may explain that it finds nothing.
  function compile(query, runs) {
    const tokens = query.match(/(?:[^\s"<>=!]|"[^"]*"?|!(?!=))+|[<>=!]{1,2}/g) || [];
    const isSign = (token) => token !== undefined && /^[<>=!]+$/.test(token);
    const found = { alternatives: [[]], wrong: [], why: [] };
    const never = () => false;
    if (query.split('"').length % 2 === 0) found.wrong.push('a quote (") is not closed');
    for (let at = 0; at < tokens.length; at += 1) {
      const token = tokens[at], tests = found.alternatives.at(-1);
      if (token === "OR") {
        if (at === 0 || at === tokens.length - 1) found.wrong.push("OR stands between two conditions");
        else found.alternatives.push([]);
      } else if (token === "AND") {
        if (at === 0 || at === tokens.length - 1) found.wrong.push("AND stands between two conditions");
      } else if (isSign(token)) {
        found.wrong.push(`before ${token} a name is missing`);
      } else if (isSign(tokens[at + 1])) {
        const sign = tokens[at + 1] === "==" ? "=" : tokens[at + 1], value = tokens[at + 2];
        at += 1;
        if (!(sign in NUMBERS)) {
          found.wrong.push(`${sign} is no comparison: ${Object.keys(NUMBERS).join(" ")}`);
        } else if (value === undefined || value === "OR" || isSign(value)) {
          found.wrong.push(`behind ${plain(token)}${sign} a value is missing`);
        } else {
          at += 1;
          tests.push(compared(plain(token), sign, plain(value), runs, found) || never);
        }
      } else {
        const test = single(token, runs, found);
        if (test !== null) tests.push(test || never);
      }
    }
    return found;
  }

  // A word, or a column and its value; undefined: nothing can have it; null: it is no condition.
  function single(token, runs, found) {
    if (token === "NOT") {
      found.wrong.push("NOT is not supported: write NAME!=VALUE, for example status!=failed");
      return undefined;
    }
    const left = /^[-!]([a-z]+):(.+)$/i.exec(token);
    if (left && left[1].toLowerCase() in COLUMNS) {
      found.wrong.push(`a condition cannot begin with ${token[0]}: write ${left[1].toLowerCase()}!=${left[2]}`);
      return undefined;
    }
    const pair = /^([a-z]+):(.*)$/i.exec(token);
    const name = pair ? pair[1].toLowerCase() : "";
    const word = plain(token).toLowerCase();
    if (pair && name in COLUMNS) {
      const wanted = plain(pair[2]).toLowerCase();
      if (wanted) return oneColumn(name, wanted, runs, found);
      found.wrong.push(`behind ${name}: a value is missing`);
      return undefined;
    }
    if (!word) {
      if (token === '""') found.wrong.push("between the quotes is nothing");
      return null;
    }
    if (pair && !pair[2].startsWith("//")) found.why.push(() => `‘${name}:’ is no column, so ‘${word}’ was looked for as a word${meant(`${name}:`, Object.keys(COLUMNS).map((one) => `${one}:`))}`);
    else if (["or", "and", "not"].includes(token)) found.why.push(() => `‘${token}’ was looked for as a word${token === "not" ? "" : `: did you mean ‘${token.toUpperCase()}’?`}`);
    else if (/^[-!]./.test(token)) found.why.push(() => `‘${word}’ was looked for as it is written: words cannot be left out, but NAME!=VALUE can`);
    else if (/^\(|\)$|[*%]/.test(token)) found.why.push(() => runs.hasWord(word) ? null : `‘${word}’ was looked for as it is written: brackets and wildcards are not supported`);
    else found.why.push(() => runs.hasWord(word) ? null : `no run has ‘${word}’`);
    return once((piece) => piece.having(word));
  }

  // A comparison of a metric, a parameter, a tag or a column; undefined: nothing is named so.
  function compared(name, sign, text, runs, found) {
    const dot = name.indexOf(".");
    const known = (kinds, one) => kinds.some((kind) => runs.has(kind, one));
    const every = ["metric", "param", "tag"];
    const kinds = !known(every, name) && KINDS[name.slice(0, dot)] || every;
    const own = kinds === every ? name : name.slice(dot + 1);
    if (!known(kinds, own)) {
      if (own.toLowerCase() in COLUMNS && (sign === "=" || sign === "!=")) {
        const test = oneColumn(own.toLowerCase(), text.toLowerCase(), runs, found);
        return sign === "=" ? test : (piece, at) => !test(piece, at);
      }
      if (runs.isWhole) found.wrong.push(`no metric, parameter or tag is named ‘${own}’${meant(own, every.flatMap((kind) => [...runs.names(kind).keys()]))}`);
      return undefined;
    }
    if (sign.length === 1 && sign !== "=" && (text.trim() === "" || Number.isNaN(Number(text)))) {
      found.wrong.push(`${sign} compares numbers, and ‘${text}’ is none`);
      return undefined;
    }
    const test = comparison(own, sign, text, kinds);
    found.why.push(() => runs.handles.some(({ piece, at }) => test(piece, at)) ? null : `no run has ${own}${sign}${text}`);
    return test;
  }

  // The nearest of some words, as a question; empty where none is near.
  function meant(word, known) {
    const most = Math.max(1, Math.floor(word.length / 3));
    let best = null, least = most + 1;
    for (const one of known) {
      const steps = distance(word.toLowerCase(), one.toLowerCase(), least);
      if (steps < least) [best, least] = [one, steps];
    }
    return best === null ? "" : `: did you mean ‘${best}’?`;
  }

  // How many letters differ, are too many, are missing or have changed places; `most` or more is not told exactly.
  function distance(one, other, most) {
    if (Math.abs(one.length - other.length) >= most) return most;
    let before = [], row = [...other, ""].map((_, at) => at);
    for (let at = 1; at <= one.length; at += 1) {
      const next = [at];
      for (let to = 1; to <= other.length; to += 1) {
        const same = one[at - 1] === other[to - 1];
        next.push(Math.min(row[to] + 1, next[to - 1] + 1, row[to - 1] + (same ? 0 : 1)));
        if (at > 1 && to > 1 && one[at - 1] === other[to - 2] && one[at - 2] === other[to - 1]) next[to] = Math.min(next[to], before[to - 2] + 1);
      }
      [before, row] = [row, next];
    }
    return row[other.length];
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

  // A column and its value; a value that no run has is explained where nothing is found.
  function oneColumn(name, wanted, runs, found) {
    if (name === "is") {
      if (!MARKS.includes(wanted)) found.wrong.push(`no run is marked ‘${wanted}’${meant(wanted, MARKS)}`);
      return (piece, at) => piece.marks(at).includes(wanted);
    }
    const column = COLUMNS[name];
    found.why.push(() => {
      const known = [...runs.values(column)];
      if (!BEGINNINGS.includes(column)) return known.some((one) => one.toLowerCase() === wanted) ? null : `no run ${name === "by" ? "was started by" : `has the ${name}`} ‘${wanted}’${meant(wanted, known)}`;
      if (known.some((one) => one.toLowerCase().startsWith(wanted))) return null;
      const isRun = column === "parent" && [...runs.values("id")].some((one) => one.startsWith(wanted));
      return isRun ? `run ‘${wanted}’ has no child runs` : `no ${column === "commit" ? "commit" : "id"} of a run begins with ‘${wanted}’`;
    });
    // Who started a run is shown as host/person.
    if (column === "actor" && wanted.includes("/")) return (piece, at) => starter(piece, at).toLowerCase() === wanted;
    const passes = BEGINNINGS.includes(column) ? (value) => value.toLowerCase().startsWith(wanted) : (value) => value.toLowerCase() === wanted;
    return once((piece) => hitsOf(piece, [piece.columns.attribute.get(column) || []], passes));
  }

  // The CI host and the person that started a run: `github/octocat`.
  function starter(piece, at) {
    const host = (piece.get("attribute", "host", at) || "–").split("_")[0], actor = piece.get("attribute", "actor", at);
    return actor ? `${host}/${actor}` : host;
  }

  // Whether a number is the one that was written: exactly, or as it is shown.
  function equals(own, wanted, text) {
    if (own === wanted) return true;
    const digits = text.replace(/e.*$/i, "").replace(/^[-+]?0*\.?0*/, "").replace(".", "").length;
    return window.ciplug.number(own) === text || (digits >= 4 && own.toPrecision(digits) === wanted.toPrecision(digits));
  }

  function comparison(name, sign, text, kinds) {
    const wanted = Number(text);
    const isText = text.trim() === "" || Number.isNaN(wanted);
    const passes = (value) => {
      if (isText) return sign === "=" ? String(value).toLowerCase() === text.toLowerCase() : sign === "!=" && String(value).toLowerCase() !== text.toLowerCase();
      const own = typeof value === "number" ? value : typeof value === "string" && value.trim() !== "" ? Number(value) : NaN;
      if (Number.isNaN(own)) return false;
      if (sign === "=" || sign === "!=") return equals(own, wanted, text.trim()) === (sign === "=");
      return NUMBERS[sign](own, wanted);
    };
    return once((piece) => hitsOf(piece, kinds.map((kind) => piece.columns[kind].get(name)).filter(Boolean), passes));
  }

  Object.assign(window.ciplug, { Runs });
})();
