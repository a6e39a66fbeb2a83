// TextEncoder, TextDecoder, atob, btoa (Encoding standard; HTML section 8.3).
{
  const { DOMException } = realm;

  const utf8Labels = ["unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "utf-8", "utf8", "x-unicode20utf8"];
  const latin1Labels = [
    "ansi_x3.4-1968", "ascii", "cp1252", "cp819", "csisolatin1", "ibm819", "iso-8859-1", "iso-ir-100", "iso8859-1",
    "iso88591", "iso_8859-1", "iso_8859-1:1987", "l1", "latin1", "us-ascii", "windows-1252", "x-cp1252",
  ];
  const utf16leLabels = ["csunicode", "iso-10646-ucs-2", "ucs-2", "unicode", "unicodefeff", "utf-16", "utf-16le"];
  const utf16beLabels = ["unicodefffe", "utf-16be"];
  const encodings = new Map();
  for (const [name, labels] of [["utf-8", utf8Labels], ["windows-1252", latin1Labels],
    ["utf-16le", utf16leLabels], ["utf-16be", utf16beLabels]]) {
    for (const label of labels) encodings.set(label, name);
  }
  // The 32 places where windows-1252 is not ISO 8859-1 (Encoding standard, index windows-1252).
  const windows1252 = "\u20AC\x81\u201A\u0192\u201E\u2026\u2020\u2021\u02C6\u2030\u0160\u2039\u0152\x8D\u017D\x8F" +
    "\x90\u2018\u2019\u201C\u201D\u2022\u2013\u2014\u02DC\u2122\u0161\u203A\u0153\x9D\u017E\u0178";

  function bytesOf(input) {
    if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    if (input instanceof ArrayBuffer) return new Uint8Array(input);
    throw new TypeError("the input is not an ArrayBuffer or a view of one");
  }
  realm.bytesOf = bytesOf;

  /// Encodes a string as UTF-8; lone surrogates become U+FFFD.
  realm.encode = (string) => new Uint8Array(native.encode(string));

  /// Decodes UTF-8 without looking at a byte order mark; malformed bytes become U+FFFD.
  realm.decodeRaw = (bytes) => native.decode(bytes, false);

  /// "UTF-8 decode" of the Encoding standard: drops one byte order mark.
  realm.decode = (bytes) => {
    const marked = bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
    return native.decode(marked ? bytes.subarray(3) : bytes, false);
  };

  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(input = "") { return realm.encode(`${input}`); }
    encodeInto(source, destination) {
      if (!(destination instanceof Uint8Array)) throw new TypeError("encodeInto: the destination is not a Uint8Array");
      const text = `${source}`;
      let read = 0, written = 0;
      for (const character of text) {
        const point = character.codePointAt(0);
        const size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        if (written + size > destination.length) break;
        written += size;
        read += character.length;
      }
      destination.set(realm.encode(text.slice(0, read)));
      return { read, written };
    }
  }
  realm.brand(TextEncoder);

  /// How many bytes at the end of `bytes` begin a UTF-8 sequence that is not complete yet.
  function incompleteTail(bytes) {
    for (let back = 1; back <= Math.min(3, bytes.length); back++) {
      const byte = bytes[bytes.length - back];
      if (byte < 0x80) return 0;
      if (byte < 0xc0) continue;
      const length = byte >= 0xf0 && byte <= 0xf4 ? 4 : byte >= 0xe0 && byte < 0xf0 ? 3 : byte >= 0xc2 && byte < 0xe0 ? 2 : 0;
      return length > back && validPrefix(bytes.subarray(bytes.length - back)) ? back : 0;
    }
    return 0;
  }

  /// Whether the second byte of a cut sequence may follow the first (Encoding standard, UTF-8 decoder).
  function validPrefix([first, second]) {
    if (second === undefined) return true;
    const lower = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const upper = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    return second >= lower && second <= upper;
  }

  function joined(a, b) {
    if (a.length === 0) return b;
    const both = new Uint8Array(a.length + b.length);
    both.set(a);
    both.set(b, a.length);
    return both;
  }

  const nothing = new Uint8Array(0);

  class TextDecoder {
    #encoding; #fatal; #ignoreBOM; #held = nothing; #started = false;
    constructor(label = "utf-8", options = {}) {
      const found = encodings.get(`${label}`.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, "").toLowerCase());
      if (!found) throw new RangeError(`TextDecoder: the encoding "${label}" is not supported`);
      this.#encoding = found;
      this.#fatal = Boolean(options?.fatal);
      this.#ignoreBOM = Boolean(options?.ignoreBOM);
    }
    get encoding() { return this.#encoding; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#ignoreBOM; }
    decode(input, options = {}) {
      const stream = Boolean(options?.stream);
      const bytes = joined(this.#held, input === undefined ? nothing : bytesOf(input));
      this.#held = nothing;
      try {
        return this.#begin(this.#decode(bytes, stream), stream);
      } catch (error) {
        this.#started = false;
        this.#held = nothing;
        throw error;
      }
    }
    #decode(bytes, stream) {
      switch (this.#encoding) {
        case "utf-8": return this.#utf8(bytes, stream);
        case "windows-1252": return latin1(bytes);
        default: return this.#utf16(bytes, stream, this.#encoding === "utf-16be");
      }
    }
    #begin(text, stream) {
      const first = !this.#started;
      this.#started = stream && (this.#started || text.length > 0);
      const marked = first && !this.#ignoreBOM && this.#encoding !== "windows-1252" && text.charCodeAt(0) === 0xfeff;
      return marked ? text.slice(1) : text;
    }
    #hold(bytes, count) {
      this.#held = bytes.slice(bytes.length - count);
      return bytes.subarray(0, bytes.length - count);
    }
    #utf8(bytes, stream) {
      const whole = stream ? this.#hold(bytes, incompleteTail(bytes)) : bytes;
      const text = native.decode(whole, this.#fatal);
      if (text === null) throw new TypeError("TextDecoder: the bytes are not valid UTF-8");
      return text;
    }
    #utf16(bytes, stream, bigEndian) {
      let whole = bytes;
      if (stream) {
        let count = bytes.length % 2;
        const high = bytes[bytes.length - count - (bigEndian ? 2 : 1)];
        if (high >= 0xd8 && high <= 0xdb) count += 2;
        whole = this.#hold(bytes, count);
      }
      return utf16(whole, bigEndian, this.#fatal);
    }
  }
  realm.brand(TextDecoder);

  function latin1(bytes) {
    let text = "";
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i];
      text += byte >= 0x80 && byte < 0xa0 ? windows1252[byte - 0x80] : String.fromCharCode(byte);
    }
    return text;
  }

  function utf16(bytes, bigEndian, fatal) {
    const bad = () => {
      if (fatal) throw new TypeError("TextDecoder: the bytes are not valid UTF-16");
      return "\ufffd";
    };
    const unit = (i) => (bigEndian ? (bytes[i] << 8) | bytes[i + 1] : bytes[i] | (bytes[i + 1] << 8));
    let text = "";
    let i = 0;
    for (; i + 1 < bytes.length; i += 2) {
      const one = unit(i);
      if (one < 0xd800 || one > 0xdfff) { text += String.fromCharCode(one); continue; }
      const next = one < 0xdc00 && i + 3 < bytes.length ? unit(i + 2) : 0;
      if (next >= 0xdc00 && next <= 0xdfff) { text += String.fromCharCode(one, next); i += 2; }
      else text += bad();
    }
    return i < bytes.length ? text + bad() : text;
  }

  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const values = new Int8Array(128).fill(-1);
  for (let i = 0; i < 64; i++) values[alphabet.charCodeAt(i)] = i;

  function btoa(data) {
    realm.needs(arguments.length, 1, "btoa");
    const text = `${data}`;
    let out = "";
    for (let i = 0; i < text.length; i += 3) {
      const a = text.charCodeAt(i), b = text.charCodeAt(i + 1), c = text.charCodeAt(i + 2);
      if (a > 255 || b > 255 || c > 255) throw new DOMException("btoa: a character is outside Latin-1", "InvalidCharacterError");
      const bits = (a << 16) | ((b || 0) << 8) | (c || 0);
      out += alphabet[bits >> 18] + alphabet[(bits >> 12) & 63];
      out += (i + 1 < text.length ? alphabet[(bits >> 6) & 63] : "=") + (i + 2 < text.length ? alphabet[bits & 63] : "=");
    }
    return out;
  }

  /// "Forgiving base64 decode" of the Infra standard.
  function atob(data) {
    realm.needs(arguments.length, 1, "atob");
    let text = `${data}`.replace(/[\t\n\f\r ]/g, "");
    if (text.length % 4 === 0) text = text.replace(/==?$/, "");
    if (text.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(text)) {
      throw new DOMException("atob: the string is not base64", "InvalidCharacterError");
    }
    let out = "", bits = 0, count = 0;
    for (let i = 0; i < text.length; i++) {
      bits = ((bits << 6) | values[text.charCodeAt(i)]) & 0xffffff;
      count += 6;
      if (count >= 8) { count -= 8; out += String.fromCharCode((bits >> count) & 0xff); }
    }
    return out;
  }

  realm.expose({ TextEncoder, TextDecoder, atob, btoa });
}
