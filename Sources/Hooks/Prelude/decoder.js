// TextDecoder (Encoding standard, section 7.2): UTF-8 and UTF-16 here and in V8, the legacy encodings by ICU.
{
  const { bytesOf } = realm;
  const labels = [
    "utf-8: unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    "ibm866: 866 cp866 csibm866 ibm866",
    "iso-8859-2: csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    "iso-8859-3: csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    "iso-8859-4: csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    "iso-8859-5: csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988",
    "iso-8859-6: arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e " +
      "iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
    "iso-8859-7: csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 " +
      "iso_8859-7 iso_8859-7:1987 sun_eu_greek",
    "iso-8859-8: csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598 " +
      "iso_8859-8 iso_8859-8:1988 visual",
    "iso-8859-8-i: csiso88598i iso-8859-8-i logical",
    "iso-8859-10: csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso-8859-13: iso-8859-13 iso8859-13 iso885913",
    "iso-8859-14: iso-8859-14 iso8859-14 iso885914",
    "iso-8859-15: csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
    "iso-8859-16: iso-8859-16",
    "koi8-r: cskoi8r koi koi8 koi8-r koi8_r",
    "koi8-u: koi8-ru koi8-u",
    "macintosh: csmacintosh mac macintosh x-mac-roman",
    "windows-874: dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
    "windows-1250: cp1250 windows-1250 x-cp1250",
    "windows-1251: cp1251 windows-1251 x-cp1251",
    "windows-1252: ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 " +
      "iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
    "windows-1253: cp1253 windows-1253 x-cp1253",
    "windows-1254: cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 " +
      "latin5 windows-1254 x-cp1254",
    "windows-1255: cp1255 windows-1255 x-cp1255",
    "windows-1256: cp1256 windows-1256 x-cp1256",
    "windows-1257: cp1257 windows-1257 x-cp1257",
    "windows-1258: cp1258 windows-1258 x-cp1258",
    "x-mac-cyrillic: x-mac-cyrillic x-mac-ukrainian",
    "gbk: chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk",
    "gb18030: gb18030",
    "big5: big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc-jp: cseucpkdfmtjapanese euc-jp x-euc-jp",
    "iso-2022-jp: csiso2022jp iso-2022-jp",
    "shift_jis: csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    "euc-kr: cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 windows-949",
    "replacement: csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr replacement",
    "utf-16be: unicodefffe utf-16be",
    "utf-16le: csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
    "x-user-defined: x-user-defined",
  ];
  let encodings = null;
  function encodingOf(label) {
    if (encodings === null) {
      encodings = new Map();
      for (const line of labels) {
        const [name, rest] = line.split(": ");
        for (const one of rest.split(" ")) encodings.set(one, name);
      }
    }
    return encodings.get(label.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, "").toLowerCase());
  }

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
    #encoding; #fatal; #ignoreBOM; #held = nothing; #started = false; #legacy = null;
    constructor(label = "utf-8", options = undefined) {
      const found = encodingOf(`${label}`);
      if (found === undefined || found === "replacement") throw new RangeError(`TextDecoder: the encoding "${realm.clip(`${label}`, 40)}" is not supported`);
      const given = realm.dictionary(options, "TextDecoder: the options");
      this.#encoding = found;
      this.#fatal = Boolean(given.fatal);
      this.#ignoreBOM = Boolean(given.ignoreBOM);
    }
    get encoding() { return this.#encoding; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#ignoreBOM; }
    decode(input, options = undefined) {
      const bytes = input === undefined ? nothing : bytesOf(input);
      const stream = Boolean(realm.dictionary(options, "decode: the options").stream);
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
        case "utf-8": return this.#utf8(this.#join(bytes), stream);
        case "utf-16le": case "utf-16be": return this.#utf16(this.#join(bytes), stream, this.#encoding === "utf-16be");
        case "x-user-defined": return userDefined(bytes);
        default: return this.#byLibrary(bytes, stream);
      }
    }
    #join(bytes) {
      const all = joined(this.#held, bytes);
      this.#held = nothing;
      return all;
    }
    /// Drops the byte order mark at the beginning of a UTF text.
    #begin(text, stream) {
      const first = !this.#started;
      this.#started = stream && (this.#started || text.length > 0);
      const marked = first && !this.#ignoreBOM && this.#encoding.startsWith("utf-") && text.charCodeAt(0) === 0xfeff;
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
      let whole = bytes, odd = bytes.length % 2;
      if (stream) {
        const high = bytes[bytes.length - odd - (bigEndian ? 2 : 1)];
        whole = this.#hold(bytes, high >= 0xd8 && high <= 0xdb ? odd + 2 : odd);
        odd = 0;
      }
      let text = native.utf16Text(whole, bigEndian);
      if (realm.hasLoneSurrogate(text)) {
        if (this.#fatal) throw new TypeError("TextDecoder: the bytes are not valid UTF-16");
        text = realm.scalars(text);
      }
      if (odd === 0) return text;
      if (this.#fatal) throw new TypeError("TextDecoder: the bytes are not valid UTF-16");
      // An unpaired high surrogate and half a unit behind it are one mistake.
      return /[\ud800-\udbff]$/.test(native.utf16Text(whole, bigEndian)) ? text : `${text}\ufffd`;
    }
    #byLibrary(bytes, stream) {
      this.#legacy ??= native.decoderOpen(libraryNames[this.#encoding] ?? this.#encoding, this.#fatal);
      if (this.#legacy === null) throw new RangeError(`TextDecoder: the encoding "${this.#encoding}" is not supported`);
      const text = native.decoderDecode(this.#legacy, bytes, !stream);
      if (text === null) throw new TypeError(`TextDecoder: the bytes are not valid ${this.#encoding}`);
      return text;
    }
  }
  realm.brand(TextDecoder);
  const decode = Function.prototype.call.bind(TextDecoder.prototype.decode);
  realm.decodeText = (decoder, bytes, stream) => decode(decoder, bytes, { stream });

  // Where ICU has the standard's table under another name.
  const libraryNames = {
    "windows-1252": "ibm-5348", "iso-8859-8-i": "iso-8859-8", "x-mac-cyrillic": "x-mac-cyrillic", "gbk": "gb18030",
    "euc-kr": "windows-949", "shift_jis": "ibm-943_P15A-2003", "big5": "ibm-1375_P100-2008", "koi8-u": "koi8-u",
  };

  function userDefined(bytes) {
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte < 0x80 ? byte : 0xf780 + byte - 0x80);
    return text;
  }
  realm.expose({ TextDecoder });
}
