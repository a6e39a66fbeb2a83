// Hosts and percent encoding of the URL standard (sections 1.3, 3).
{
  const hex = "0123456789ABCDEF";

  /// A set of characters below 128, as text: "1" in the place of each that is in it. A typed array would take memory outside of the
  /// heap in every isolate.
  realm.characterSet = (holds) => Array.from({ length: 128 }, (_, code) => (holds(code) ? "1" : "0")).join("");
  const isIn = (set, code) => set.charCodeAt(code) === 49;
  const table = (base, extra) => realm.characterSet((code) => isIn(base, code) || extra.includes(String.fromCharCode(code)));
  const c0 = realm.characterSet((code) => code < 32 || code === 127);
  const fragment = table(c0, " \"<>`");
  const query = table(c0, " \"#<>");
  const specialQuery = table(query, "'");
  const path = table(query, "?`{}^");
  const userinfo = table(path, "/:;=@[\\]|");
  realm.percentSets = { c0, fragment, query, specialQuery, path, userinfo };

  /// "UTF-8 percent-encode" with one of the sets above; bytes above 0x7F are always encoded.
  realm.percentEncode = (text, set) => {
    let plain = true;
    for (let i = 0; plain && i < text.length; i++) {
      const code = text.charCodeAt(i);
      plain = code < 128 && !isIn(set, code);
    }
    if (plain) return text;
    let out = "";
    for (const byte of realm.encode(text)) {
      out += byte < 128 && !isIn(set, byte) ? String.fromCharCode(byte) : "%" + hex[byte >> 4] + hex[byte & 15];
    }
    return out;
  };

  /// "Percent-decode" of a string, as bytes.
  realm.percentDecode = (text) => {
    const bytes = realm.encode(text);
    let length = 0;
    for (let i = 0; i < bytes.length; i++, length++) {
      const value = bytes[i] === 37 ? parseInt(hexPair(bytes, i), 16) : NaN;
      if (Number.isNaN(value)) { bytes[length] = bytes[i]; continue; }
      bytes[length] = value;
      i += 2;
    }
    return bytes.subarray(0, length);
  };
  function hexPair(bytes, i) {
    const pair = String.fromCharCode(bytes[i + 1] ?? 0, bytes[i + 2] ?? 0);
    return /^[0-9A-Fa-f]{2}$/.test(pair) ? pair : "";
  }

  function ipv4Number(text) {
    if (text === "") return NaN;
    if (/^0[xX]/.test(text)) return /^[0-9A-Fa-f]*$/.test(text.slice(2)) ? parseInt(text.slice(2) || "0", 16) : NaN;
    if (text.length > 1 && text[0] === "0") return /^[0-7]+$/.test(text) ? parseInt(text, 8) : NaN;
    return /^[0-9]+$/.test(text) ? parseInt(text, 10) : NaN;
  }

  function endsInNumber(host) {
    const parts = host.split(".");
    if (parts[parts.length - 1] === "") {
      if (parts.length === 1) return false;
      parts.pop();
    }
    const last = parts[parts.length - 1];
    return /^[0-9]+$/.test(last) || /^0[xX][0-9A-Fa-f]*$/.test(last);
  }

  /// The host as dotted decimal, or null for failure.
  function parseIPv4(host) {
    const parts = host.split(".");
    if (parts[parts.length - 1] === "" && parts.length > 1) parts.pop();
    if (parts.length > 4) return null;
    const numbers = parts.map(ipv4Number);
    if (numbers.some(Number.isNaN)) return null;
    const last = numbers.pop();
    if (numbers.some((number) => number > 255) || last >= 256 ** (4 - numbers.length)) return null;
    let address = last;
    numbers.forEach((number, i) => { address += number * 256 ** (3 - i); });
    return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
  }

  /// Eight 16-bit pieces, or null for failure.
  function parseIPv6(text) {
    let tail = [];
    const dotted = /^(.*:)([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)$/.exec(text);
    let rest = text;
    if (dotted) {
      const bytes = dotted.slice(2);
      if (bytes.some((one) => Number(one) > 255 || (one.length > 1 && one[0] === "0"))) return null;
      tail = [Number(bytes[0]) * 256 + Number(bytes[1]), Number(bytes[2]) * 256 + Number(bytes[3])];
      rest = dotted[1].endsWith("::") ? dotted[1] : dotted[1].slice(0, -1);
    }
    const halves = rest.split("::");
    if (halves.length > 2) return null;
    const pieces = halves.map((half) => (half === "" ? [] : half.split(":")));
    if (pieces.flat().some((piece) => !/^[0-9A-Fa-f]{1,4}$/.test(piece))) return null;
    const before = pieces[0].map((piece) => parseInt(piece, 16));
    const after = [...(pieces[1] ?? []).map((piece) => parseInt(piece, 16)), ...tail];
    const missing = 8 - before.length - after.length;
    if (halves.length === 1) return missing === 0 ? [...before, ...after] : null;
    return missing >= 1 ? [...before, ...new Array(missing).fill(0), ...after] : null;
  }

  function serializeIPv6(pieces) {
    let best = -1, bestLength = 1;
    for (let i = 0; i < 8; i++) {
      let length = 0;
      while (i + length < 8 && pieces[i + length] === 0) length++;
      if (length > bestLength) { best = i; bestLength = length; }
      i += length;
    }
    const text = pieces.map((piece) => piece.toString(16));
    if (best < 0) return text.join(":");
    return text.slice(0, best).join(":") + "::" + text.slice(best + bestLength).join(":");
  }

  /// Only names that are plain ASCII and not punycode need no library (UTS 46).
  function domainToASCII(domain) {
    if (/^[\x00-\x7f]*$/.test(domain) && !/xn--/i.test(domain)) return domain.toLowerCase();
    const ascii = native.domainToASCII(domain);
    return ascii !== null && /(^|\.)xn--(\.|$)/.test(ascii) ? null : ascii;
  }

  /// The host parser: a serialized host, or null for failure.
  realm.parseHost = (input, special) => {
    if (input[0] === "[") {
      if (input[input.length - 1] !== "]") return null;
      const pieces = parseIPv6(input.slice(1, -1));
      return pieces && `[${serializeIPv6(pieces)}]`;
    }
    if (!special) {
      return /[\0\t\n\r #/:<>?@[\\\]^|]/.test(input) ? null : realm.percentEncode(input, c0);
    }
    const domain = input.includes("%") ? realm.decodeRaw(realm.percentDecode(input)) : input;
    const ascii = domainToASCII(domain);
    if (ascii === null || ascii === "" || /[\x00-\x20#%/:<>?@[\\\]^|\x7f]/.test(ascii)) return null;
    return endsInNumber(ascii) ? parseIPv4(ascii) : ascii;
  };
}
