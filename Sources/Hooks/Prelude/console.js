// console (Console standard): lines go to the host's log, bounded in depth, width and length.
{
  const limits = { text: 8192, depth: 4, items: 50, string: 2000, groups: 16, columns: 20, cell: 80 };

  function quoted(text) { return JSON.stringify(realm.clip(text, limits.string)); }

  function functionText(value) {
    const name = Object.getOwnPropertyDescriptor(value, "name")?.value;
    const isClass = /^class\b/.test(Function.prototype.toString.call(value));
    return `[${isClass ? "class" : "Function"}${typeof name === "string" && name !== "" ? ` ${name}` : ""}]`;
  }

  function inspect(value, depth, seen) {
    switch (typeof value) {
      case "string": return quoted(value);
      case "bigint": return `${value}n`;
      case "number": return Object.is(value, -0) ? "-0" : String(value);
      case "function": return functionText(value);
      case "object": return value === null ? "null" : inspectObject(value, depth, seen);
      default: return String(value);
    }
  }

  function inspectObject(value, depth, seen) {
    if (value instanceof Error) return errorText(value);
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
    if (value instanceof RegExp) return RegExp.prototype.toString.call(value);
    if (seen.includes(value)) return "[Circular]";
    const name = typeName(value);
    if (depth >= limits.depth) return Array.isArray(value) ? "[Array]" : `[${name || "Object"}]`;
    const next = [...seen, value];
    if (Array.isArray(value)) return bracket("", "[", "]", items(value, value.length, (one) => inspect(one, depth + 1, next)));
    if (ArrayBuffer.isView(value) && "length" in value) return bracket(`${name}(${value.length}) `, "[", "]", items(value, value.length, String));
    if (value instanceof Map) return bracket(`Map(${value.size}) `, "{", "}", items(value, value.size, ([key, one]) => `${inspect(key, depth + 1, next)} => ${inspect(one, depth + 1, next)}`));
    if (value instanceof Set || realm.isHeaders(value) || realm.searchParamsText(value) !== null) return collection(value, name, depth, next);
    return bracket(name && name !== "Object" ? `${name} ` : "", "{", "}", members(value, depth, next));
  }

  function collection(value, name, depth, seen) {
    if (value instanceof Set) return bracket(`Set(${value.size}) `, "{", "}", items(value, value.size, (one) => inspect(one, depth + 1, seen)));
    const pairs = [...value];
    return bracket(`${name} `, "{", "}", items(pairs, pairs.length, ([key, one]) => `${key}: ${quoted(one)}`));
  }

  function typeName(value) {
    const prototype = Object.getPrototypeOf(value);
    if (prototype === null) return "[Object: null prototype]";
    const name = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value?.name;
    return typeof name === "string" ? name : "";
  }

  function items(iterable, size, show) {
    const out = [];
    for (const one of iterable) {
      if (out.length === limits.items) { out.push(`... ${size - limits.items} more`); break; }
      out.push(show(one));
    }
    return out;
  }

  /// Getters are not run: writing a log line has no side effects.
  function members(value, depth, seen) {
    const out = [];
    for (const key of Object.keys(value)) {
      if (out.length === limits.items) { out.push("..."); break; }
      const property = Object.getOwnPropertyDescriptor(value, key);
      const shown = /^[A-Za-z_$][\w$]*$/.test(key) ? key : quoted(key);
      out.push(`${shown}: ${property && "value" in property ? inspect(property.value, depth + 1, seen) : "[Getter]"}`);
    }
    return out;
  }

  function bracket(prefix, open, close, parts) {
    if (parts.length === 0) return `${prefix}${open}${close}`;
    return open === "[" ? `${prefix}[${parts.join(", ")}]` : `${prefix}{ ${parts.join(", ")} }`;
  }

  function errorText(error) {
    const stack = Object.getOwnPropertyDescriptor(error, "stack")?.value;
    return typeof stack === "string" && stack !== "" ? realm.clip(stack, limits.string) : `${error.name}: ${error.message}`;
  }

  const show = (value) => (typeof value === "string" ? value : inspect(value, 0, []));

  function number(value, convert) { return typeof value === "symbol" ? "NaN" : String(convert(value)); }

  /// "Formatter" of the Console standard.
  function format(values) {
    const rest = [...values];
    let text = "";
    if (typeof rest[0] === "string" && rest.length > 1 && rest[0].includes("%")) {
      text = rest.shift().replace(/%([sdifoOc%])/g, (whole, kind) => {
        if (kind === "%") return "%";
        if (rest.length === 0) return whole;
        const value = rest.shift();
        switch (kind) {
          case "s": return typeof value === "object" && value !== null ? inspect(value, limits.depth - 1, []) : String(value);
          case "d": case "i": return number(value, (one) => Number.parseInt(one, 10));
          case "f": return number(value, Number.parseFloat);
          case "c": return "";
          default: return inspect(value, 0, []);
        }
      });
    } else if (rest.length > 0) {
      text = show(rest.shift());
    }
    for (const value of rest) {
      if (text.length > limits.text) break;
      text += " " + show(value);
    }
    return realm.clip(text, limits.text);
  }

  const levels = { debug: 0, log: 1, info: 1, warn: 2, error: 3 };
  function write(level, values) {
    native.log(realm.current?.slot ?? -1, realm.current?.epoch ?? 0, level, "  ".repeat(groupDepth()) + format(values));
  }
  // Groups belong to a call: one that is never ended is over with it.
  const groups = new WeakMap(), outside = {};
  const groupDepth = () => groups.get(realm.current ?? outside) ?? 0;
  function group(change) { groups.set(realm.current ?? outside, Math.min(Math.max(groupDepth() + change, 0), limits.groups)); }

  /// The lines of console.table: a row for each member of `data`, a column for each key of those.
  function tableOf(data, only) {
    const entries = data instanceof Map ? [...data] : Object.entries(data);
    const rows = entries.slice(0, limits.items).map(([key, row]) => (
      typeof row === "object" && row !== null ? { key, cells: new Map(Object.entries(row)), plain: "" } : { key, cells: new Map(), plain: cell(row) }
    ));
    const names = only ?? [...new Set(rows.flatMap((row) => [...row.cells.keys()]))].slice(0, limits.columns);
    const plain = rows.some((row) => row.plain !== "") ? ["Values"] : [];
    const lines = [["(index)", ...names, ...plain], ...rows.map((row) => [
      `${row.key}`, ...names.map((name) => (row.cells.has(name) ? cell(row.cells.get(name)) : "")), ...plain.map(() => row.plain),
    ])];
    const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
    const text = lines.map((line) => line.map((one, column) => one.padEnd(widths[column])).join(" | ").trimEnd());
    text.splice(1, 0, widths.map((width) => "-".repeat(width)).join("-|-"));
    if (entries.length > rows.length) text.push(`... ${entries.length - rows.length} more`);
    return text;
  }
  const cell = (value) => realm.clip(inspect(value, limits.depth - 1, []), limits.cell).replaceAll("\n", " ");

  const counts = new Map(), started = new Map();
  const label = (name) => (name === undefined ? "default" : `${name}`);
  const console = {
    debug(...values) { write(levels.debug, values); },
    log(...values) { write(levels.log, values); },
    info(...values) { write(levels.info, values); },
    warn(...values) { write(levels.warn, values); },
    error(...values) { write(levels.error, values); },
    trace(...values) {
      const stack = new Error().stack.split("\n").slice(2).join("\n");
      write(levels.debug, [`Trace: ${format(values)}\n${stack}`]);
    },
    dirxml(...values) { write(levels.log, values); },
    clear() { groups.delete(realm.current ?? outside); },
    group(...values) { if (values.length > 0) write(levels.log, values); group(1); },
    groupCollapsed(...values) { if (values.length > 0) write(levels.log, values); group(1); },
    groupEnd() { group(-1); },
    table(data = undefined, columns = undefined) {
      if (typeof data !== "object" || data === null) write(levels.log, data === undefined ? [] : [data]);
      else for (const line of tableOf(data, columns === undefined ? undefined : realm.sequence(columns, "console.table: the columns").map(String))) write(levels.log, [line]);
    },
    dir(value = undefined) { write(levels.log, [inspect(value, 0, [])]); },
    assert(condition = false, ...values) {
      if (condition) return;
      if (typeof values[0] === "string") values[0] = `Assertion failed: ${values[0]}`;
      else values.unshift("Assertion failed");
      write(levels.error, values);
    },
    count(name = undefined) {
      const key = label(name);
      if (!counts.has(key) && counts.size >= 256) return;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      write(levels.info, [`${key}: ${counts.get(key)}`]);
    },
    countReset(name = undefined) { counts.delete(label(name)); },
    time(name = undefined) { if (started.size < 256) started.set(label(name), realm.now()); },
    timeLog(name = undefined, ...values) {
      const key = label(name);
      if (started.has(key)) write(levels.info, [`${key}: ${(realm.now() - started.get(key)).toFixed(1)} ms`, ...values]);
      else write(levels.warn, [`Timer "${key}" does not exist`]);
    },
    timeEnd(name = undefined) {
      console.timeLog(name);
      started.delete(label(name));
    },
  };
  Object.setPrototypeOf(console, {});
  Object.defineProperty(console, Symbol.toStringTag, { value: "console", configurable: true });
  realm.reportRejection = (reason) => native.rejected(realm.current?.slot ?? -1, realm.current?.epoch ?? 0, reason);
  realm.reportError = (error) => write(levels.error, ["Uncaught", error]);
  realm.expose({ console });
}
