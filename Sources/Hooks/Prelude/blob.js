// Blob and File (File API), FormData (XMLHttpRequest section 4), multipart/form-data (RFC 7578).
{
  const { dictionary, scalars } = realm;
  const S = realm.streams;
  const token = Symbol("token");

  const makeAll = realm.lazy(["Blob", "File", "FormData"], () => {
    const blobs = makeBlobs();
    return { ...blobs, FormData: makeForm(blobs) };
  });
  let partsOf = () => null, entriesOf = () => null;
  realm.newBlob = (bytes, type) => new (makeAll().Blob)(token, bytes, type);
  /// {bytes, type} of a Blob; null for anything else. False alarms are impossible before a Blob was ever made.
  realm.blobParts = (value) => partsOf(value);
  realm.formEntries = (value) => entriesOf(value);

  realm.blobCopy = (value) => {
    const parts = partsOf(value);
    if (parts === null) return null;
    const { Blob, File } = makeAll();
    if (!(value instanceof File)) return () => new Blob(token, parts.bytes, parts.type);
    return () => new File([value], value.name, { type: parts.type, lastModified: value.lastModified });
  };

  function typeText(value) {
    const text = `${value}`;
    return /[^\x20-\x7e]/.test(text) ? "" : text.toLowerCase();
  }

  function joinParts(parts, options) {
    if (parts === undefined) return new Uint8Array(0);
    if (typeof parts !== "object" || parts === null || typeof parts[Symbol.iterator] !== "function") throw new TypeError("Blob: the first argument is not a sequence");
    const native = dictionary(options, "Blob: the options").endings;
    const endings = native === undefined ? "transparent" : `${native}`;
    if (endings !== "transparent" && endings !== "native") throw new TypeError("Blob: endings is neither \"transparent\" nor \"native\"");
    const pieces = [];
    let length = 0;
    for (const part of parts) {
      let bytes = partsOf(part)?.bytes;
      if (bytes === undefined) {
        if (part instanceof ArrayBuffer || ArrayBuffer.isView(part)) bytes = realm.bytesOf(part);
        else bytes = realm.encode(endings === "native" ? scalars(part).replace(/\r\n?|\n/g, "\n") : scalars(part));
      }
      pieces.push(bytes);
      length += bytes.length;
    }
    const all = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) { all.set(piece, at); at += piece.length; }
    return all;
  }

  function relative(value, size, fallback) {
    if (value === undefined) return fallback;
    const number = Number(value);
    const whole = Number.isNaN(number) ? 0 : Math.trunc(Math.min(Math.max(number, -Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER));
    return whole < 0 ? Math.max(size + whole, 0) : Math.min(whole, size);
  }

  function makeBlobs() {
    class Blob {
      #bytes; #type;
      constructor(parts = undefined, options = undefined, type = "") {
        if (parts === token) { this.#bytes = options; this.#type = type; return; }
        this.#bytes = joinParts(parts, options);
        const given = dictionary(options, "Blob: the options").type;
        this.#type = given === undefined ? "" : typeText(given);
      }
      get size() { return this.#bytes.length; }
      get type() { return this.#type; }
      slice(start = undefined, end = undefined, type = undefined) {
        const size = this.#bytes.length, from = relative(start, size, 0), to = relative(end, size, size);
        return new Blob(token, this.#bytes.subarray(from, Math.max(from, to)), type === undefined ? "" : typeText(type));
      }
      async arrayBuffer() { return this.#bytes.slice().buffer; }
      async bytes() { return this.#bytes.slice(); }
      async text() { return realm.decode(this.#bytes); }
      stream() {
        const bytes = this.#bytes;
        let at = 0;
        const stream = S.readableBytes(() => {
          if (at < bytes.length) stream.controller.enqueue(bytes.slice(at, at += 65536));
          if (at >= bytes.length) {
            stream.controller.close();
            if (stream.controller.pendingPulls.length > 0) stream.controller.respond(0);
          }
          return S.resolved(undefined);
        }, () => S.resolved(undefined));
        return S.show(stream);
      }
      static {
        partsOf = (value) => (typeof value === "object" && value !== null && #bytes in value ? { bytes: value.#bytes, type: value.#type } : null);
      }
    }
    realm.brand(Blob);

    class File extends Blob {
      #name; #modified;
      constructor(parts, name, options = undefined) {
        realm.needs(arguments.length, 2, "File");
        super(parts, options);
        this.#name = scalars(name);
        const given = dictionary(options, "File: the options").lastModified;
        this.#modified = given === undefined ? Date.now() : Math.trunc(Number(given)) || 0;
      }
      get name() { return this.#name; }
      get lastModified() { return this.#modified; }
      get webkitRelativePath() { return ""; }
    }
    realm.brand(File);
    return { Blob, File };
  }

  // MARK: FormData

  function makeForm({ Blob, File }) {
    function entryValue(value, filename) {
      if (!(value instanceof Blob)) return scalars(value);
      if (value instanceof File && filename === undefined) return value;
      const name = filename === undefined ? "blob" : scalars(filename);
      return new File([value], name, { type: value.type, lastModified: value instanceof File ? value.lastModified : Date.now() });
    }
    class FormData {
      #entries = [];
      constructor(form = undefined) {
        if (form !== undefined) throw new TypeError("FormData: there are no forms here");
      }
      append(name, value, filename = undefined) {
        realm.needs(arguments.length, 2, "FormData.append");
        if (filename !== undefined && !(value instanceof Blob)) throw new TypeError("FormData.append: a file name needs a Blob");
        this.#entries.push([scalars(name), entryValue(value, filename)]);
      }
      delete(name) {
        realm.needs(arguments.length, 1, "FormData.delete");
        const key = scalars(name);
        this.#entries = this.#entries.filter((entry) => entry[0] !== key);
      }
      get(name) { realm.needs(arguments.length, 1, "FormData.get"); return this.#entries.find((entry) => entry[0] === scalars(name))?.[1] ?? null; }
      getAll(name) { realm.needs(arguments.length, 1, "FormData.getAll"); return this.#entries.filter((entry) => entry[0] === scalars(name)).map((entry) => entry[1]); }
      has(name) { realm.needs(arguments.length, 1, "FormData.has"); return this.#entries.some((entry) => entry[0] === scalars(name)); }
      set(name, value, filename = undefined) {
        realm.needs(arguments.length, 2, "FormData.set");
        if (filename !== undefined && !(value instanceof Blob)) throw new TypeError("FormData.set: a file name needs a Blob");
        const key = scalars(name), entry = [key, entryValue(value, filename)], at = this.#entries.findIndex((one) => one[0] === key);
        if (at < 0) { this.#entries.push(entry); return; }
        this.#entries = this.#entries.filter((one, index) => one[0] !== key || index === at);
        this.#entries[at] = entry;
      }
      forEach(callback, self = undefined) {
        for (const [name, value] of this) callback.call(self, value, name, this);
      }
      keys() { return realm.liveIterator(this, () => this.#entries, (entry) => entry[0], "FormData"); }
      values() { return realm.liveIterator(this, () => this.#entries, (entry) => entry[1], "FormData"); }
      entries() { return realm.liveIterator(this, () => this.#entries, (entry) => [entry[0], entry[1]], "FormData"); }
      static {
        entriesOf = (value) => (typeof value === "object" && value !== null && #entries in value ? value.#entries : null);
      }
    }
    realm.brand(FormData);
    Object.defineProperty(FormData.prototype, Symbol.iterator, { value: FormData.prototype.entries, writable: true, configurable: true });
    return FormData;
  }

  // MARK: multipart/form-data

  const escaped = (name) => name.replace(/\n/g, "%0A").replace(/\r/g, "%0D").replace(/"/g, "%22");
  const withBreaks = (text) => text.replace(/\r\n?|\n/g, "\r\n");

  /// A form as {bytes, type}.
  realm.encodeForm = (entries) => {
    const mark = crypto.randomUUID().replaceAll("-", "");
    const boundary = `----sluice${mark}`, parts = [];
    for (const [name, value] of entries) {
      const head = `--${boundary}\r\nContent-Disposition: form-data; name="${escaped(withBreaks(name))}"`;
      if (typeof value === "string") { parts.push(`${head}\r\n\r\n${withBreaks(value)}\r\n`); continue; }
      parts.push(`${head}; filename="${escaped(value.name)}"\r\nContent-Type: ${value.type || "application/octet-stream"}\r\n\r\n`, value, "\r\n");
    }
    parts.push(`--${boundary}--\r\n`);
    return { bytes: joinParts(parts, undefined), type: `multipart/form-data; boundary=${boundary}` };
  };

  function find(bytes, pattern, from) {
    for (let at = bytes.indexOf(pattern[0], from); at >= 0; at = bytes.indexOf(pattern[0], at + 1)) {
      let same = 1;
      while (same < pattern.length && bytes[at + same] === pattern[same]) same++;
      if (same === pattern.length) return at;
    }
    return -1;
  }

  function partHead(text) {
    const fields = new Map();
    for (const line of text.split("\r\n")) {
      const colon = line.indexOf(":");
      if (colon > 0) fields.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
    }
    const disposition = fields.get("content-disposition") ?? "";
    const parameter = (name) => {
      const found = new RegExp(`;\\s*${name}="([^"]*)"`, "i").exec(disposition) ?? new RegExp(`;\\s*${name}=([^;\\s]+)`, "i").exec(disposition);
      return found === null ? undefined : found[1].replace(/%0A/gi, "\n").replace(/%0D/gi, "\r").replace(/%22/g, "\"");
    };
    if (!/^form-data\s*(;|$)/i.test(disposition) || parameter("name") === undefined) throw new TypeError("formData: a part without a name");
    return { name: parameter("name"), filename: parameter("filename"), type: fields.get("content-type") };
  }

  function decodeMultipart(bytes, boundary) {
    const { FormData, File } = makeAll(), form = new FormData();
    const delimiter = realm.encode(`--${boundary}`), between = realm.encode(`\r\n--${boundary}`), blank = realm.encode("\r\n\r\n");
    let at = find(bytes, delimiter, 0);
    if (at < 0) throw new TypeError("formData: the boundary is missing");
    at += delimiter.length;
    for (;;) {
      if (bytes[at] === 45 && bytes[at + 1] === 45) return form;
      while (bytes[at] === 32 || bytes[at] === 9) at++;
      if (bytes[at] !== 13 || bytes[at + 1] !== 10) throw new TypeError("formData: a boundary line is malformed");
      const headEnd = find(bytes, blank, at), end = headEnd < 0 ? -1 : find(bytes, between, headEnd + 2);
      if (end < 0) throw new TypeError("formData: a part is cut short");
      const { name, filename, type } = partHead(realm.decode(bytes.subarray(at + 2, headEnd)));
      const content = bytes.subarray(Math.min(headEnd + 4, end), end);
      if (filename === undefined) form.append(name, realm.decodeRaw(content));
      else form.append(name, new File([content], filename, { type: type ?? "text/plain" }));
      at = end + between.length;
    }
  }

  /// The form in a body with this content type; a TypeError when it is none.
  realm.decodeForm = (bytes, type) => {
    const essence = type.split(";")[0].trim().toLowerCase();
    if (essence === "application/x-www-form-urlencoded") {
      const form = new (makeAll().FormData)();
      for (const [name, value] of realm.parseForm(realm.decodeRaw(bytes))) form.append(name, value);
      return form;
    }
    const boundary = /;\s*boundary=(?:"([^"]*)"|([^;\s]+))/i.exec(type);
    if (essence !== "multipart/form-data" || boundary === null) throw new TypeError(`formData: the content type "${realm.clip(type, 60)}" is no form's`);
    return decodeMultipart(bytes, boundary[1] ?? boundary[2]);
  };
}
