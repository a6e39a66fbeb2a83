// HTMLRewriter, the subset that most code uses: on(selector, {element, text, comments}), onDocument({doctype, text,
// comments, end}), transform(response). One pass over the text as it flows; what is kept is the open elements' names and
// attributes, never the document.
{
  const S = realm.streams;
  const voids = new Set("area base br col embed hr img input link meta param source track wbr".split(" "));
  const raw = new Set("script style textarea title xmp iframe noembed noframes".split(" "));
  const longestTag = 65536;

  // MARK: Selectors: a list of chains; a chain is compounds with the combinator in front of each

  function parseSelector(text) {
    return splitList(`${text}`).map((one) => {
      const chain = [];
      const pattern = /\s*(>|\s)?\s*((?:\*|[\w-]+)?(?:[.#][\w-]+|\[[^\]]+\])*)/gy;
      let combinator = "";
      for (let found; (found = pattern.exec(one)) !== null && found[0] !== "";) {
        if (found[2] === "") { if (found[1] === undefined) break; wrong(text); }
        combinator = chain.length === 0 ? "" : found[1]?.trim() === ">" ? ">" : " ";
        chain.push({ combinator, ...parseCompound(found[2], text) });
      }
      if (chain.length === 0 || pattern.lastIndex !== 0 && pattern.lastIndex < one.length) wrong(text);
      return chain;
    });
  }
  const wrong = (text) => { throw new TypeError(`HTMLRewriter: the selector "${realm.clip(`${text}`, 60)}" is not supported`); };
  function splitList(text) {
    const list = text.split(/,(?![^[]*\])/).map((one) => one.trim());
    if (list.includes("")) wrong(text);
    return list;
  }
  function parseCompound(text, whole) {
    const tests = [];
    const rest = text.replace(/\[\s*([\w:-]+)\s*(?:([~|^$*]?)=\s*(?:"([^"]*)"|'([^']*)'|([^\]\s]+))\s*([iI])?\s*)?\]/g, (_, name, kind, a, b, c, fold) => {
      tests.push({ name: name.toLowerCase(), kind, value: a ?? b ?? c, fold: fold !== undefined });
      return "";
    });
    if (rest.includes("[")) wrong(whole);
    for (const [, mark, name] of rest.matchAll(/([.#])([\w-]+)/g)) tests.push({ name: mark === "." ? "class" : "id", kind: mark === "." ? "~" : "", value: name, fold: false });
    return { tag: (/^(\*|[\w-]+)/.exec(rest)?.[1] ?? "*").toLowerCase(), tests };
  }
  function passes(element, { name, kind, value, fold }) {
    let held = element.attributes.find((one) => one[0] === name)?.[1];
    if (held === undefined) return false;
    if (value === undefined) return true;
    const wanted = fold ? value.toLowerCase() : value;
    if (fold) held = held.toLowerCase();
    switch (kind) {
      case "~": return held.split(/\s+/).includes(wanted);
      case "^": return wanted !== "" && held.startsWith(wanted);
      case "$": return wanted !== "" && held.endsWith(wanted);
      case "*": return wanted !== "" && held.includes(wanted);
      case "|": return held === wanted || held.startsWith(`${wanted}-`);
      default: return held === wanted;
    }
  }
  const isLike = (element, compound) => (compound.tag === "*" || compound.tag === element.name) && compound.tests.every((test) => passes(element, test));
  function matches(chain, stack, element) {
    const walk = (index, depth) => {
      if (index < 0) return true;
      const { combinator } = chain[index + 1];
      for (let at = depth; at >= 0; at--) {
        if (isLike(stack[at], chain[index]) && walk(index - 1, at - 1)) return true;
        if (combinator === ">") return false;
      }
      return false;
    };
    return isLike(element, chain[chain.length - 1]) && walk(chain.length - 2, stack.length - 1);
  }

  // MARK: What handlers are given

  const escapeText = (text) => `${text}`.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const content = (text, options) => (options?.html ? `${text}` : escapeText(text));

  /// A piece of the document that can be removed or replaced, and have something put around it.
  class Piece {
    #before = ""; #after = ""; #instead = null;
    before(text, options) { this.#before += content(text, options); return this; }
    after(text, options) { this.#after = content(text, options) + this.#after; return this; }
    replace(text, options) { this.#instead = content(text, options); return this; }
    remove() { this.#instead ??= ""; return this; }
    get removed() { return this.#instead !== null; }
    static {
      realm.pieceParts = (piece) => ({ before: piece.#before, after: piece.#after, instead: piece.#instead });
    }
  }
  class TextPiece extends Piece {
    constructor(text, last) { super(); this.text = text; this.lastInTextNode = last; }
  }
  class Comment extends Piece {
    constructor(text) { super(); this.text = text; }
  }
  class EndTag extends Piece {
    constructor(name) { super(); this.name = name; }
  }
  class Element extends Piece {
    #tag; #prepended = ""; #appended = ""; #inner = null; #unwrapped = false; #changed = false; #ends = [];
    constructor(tag) { super(); this.#tag = tag; }
    get tagName() { return this.#tag.name; }
    set tagName(name) { this.#tag.name = `${name}`; this.#changed = true; }
    get attributes() { return this.#tag.attributes.map((one) => [one[0], one[1]])[Symbol.iterator](); }
    getAttribute(name) { return this.#tag.attributes.find((one) => one[0] === `${name}`.toLowerCase())?.[1] ?? null; }
    hasAttribute(name) { return this.getAttribute(name) !== null; }
    setAttribute(name, value) {
      const key = `${name}`.toLowerCase(), held = this.#tag.attributes.find((one) => one[0] === key);
      if (/[\s"'<>/=]/.test(key) || key === "") throw new TypeError(`HTMLRewriter: "${realm.clip(key, 40)}" is not an attribute name`);
      if (held) held[1] = `${value}`; else this.#tag.attributes.push([key, `${value}`]);
      this.#changed = true;
      return this;
    }
    removeAttribute(name) {
      this.#tag.attributes = this.#tag.attributes.filter((one) => one[0] !== `${name}`.toLowerCase());
      this.#changed = true;
      return this;
    }
    prepend(text, options) { this.#prepended = content(text, options) + this.#prepended; return this; }
    append(text, options) { this.#appended += content(text, options); return this; }
    setInnerContent(text, options) { this.#inner = content(text, options); return this; }
    removeAndKeepContent() { this.#unwrapped = true; return this; }
    onEndTag(handler) { this.#ends.push(handler); }
    static {
      realm.elementParts = (element) => ({
        prepended: element.#prepended, appended: element.#appended, inner: element.#inner, unwrapped: element.#unwrapped,
        changed: element.#changed, ends: element.#ends,
      });
    }
  }

  // MARK: The pass

  class Pass {
    constructor(rules, documents, write) {
      this.rules = rules;
      this.documents = documents;
      this.write = write;
      this.rest = "";
      this.stack = [];
      this.hidden = 0;       // open elements whose content is not written
      this.rawName = null;
      this.inText = false;
    }
    put(text) { if (this.hidden === 0 && text !== "") this.write(text); }

    async feed(text, last) {
      this.rest += text;
      while (this.rest !== "") {
        const at = this.nextMark(last);
        if (at !== 0) { await this.text(this.rest.slice(0, at < 0 ? this.rest.length : at)); this.rest = at < 0 ? "" : this.rest.slice(at); continue; }
        const end = this.markEnd();
        if (end < 0) {
          if (!last && this.rest.length < longestTag) return;
          await this.text(this.rest);
          this.rest = "";
          return;
        }
        const mark = this.rest.slice(0, end);
        this.rest = this.rest.slice(end);
        await this.mark(mark);
      }
      if (last) await this.endText();
    }
    /// Where the next tag, comment or doctype begins; -1 when there is none.
    nextMark() {
      // In a script only its own end counts, and what may become it with the next piece.
      if (this.rawName !== null) return this.rest.search(new RegExp(`</${this.rawName}[\\s/>]|<(?:/(?:${prefixes(this.rawName)})?)?$`, "i"));
      return this.rest.search(/<(?:[a-zA-Z/!?]|$)/);
    }
    markEnd() {
      const { rest } = this;
      if (rest.startsWith("<!--")) return commentEnd(rest);
      if ("<!--".startsWith(rest)) return -1;
      if (/^<[!?]/.test(rest)) { const at = rest.indexOf(">"); return at < 0 ? -1 : at + 1; }
      let quote = "";
      for (let at = 1; at < rest.length; at++) {
        const one = rest[at];
        if (quote !== "") { if (one === quote) quote = ""; } else if (one === ">") return at + 1;
        else if ((one === "\"" || one === "'") && /=\s*$/.test(rest.slice(Math.max(0, at - 8), at))) quote = one;
      }
      return -1;
    }
    async text(text) {
      this.inText = true;
      await this.tellText(text, false);
    }
    async endText() {
      if (!this.inText) return;
      this.inText = false;
      await this.tellText("", true);
    }
    async tellText(text, last) {
      const handlers = [...this.documents, ...this.stack.flatMap((one) => one.handlers)].filter((one) => typeof one.text === "function");
      if (handlers.length === 0) { this.put(text); return; }
      const piece = new TextPiece(text, last);
      for (const one of handlers) await one.text(piece);
      this.putPiece(piece, text);
    }
    putPiece(piece, text) {
      const { before, after, instead } = realm.pieceParts(piece);
      this.put(before + (instead ?? text) + after);
    }
    async mark(mark) {
      await this.endText();
      if (mark.startsWith("<!--")) return this.comment(mark);
      if (/^<[!?]/.test(mark)) {
        for (const one of this.documents) if (typeof one.doctype === "function" && /^<!doctype/i.test(mark)) await one.doctype({ name: /^<!doctype\s+(\w+)/i.exec(mark)?.[1] ?? null, publicId: null, systemId: null });
        return this.put(mark);
      }
      return mark[1] === "/" ? this.endTag(mark) : this.startTag(mark);
    }
    async comment(mark) {
      const piece = new Comment(mark.slice(4).replace(/-{0,2}!?>$/, "")), text = piece.text;
      for (const one of [...this.documents, ...this.stack.flatMap((open) => open.handlers)]) if (typeof one.comments === "function") await one.comments(piece);
      this.putPiece(piece, piece.text === text ? mark : `<!--${piece.text}-->`);
    }
    async startTag(mark) {
      const tag = parseTag(mark), handlers = this.rules.filter((rule) => rule.chains.some((chain) => matches(chain, this.stack, tag))).map((rule) => rule.handlers);
      const element = new Element(tag), isVoid = voids.has(tag.name) || /\/>$/.test(mark) && !raw.has(tag.name) && this.stack.some((one) => one.name === "svg" || one.name === "math");
      for (const one of handlers) if (typeof one.element === "function") await one.element(element);
      const around = realm.pieceParts(element), parts = realm.elementParts(element);
      const gone = around.instead !== null, shown = parts.changed ? writeTag(tag, mark) : mark;
      this.put(around.before + (gone ? around.instead : parts.unwrapped ? "" : shown));
      if (isVoid) { this.put(around.after); return; }
      if (!gone) this.put(parts.prepended + (parts.inner ?? ""));
      const hides = gone || parts.inner !== null;
      if (hides) this.hidden++;
      this.stack.push({ ...tag, handlers, hides, gone, around, parts });
      if (raw.has(tag.name)) this.rawName = tag.name;
    }
    async endTag(mark) {
      const name = /^<\/([^\s/>]*)/.exec(mark)[1].toLowerCase();
      this.rawName = null;
      let at = this.stack.length - 1;
      while (at >= 0 && this.stack[at].original !== name) at--;
      if (at < 0) return this.put(mark);
      while (this.stack.length - 1 > at) await this.close(this.stack.pop(), "");
      await this.close(this.stack.pop(), mark);
    }
    async close(open, mark) {
      if (open.hides) this.hidden--;
      const tag = new EndTag(open.name);
      for (const handler of open.parts.ends) await handler(tag);
      const shown = open.parts.unwrapped || open.gone ? "" : mark !== "" && open.name !== open.original ? `</${open.name}>` : mark;
      if (!open.gone) this.put(open.parts.appended);
      this.putPiece(tag, shown);
      this.put(open.around.after);
    }
    async end() {
      await this.feed("", true);
      while (this.stack.length > 0) await this.close(this.stack.pop(), "");
      for (const one of this.documents) if (typeof one.end === "function") await one.end({ append: (text, options) => this.put(content(text, options)) });
    }
  }
  const prefixes = (name) => [...name].map((_, index) => name.slice(0, index + 1)).join("|");
  /// `<!-->` and `<!--->` are whole, and `--!>` ends a comment too (the HTML standard, 13.2.5.43 to 51).
  function commentEnd(text) {
    const plain = text.indexOf("-->", 2), odd = text.indexOf("--!>", 4);
    if (plain < 0 || odd >= 0 && odd < plain) return odd < 0 ? -1 : odd + 4;
    return plain + 3;
  }

  function parseTag(mark) {
    const name = /^<([^\s/>]*)/.exec(mark)[1].toLowerCase(), attributes = [];
    const pattern = /([^\s=/>"'][^\s=/>]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?/g;
    pattern.lastIndex = 1 + name.length;
    for (let found; (found = pattern.exec(mark)) !== null;) {
      const key = found[1].toLowerCase();
      if (!attributes.some((one) => one[0] === key)) attributes.push([key, decodeEntities(found[2] ?? found[3] ?? found[4] ?? "")]);
    }
    return { name, original: name, attributes };
  }
  const entities = { amp: "&", lt: "<", gt: ">", quot: "\"", apos: "'" };
  const decodeEntities = (text) => text.replace(/&(amp|lt|gt|quot|apos);/g, (_, name) => entities[name]);
  function writeTag(tag, mark) {
    const list = tag.attributes.map(([name, value]) => (value === "" ? ` ${name}` : ` ${name}="${value.replace(/&/g, "&amp;").replace(/"/g, "&quot;")}"`));
    return `<${tag.name}${list.join("")}${/\/>$/.test(mark) ? " /" : ""}>`;
  }

  class HTMLRewriter {
    #rules = []; #documents = [];
    on(selector, handlers) {
      realm.needs(arguments.length, 2, "HTMLRewriter.on");
      this.#rules.push({ chains: parseSelector(selector), handlers });
      return this;
    }
    onDocument(handlers) { this.#documents.push(handlers); return this; }
    transform(response) {
      if (!realm.isResponse(response)) throw new TypeError("HTMLRewriter.transform: the argument is not a Response");
      if (response.body === null) return response;
      const decoder = new TextDecoder();
      const pass = new Pass(this.#rules, this.#documents, (text) => stream.enqueue(realm.encode(text)));
      const stream = S.transform((chunk) => pass.feed(realm.decodeText(decoder, realm.bytesOf(chunk), true), false),
        async () => { await pass.feed(realm.decodeText(decoder, undefined, false), false); await pass.end(); });
      S.handled(S.pipe(realm.streamSlots(response.body), stream.writable, { preventAbort: false, preventCancel: false, preventClose: false }));
      const result = new Response(S.show(stream.readable), response);
      result.headers.delete("content-length");
      return result;
    }
  }
  realm.brand(HTMLRewriter);
  realm.expose({ HTMLRewriter });
}
