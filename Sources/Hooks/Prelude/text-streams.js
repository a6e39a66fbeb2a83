// TextEncoderStream and TextDecoderStream (Encoding standard, sections 7.5 and 7.6), and the identity transforms of
// other platforms.
{
  const S = realm.streams;

  const TextEncoderStream = S.transformClass("TextEncoderStream", () => {
    let high = "";   // a high surrogate at the end of a chunk waits for its other half
    const stream = S.transform((chunk) => {
      let text = high + `${chunk}`;
      high = "";
      const last = text.charCodeAt(text.length - 1);
      if (last >= 0xd800 && last <= 0xdbff) { high = text[text.length - 1]; text = text.slice(0, -1); }
      if (text !== "") stream.enqueue(realm.encode(text));
    }, () => { if (high !== "") stream.enqueue(realm.encode("\ufffd")); });
    return { stream };
  }, { encoding: () => "utf-8" });

  const TextDecoderStream = S.transformClass("TextDecoderStream", (label = "utf-8", options = undefined) => {
    const state = new TextDecoder(label, options);
    const stream = S.transform((chunk) => {
      const text = realm.decodeText(state, realm.bytesOf(chunk), true);
      if (text !== "") stream.enqueue(text);
    }, () => {
      const text = realm.decodeText(state, undefined, false);
      if (text !== "") stream.enqueue(text);
    });
    return { stream, state };
  }, { encoding: (state) => state.encoding, fatal: (state) => state.fatal, ignoreBOM: (state) => state.ignoreBOM });

  /// Passes bytes on as they are.
  const bytesOnly = (chunk) => {
    if (chunk instanceof Uint8Array) return chunk;
    return realm.bytesOf(chunk).slice();
  };
  const IdentityTransformStream = S.transformClass("IdentityTransformStream", () => {
    const stream = S.transform((chunk) => stream.enqueue(bytesOnly(chunk)));
    return { stream };
  });

  /// The same with its length known before: as a body it is sent with content-length.
  const FixedLengthStream = S.transformClass("FixedLengthStream", (length) => {
    const expected = Number(length);
    if (!Number.isSafeInteger(expected) || expected < 0) throw new TypeError("FixedLengthStream: not a count of bytes");
    let seen = 0;
    const stream = S.transform((chunk) => {
      const bytes = bytesOnly(chunk);
      seen += bytes.length;
      if (seen > expected) throw new TypeError(`FixedLengthStream: more than the ${expected} bytes announced`);
      stream.enqueue(bytes);
    }, () => {
      if (seen < expected) throw new TypeError(`FixedLengthStream: ${seen} of the ${expected} bytes announced`);
    });
    stream.readable.fixedLength = expected;
    return { stream };
  });
  realm.expose({ TextEncoderStream, TextDecoderStream, IdentityTransformStream, FixedLengthStream });
}
