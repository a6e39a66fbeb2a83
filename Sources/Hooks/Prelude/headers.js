// Headers (Fetch standard, section 5.1).
//
// A Headers object is either a list of its own, or a view of the head of a live exchange: then every
// read asks the host with (slot, epoch), which refuses when that exchange is over, and edits are kept
// here until the hook is done. So a hook that fails half-way has changed nothing.
{

  const { needs } = realm;
  const { header: readHeader, edit: stageEdit } = native;
  const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
  // Fields that end a message or speak for a connection; the host refuses them too (FieldName.isFraming).
  const gatewayOnly = new Set([
    "connection", "content-length", "expect", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
  ]);

  // Hooks use few names, again and again: lower case and validity are worked out once, and the host is told a number.
  const names = new Map();
  function nameRecord(name) { return names.get(name) ?? newName(name); }
  function newName(name) {
    const text = `${name}`;
    if (!token.test(text)) throw new TypeError(`"${realm.clip(text, 60)}" is not a header name`);
    const lower = text.toLowerCase();
    if (names.size >= 512) names.clear();
    const made = names.get(lower) ?? { lower, number: notAsked, isOwned: gatewayOnly.has(lower), isHost: lower === "host" };
    names.set(lower, made);
    names.set(text, made);
    return made;
  }
  // The name that was asked for last, and the one that was set last: mostly it is the same one again.
  let readName = null, readRecord = null, setName = null, setRecord = null;
  function recordToRead(name) {
    if (name === readName) return readRecord;
    const known = nameRecord(name);
    if (typeof name === "string") { readName = name; readRecord = known; }
    return known;
  }
  function recordToSet(name) {
    if (name === setName) return setRecord;
    const known = nameRecord(name);
    if (typeof name === "string") { setName = name; setRecord = known; }
    return known;
  }
  const notAsked = -1;
  const fieldName = (name) => nameRecord(name).lower;
  /// The number by which the host knows a name; negative once its table is full: the name itself is handed over then.
  function numberOf(known) {
    if (known.number === notAsked) known.number = native.fieldNumber(known.lower);
    return known.number;
  }
  function fromHost(slot, epoch, side, known) {
    const number = numberOf(known);
    return number < 0 ? readHeader(slot, epoch, side, known.lower) : readHeader(slot, epoch, side | number << 1);
  }
  function editHost(slot, epoch, side, action, known, value) {
    const number = numberOf(known);
    if (number < 0) stageEdit(slot, epoch, side | action << 1, value, known.lower);
    else stageEdit(slot, epoch, side | action << 1 | number + 1 << 3, value);
  }

  // Two numbers that the host reads behind a call: what the text means that is the call's result, and whether the text that the call
  // brought along was wanted. Null where nothing of a call may stay for the next.
  let box = null;
  realm.openBox = () => { box = native.answerBox(); };
  const longestAnswer = 512;   // CV8_LONGEST_ANSWER

  /// The value of a field of a live head. Mostly the call brought it along.
  function readLive(slot, epoch, side, known) {
    const now = realm.current;
    if (now === null) return fromHost(slot, epoch, side, known);
    if (known.number >= 0 && now.brought === (side | known.number << 1) && now.slot === slot && now.epoch === epoch && !now.finished) {
      box[1] = 1;
      return now.lastRead;
    }
    // Kept with the call, which is as young: V8 would have to remember that something old refers to it.
    now.brought = -1;
    return (now.lastRead = fromHost(slot, epoch, side, known));
  }

  const isSpace = (code) => code === 32 || code === 9 || code === 10 || code === 13;

  const brokenValue = "a header value holds a NUL or a line break", wideValue = "a header value holds a character above U+00FF";
  const wide = /[^\0-\xff]/;
  // This runs for every header that a hook sets. Searches for one character are V8's fastest look at a long text, a loop the
  // fastest at a short one.
  function fieldValue(value) {
    // What was read of a head is a field's value already, and hooks set the same one again and again.
    if (typeof value === "string" && (value === realm.current?.lastRead || value === lastChecked)) return value;
    return (lastChecked = checkedValue(value));
  }
  let lastChecked = null;
  function checkedValue(value) {
    let text = typeof value === "string" ? value : `${value}`;
    if (isSpace(text.charCodeAt(0)) || isSpace(text.charCodeAt(text.length - 1))) text = text.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
    if (text.length > 16) {
      if (text.includes("\n") || text.includes("\r") || text.includes("\0")) throw new TypeError(brokenValue);
      if (wide.test(text)) throw new TypeError(wideValue);
      return text;
    }
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code === 0 || code === 10 || code === 13) throw new TypeError(brokenValue);
      if (code > 255) throw new TypeError(wideValue);
    }
    return text;
  }

  /// What a view wants changed of one name: the values are set instead of what is there (`replace`), or added. Edits are a list by
  /// `next`, and the first value stands apart: most hooks change one field, and set one value.
  class Edit {
    constructor(known, replace, values) {
      this.known = known;
      this.replace = replace;
      this.first = null;
      this.more = null;
      this.next = null;
      if (typeof values === "string") this.first = values;
      else this.put(values);
    }
    put(values) {
      this.first = values.length > 0 ? values[0] : null;
      this.more = values.length > 1 ? values.slice(1) : null;
    }
    get values() { return this.first === null ? [] : this.more === null ? [this.first] : [this.first, ...this.more]; }
  }
  Object.setPrototypeOf(Edit.prototype, null);   // no setter on Object.prototype sees an edit

  function findEdit(edits, name) {
    for (let edit = edits; edit !== null; edit = edit.next) if (edit.known.lower === name) return edit;
    return null;
  }
  function copyEdits(edits) {
    if (edits === null) return null;
    const copy = new Edit(edits.known, edits.replace, edits.values);
    let last = copy;
    for (let edit = edits.next; edit !== null; edit = edit.next) last = last.next = new Edit(edit.known, edit.replace, edit.values);
    return copy;
  }

  /// "ByteString" of Web IDL.
  function byteString(value, what) {
    const text = `${value}`;
    for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 255) throw new TypeError(`a header ${what} holds a character above U+00FF`);
    return text;
  }
  /// Everything is read and converted before the first of it is used.
  function record(init) {
    const pairs = [];
    for (const key of Reflect.ownKeys(init)) {
      if (Reflect.getOwnPropertyDescriptor(init, key)?.enumerable) pairs.push([byteString(key, "name"), byteString(init[key], "value")]);
    }
    return pairs;
  }
  function pairsIn(init) {
    return realm.sequence(init, "Headers: the argument").map((pair) => {
      const two = typeof pair === "object" && pair !== null ? [...pair] : [];
      if (two.length !== 2) throw new TypeError("Headers: each pair must be [name, value]");
      return [byteString(two[0], "name"), byteString(two[1], "value")];
    });
  }

  const combine = (values) => values.join(", ");
  const live = Symbol("live");
  let stage, answer, overlay, fill, freeze, isHeaders, clearEdits, entries;

  class Headers {
    #list = null;          // [[lower-case name, value]...] of an object of its own
    #slot = -1; #epoch = 0; #side = 0;
    #edits = null;         // of a view: the first Edit, one for each name
    #immutable = false;
    constructor(init, slot, epoch, side) {
      if (init === live) {
        this.#slot = slot;
        this.#epoch = epoch;
        this.#side = side;
        return;
      }
      this.#make(init);
    }
    #make(init) {
      this.#list = [];
      if (init !== undefined) fill(this, init);
    }

    #check(name) {
      if (this.#immutable) throw new TypeError("these headers are immutable; change a copy: new Headers(headers)");
      const known = recordToSet(name);
      if (this.#slot >= 0) realm.alive(this.#slot, this.#epoch);
      return known;
    }

    /// The values of one name, in order; of a view without edits this is what the host combined.
    #values(lower) {
      if (this.#list !== null) {
        const values = [];
        for (const pair of this.#list) if (pair[0] === lower) values.push(pair[1]);
        return values;
      }
      const edit = findEdit(this.#edits, lower);
      if (edit?.replace) { realm.alive(this.#slot, this.#epoch); return edit.values; }
      const base = lower === "set-cookie" ? this.#cookies() : this.#base(lower);
      return edit ? [...base, ...edit.values] : base;
    }
    #base(lower) {
      const value = fromHost(this.#slot, this.#epoch, this.#side, nameRecord(lower));
      return value === null ? [] : [value];
    }
    #cookies() { return this.#all().filter((pair) => pair[0] === "set-cookie").map((pair) => pair[1]); }
    #all() {
      const flat = native.headers(this.#slot, this.#epoch, this.#side);
      if (flat === "") return [];
      const parts = flat.split("\n"), pairs = [];
      for (let i = 0; i + 1 < parts.length; i += 2) pairs.push([parts[i].toLowerCase(), parts[i + 1]]);
      return pairs;
    }

    /// Every pair, with the edits of a view applied.
    #pairs() {
      if (this.#list !== null) return this.#list;
      const pairs = this.#all();
      if (this.#edits === null) return pairs;
      const kept = pairs.filter((pair) => !findEdit(this.#edits, pair[0])?.replace);
      for (let edit = this.#edits; edit !== null; edit = edit.next) for (const value of edit.values) kept.push([edit.known.lower, value]);
      return kept;
    }

    get(name) {
      if (arguments.length < 1) needs(0, 1, "Headers.get");
      const known = recordToRead(name);
      if (this.#slot >= 0 && this.#edits === null) return readLive(this.#slot, this.#epoch, this.#side, known);
      return this.#combined(known);
    }
    #combined(known) {
      const values = this.#values(known.lower);
      return values.length === 0 ? null : combine(values);
    }
    has(name) {
      needs(arguments.length, 1, "Headers.has");
      return this.#values(fieldName(name)).length > 0;
    }
    set(name, value) {
      if (arguments.length < 2) needs(arguments.length, 2, "Headers.set");
      const known = this.#check(name), text = fieldValue(value);
      if (this.#list === null) this.#edit(known, true, text);
      else this.#setOwn(known.lower, text);
    }
    #setOwn(lower, text) {
      const first = this.#list.find((pair) => pair[0] === lower);
      if (!first) { this.#list.push([lower, text]); return; }
      first[1] = text;
      this.#list = this.#list.filter((pair) => pair === first || pair[0] !== lower);
    }
    append(name, value) {
      needs(arguments.length, 2, "Headers.append");
      const known = this.#check(name), text = fieldValue(value);
      if (this.#list !== null) { this.#list.push([known.lower, text]); return; }
      const before = findEdit(this.#edits, known.lower);
      this.#edit(known, before?.replace ?? false, [...(before?.values ?? []), text]);
    }
    delete(name) {
      needs(arguments.length, 1, "Headers.delete");
      const known = this.#check(name);
      if (this.#list !== null) this.#list = this.#list.filter((pair) => pair[0] !== known.lower);
      else if (!known.isOwned) this.#record(known, true, []);
    }
    #edit(known, replace, values) {
      if (known.isOwned || (known.isHost && this.#side === 0)) this.#refuse(known);
      this.#record(known, replace, values);
    }
    #refuse(known) {
      const remedy = known.isHost ? "; return a Request with another url instead" : "";
      throw new TypeError(`the header "${known.lower}" belongs to the gateway${remedy}`);
    }
    /// `values`: one, or a list.
    #record(known, replace, values) {
      if (this.#edits === null) this.#edits = new Edit(known, replace, values);
      else this.#recordMore(known, replace, values);
    }
    #recordMore(known, replace, values) {
      const before = findEdit(this.#edits, known.lower);
      if (before !== null) {
        before.replace = replace;
        before.put(typeof values === "string" ? [values] : values);
        return;
      }
      let last = this.#edits;
      while (last.next !== null) last = last.next;
      last.next = new Edit(known, replace, values);
    }
    getSetCookie() { return [...this.#values("set-cookie")]; }

    /// "Sort and combine" of the Fetch standard.
    #sorted() {
      const found = new Map(), cookies = [];
      for (const [name, value] of this.#pairs()) {
        if (name === "set-cookie") cookies.push([name, value]);
        else if (found.has(name)) found.get(name).push(value);
        else found.set(name, [value]);
      }
      const pairs = [...found].map(([name, values]) => [name, combine(values)]);
      return [...pairs, ...cookies].sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    }
    forEach(callback, self = undefined) {
      if (typeof callback !== "function") throw new TypeError("Headers.forEach: the callback is not a function");
      let index = 0;
      for (let list = this.#sorted(); index < list.length; index++, list = this.#sorted()) {
        callback.call(self, list[index][1], list[index][0], this);
      }
    }
    keys() { return realm.liveIterator(this, () => this.#sorted(), (pair) => pair[0], "Headers"); }
    values() { return realm.liveIterator(this, () => this.#sorted(), (pair) => pair[1], "Headers"); }
    entries() { return realm.liveIterator(this, () => this.#sorted(), (pair) => [pair[0], pair[1]], "Headers"); }

    static {
      realm.isOverlay = (headers) => headers.#slot >= 0;
      isHeaders = (value) => typeof value === "object" && value !== null && #list in value;
      freeze = (headers) => { headers.#immutable = true; return headers; };
      clearEdits = (headers) => { headers.#edits = null; };

      fill = (headers, init) => {
        if (typeof init !== "object" && typeof init !== "function" || init === null) {
          throw new TypeError("Headers: give a Headers object, an object of names and values, or an array of pairs");
        }
        const iterate = init[Symbol.iterator];
        if (isHeaders(init) && iterate === entries) { headers.#list = init.#pairs().map((pair) => [pair[0], pair[1]]); return; }
        for (const [name, value] of iterate === undefined || iterate === null ? record(init) : pairsIn(init)) headers.append(name, value);
      };

      /// A copy that stays a view of the exchange while `init` is one of it: costs one object, no text.
      overlay = (init, slot, epoch, side) => {
        if (slot < 0 || !isHeaders(init) || init.#slot !== slot || init.#epoch !== epoch || init.#side !== side) return new Headers(init);
        realm.alive(slot, epoch);
        const copy = new Headers(live, slot, epoch, side);
        copy.#edits = copyEdits(init.#edits);
        return copy;
      };

      /// Hands what these headers say to the host, as edits of the head of (slot, epoch, side).
      stage = (headers, slot, epoch, side) => {
        const ours = headers.#slot === slot && headers.#epoch === epoch && headers.#side === side;
        if (!ours) {
          native.edit(slot, epoch, side, "", "");
          for (const [name, value] of headers.#pairs()) {
            const known = nameRecord(name);
            if (!known.isOwned) editHost(slot, epoch, side, 2, known, value);
          }
          return true;
        }
        for (let edit = headers.#edits; edit !== null; edit = edit.next) {
          const { known, first, more } = edit;
          if (first === null) editHost(slot, epoch, side, 3, known, "");
          else editHost(slot, epoch, side, edit.replace ? 1 : 2, known, first);
          if (more !== null) for (let i = 0; i < more.length; i++) editHost(slot, epoch, side, 2, known, more[i]);
        }
        return headers.#edits !== null;
      };

      /// The same as the last thing that a call does: one value of one name is left to its result. Null: there is nothing left to tell.
      answer = (headers, slot, epoch, side) => {
        const edit = headers.#edits;
        if (edit !== null && edit.next === null && edit.first !== null && edit.more === null && edit.first.length <= longestAnswer && box !== null
          && headers.#slot === slot && headers.#epoch === epoch && headers.#side === side) {
          const number = numberOf(edit.known);
          if (number >= 0) {
            box[0] = side | (edit.replace ? 1 : 2) << 1 | number + 1 << 3;
            return edit.first;
          }
        }
        stage(headers, slot, epoch, side);
        return null;
      };

      realm.flatHeaders = (headers) => headers.#pairs().map((pair) => `${pair[0]}\n${pair[1]}\n`).join("");
    }
  }
  realm.brand(Headers);
  entries = Headers.prototype.entries;
  Object.defineProperty(Headers.prototype, Symbol.iterator, {
    value: Headers.prototype.entries, writable: true, configurable: true,
  });

  realm.Headers = Headers;
  realm.liveHeaders = (slot, epoch, side) => new Headers(live, slot, epoch, side);
  /// Headers of an answer that the host handed over as "name\nvalue\n..." text.
  realm.headersFromText = (flat) => {
    const headers = new Headers(), parts = flat.split("\n");
    for (let i = 0; i + 1 < parts.length; i += 2) headers.append(parts[i], parts[i + 1]);
    return freeze(headers);
  };
  Object.assign(realm, { Headers, isHeaders, overlayHeaders: overlay, stageHeaders: stage, answerHeaders: answer, freezeHeaders: freeze, clearHeaderEdits: clearEdits });
  realm.isToken = (text) => token.test(text);
  realm.expose({ Headers });
}
