// TextEncoder, atob, btoa (Encoding standard; HTML section 8.3).
{
  const { DOMException } = realm;

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
      if (written > 0) destination.set(realm.encode(text.slice(0, read)));
      return { read, written };
    }
  }
  realm.brand(TextEncoder);

  function btoa(data) {
    realm.needs(arguments.length, 1, "btoa");
    const text = native.base64(`${data}`);
    if (text === null) throw new DOMException("btoa: a character is outside Latin-1", "InvalidCharacterError");
    return text;
  }

  function atob(data) {
    realm.needs(arguments.length, 1, "atob");
    const text = native.unbase64(`${data}`);
    if (text === null) throw new DOMException("atob: the string is not base64", "InvalidCharacterError");
    return text;
  }

  realm.expose({ TextEncoder, atob, btoa });
}
