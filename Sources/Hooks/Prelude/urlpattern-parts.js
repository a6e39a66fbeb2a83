// Patterns of URLPattern: tokens, parts, regular expressions, and back to text (URL Pattern standard, section 2).
{
  const P = realm.patterns = {};
  const isNameStart = (character) => /[\p{ID_Start}$_]/u.test(character);
  const isNamePart = (character) => /[\p{ID_Continue}$\u200c\u200d]/u.test(character);
  const wrong = (message) => { throw new TypeError(`URLPattern: ${message}`); };
  P.wrong = wrong;

  /// Section 2.1. `lenient` turns mistakes into tokens of the kind "invalid".
  P.tokenize = (text, lenient) => {
    const points = [...text], tokens = [];
    let at = 0;
    const add = (kind, from, to, valueFrom = from, valueTo = to) => {
      tokens.push({ kind, index: from, value: points.slice(valueFrom, valueTo).join("") });
      at = to;
    };
    const mistake = (from, to, message) => { if (!lenient) wrong(message); add("invalid", from, to); };
    while (at < points.length) {
      const one = points[at];
      if (one === "*") add("asterisk", at, at + 1);
      else if (one === "+" || one === "?") add("modifier", at, at + 1);
      else if (one === "\\") {
        if (at === points.length - 1) mistake(at, at + 1, "a backslash at the end");
        else add("escaped", at, at + 2, at + 1, at + 2);
      } else if (one === "{") add("open", at, at + 1);
      else if (one === "}") add("close", at, at + 1);
      else if (one === ":") {
        let to = at + 1;
        while (to < points.length && (to === at + 1 ? isNameStart(points[to]) : isNamePart(points[to]))) to++;
        if (to === at + 1) mistake(at, at + 1, "a colon without a name");
        else add("name", at, to, at + 1, to);
      } else if (one === "(") {
        const to = groupEnd(points, at);
        if (to < 0) mistake(at, at + 1, "a group that is malformed");
        else add("regexp", at, to, at + 1, to - 1);
      } else add("char", at, at + 1);
    }
    add("end", at, at);
    return tokens;
  };

  /// Where the group that begins at `start` ends; -1 when it is malformed.
  function groupEnd(points, start) {
    let depth = 1;
    for (let at = start + 1; at < points.length; at++) {
      const one = points[at];
      if (one > "\x7f" || (at === start + 1 && one === "?")) return -1;
      if (one === "\\") {
        if (at === points.length - 1 || points[at + 1] > "\x7f") return -1;
        at++;
      } else if (one === ")") {
        if (--depth === 0) return at === start + 1 ? -1 : at + 1;
      } else if (one === "(") {
        depth++;
        if (points[at + 1] !== "?") return -1;
      }
    }
    return -1;
  }

  // MARK: Parts: {type: "text" | "regexp" | "segment" | "wildcard", value, modifier, name, prefix, suffix}

  const modifiers = { "?": "?", "*": "*", "+": "+" };
  class PartParser {
    constructor(text, encode, options) {
      this.tokens = P.tokenize(text, false);
      this.encode = encode;
      this.options = options;
      this.segment = `[^${escapeRegexp(options.delimiter)}]+?`;
      this.parts = [];
      this.names = new Set();
      this.fixed = "";
      this.at = 0;
      this.nextName = 0;
    }
    take(kind) {
      const token = this.tokens[this.at];
      if (token.kind !== kind) return null;
      this.at++;
      return token;
    }
    takeRegexpOrWildcard(name) { return this.take("regexp") ?? (name === null ? this.take("asterisk") : null); }
    takeModifier() { return this.take("modifier") ?? this.take("asterisk"); }
    text() {
      let text = "";
      for (;;) {
        const token = this.take("char") ?? this.take("escaped");
        if (token === null) return text;
        text += token.value;
      }
    }
    flush() {
      if (this.fixed === "") return;
      this.parts.push({ type: "text", value: this.encode(this.fixed), modifier: "", name: "", prefix: "", suffix: "" });
      this.fixed = "";
    }
    parse() {
      for (;;) {
        const char = this.take("char"), name = this.take("name"), group = this.takeRegexpOrWildcard(name);
        if (name !== null || group !== null) {
          let prefix = char === null ? "" : char.value;
          if (prefix !== "" && prefix !== this.options.prefix) { this.fixed += prefix; prefix = ""; }
          this.flush();
          this.add(prefix, name, group, "", this.takeModifier());
          continue;
        }
        const fixed = char ?? this.take("escaped");
        if (fixed !== null) { this.fixed += fixed.value; continue; }
        if (this.take("open") === null) break;
        const prefix = this.text(), inner = this.take("name"), pattern = this.takeRegexpOrWildcard(inner), suffix = this.text();
        if (this.take("close") === null) wrong("a group without its end");
        this.add(prefix, inner, pattern, suffix, this.takeModifier());
      }
      if (this.take("end") === null) wrong("a character that has no place there");
      this.flush();
      return this.parts;
    }
    add(prefix, name, group, suffix, modifierToken) {
      const modifier = modifierToken === null ? "" : modifiers[modifierToken.value];
      if (name === null && group === null && modifier === "") { this.fixed += prefix; return; }
      this.flush();
      if (name === null && group === null) {
        if (prefix !== "") this.parts.push({ type: "text", value: this.encode(prefix), modifier, name: "", prefix: "", suffix: "" });
        return;
      }
      let value = group === null ? this.segment : group.kind === "asterisk" ? ".*" : group.value, type = "regexp";
      if (value === this.segment) { type = "segment"; value = ""; } else if (value === ".*") { type = "wildcard"; value = ""; }
      const label = name !== null ? name.value : String(this.nextName++);
      if (this.names.has(label)) wrong(`the name "${realm.clip(label, 40)}" stands twice`);
      this.names.add(label);
      this.parts.push({ type, value, modifier, name: label, prefix: this.encode(prefix), suffix: this.encode(suffix) });
    }
  }
  P.parse = (text, encode, options) => new PartParser(text, encode, options).parse();

  const escapeRegexp = (text) => text.replace(/[.+*?^${}()[\]|/\\]/g, "\\$&");
  const escapePattern = (text) => text.replace(/[+*?:{}()\\]/g, "\\$&");

  /// {source, names} of the regular expression for a list of parts.
  P.regexp = (parts, { delimiter }) => {
    let source = "^";
    const names = [];
    for (const { type, value, modifier, name, prefix, suffix } of parts) {
      if (type === "text") { source += modifier === "" ? escapeRegexp(value) : `(?:${escapeRegexp(value)})${modifier}`; continue; }
      names.push(name);
      const inner = type === "segment" ? `[^${escapeRegexp(delimiter)}]+?` : type === "wildcard" ? ".*" : value;
      const before = escapeRegexp(prefix), after = escapeRegexp(suffix);
      if (prefix === "" && suffix === "") source += modifier === "" || modifier === "?" ? `(${inner})${modifier}` : `((?:${inner})${modifier})`;
      else if (modifier === "" || modifier === "?") source += `(?:${before}(${inner})${after})${modifier}`;
      else source += `(?:${before}((?:${inner})(?:${after}${before}(?:${inner}))*)${after})${modifier === "*" ? "?" : ""}`;
    }
    return { source: `${source}$`, names };
  };

  /// The pattern as text, from its parts.
  P.text = (parts, options) => parts.map((part, index) => partText(part, parts[index - 1], parts[index + 1], options)).join("");
  function partText(part, before, after, { delimiter, prefix: usual }) {
    const { type, value, modifier, name, prefix, suffix } = part;
    if (type === "text") return modifier === "" ? escapePattern(value) : `{${escapePattern(value)}}${modifier}`;
    const custom = !/^[0-9]/.test(name);
    let grouped = suffix !== "" || (prefix !== "" && prefix !== usual);
    if (!grouped && custom && type === "segment" && modifier === "" && after !== undefined && after.prefix === "" && after.suffix === "") {
      grouped = after.type === "text" ? isNamePart([...after.value][0] ?? "") : /^[0-9]/.test(after.name);
    }
    if (!grouped && prefix === "" && before?.type === "text" && before.value.at(-1) === usual && usual !== "") grouped = true;
    let text = grouped ? "{" : "";
    text += escapePattern(prefix);
    if (custom) text += `:${name}`;
    if (type === "regexp") text += `(${value})`;
    else if (type === "segment" && !custom) text += `([^${escapeRegexp(delimiter)}]+?)`;
    else if (type === "wildcard") {
      const plain = !custom && (before === undefined || before.type === "text" || before.modifier !== "" || grouped || prefix !== "");
      text += plain ? "*" : "(.*)";
    }
    if (type === "segment" && custom && suffix !== "" && isNamePart([...suffix][0])) text += "\\";
    text += escapePattern(suffix);
    return text + (grouped ? "}" : "") + modifier;
  }
}
