// The algorithms with one secret: digests, HMAC, AES, PBKDF2, HKDF (Web Cryptography API, sections 28 to 34).
realm.crypto.parts.push(() => {
  const C = realm.crypto;
  const blockBits = { "SHA-1": 512, "SHA-256": 512, "SHA-384": 1024, "SHA-512": 1024, MD5: 512 };
  const digestBits = { "SHA-1": 160, "SHA-256": 256, "SHA-384": 384, "SHA-512": 512, MD5: 128 };
  for (const name of Object.keys(blockBits)) C.define(name, { digest: true });

  const random = (bits) => {
    const bytes = new Uint8Array(Math.ceil(bits / 8));
    for (let at = 0; at < bytes.length; at += 65536) native.random(bytes.subarray(at, at + 65536));
    return bytes;
  };
  const secret = (algorithm, handle, extractable, usages) => C.key({ type: "secret", extractable, usages, handle, algorithm });

  // MARK: HMAC

  const hashOf = (given, what) => C.hash(C.member(given, "hash", what));
  const hmacParameters = (given) => ({
    hash: hashOf(given, "HMAC"), length: given.length === undefined ? undefined : C.count(given.length, 0xffffffff, "HMAC: length"),
  });
  const hmacUsages = ["sign", "verify"];
  const hmacKey = (hash, length, handle, extractable, usages) =>
    secret({ name: "HMAC", hash, length }, handle, extractable, usages);
  const jwkName = (hash) => `HS${hash.name.slice(4)}`;
  C.define("HMAC", {
    parameters: { generateKey: hmacParameters, importKey: hmacParameters, keyLength: hmacParameters },
    sign: (_, key, data) => C.done(native.hmac(key.algorithm.hash.name, key.handle, data), "sign"),
    verify: (_, key, signature, data) => native.sameBytes(C.done(native.hmac(key.algorithm.hash.name, key.handle, data), "verify"), signature),
    generateKey({ hash, length }, extractable, usages) {
      C.usages(usages, hmacUsages, "HMAC");
      const bits = length ?? blockBits[hash.name];
      if (bits === 0 || bits > 1 << 20) C.fail("OperationError", "HMAC: length is 0 or too large");
      return hmacKey(hash, bits, random(bits), extractable, usages);
    },
    importKey(format, data, { hash, length }, extractable, usages) {
      C.usages(usages, hmacUsages, "HMAC");
      let bytes = data;
      if (format === "jwk") {
        C.checkJWK(data, "oct", "sig", extractable, usages);
        if (data.alg !== undefined && data.alg !== jwkName(hash)) C.fail("DataError", "the JSON Web Key's alg is another");
        bytes = C.fromText(data.k);
      } else if (format !== "raw") C.fail("NotSupportedError", "HMAC keys have the formats raw and jwk");
      const bits = bytes.length * 8;
      if (bits === 0 || length !== undefined && (length > bits || length <= bits - 8)) C.fail("DataError", "HMAC: the key has another length");
      return hmacKey(hash, length ?? bits, bytes, extractable, usages);
    },
    exportKey(format, key) {
      if (format === "raw") return key.handle.slice();
      if (format !== "jwk") C.fail("NotSupportedError", "HMAC keys have the formats raw and jwk");
      return { kty: "oct", k: C.toText(key.handle), alg: jwkName(key.algorithm.hash) };
    },
    keyLength({ hash, length }) {
      if (length === 0) throw new TypeError("HMAC: length is 0");
      return length ?? blockBits[hash.name];
    },
  });

  // MARK: AES

  function defineAES(mode, allowed, members) {
    const name = `AES-${mode}`;
    const lengthOf = (given) => ({ length: C.count(C.member(given, "length", name), 0xffff, `${name}: length`) });
    const check = (length) => { if (![128, 192, 256].includes(length)) C.fail("OperationError", `${name}: a key has 128, 192 or 256 bits`); };
    C.define(name, {
      ...members,
      parameters: { generateKey: lengthOf, keyLength: lengthOf, ...members.parameters },
      generateKey({ length }, extractable, usages) {
        C.usages(usages, allowed, name);
        check(length);
        return secret({ name, length }, random(length), extractable, usages);
      },
      importKey(format, data, _, extractable, usages) {
        C.usages(usages, allowed, name);
        let bytes = data;
        if (format === "jwk") {
          C.checkJWK(data, "oct", "enc", extractable, usages);
          bytes = C.fromText(data.k);
          if (data.alg !== undefined && data.alg !== `A${bytes.length * 8}${mode}`) C.fail("DataError", "the JSON Web Key's alg is another");
        } else if (format !== "raw") C.fail("NotSupportedError", `${name} keys have the formats raw and jwk`);
        if (![16, 24, 32].includes(bytes.length)) C.fail("DataError", `${name}: a key has 128, 192 or 256 bits`);
        return secret({ name, length: bytes.length * 8 }, bytes, extractable, usages);
      },
      exportKey(format, key) {
        if (format === "raw") return key.handle.slice();
        if (format !== "jwk") C.fail("NotSupportedError", `${name} keys have the formats raw and jwk`);
        return { kty: "oct", k: C.toText(key.handle), alg: `A${key.algorithm.length}${mode}` };
      },
      keyLength({ length }) { check(length); return length; },
    });
  }

  const crypting = ["encrypt", "decrypt", "wrapKey", "unwrapKey"];
  const both = (read) => ({ encrypt: read, decrypt: read });
  const iv = (given, what) => C.bytes(C.member(given, "iv", what), `${what}: iv`);
  const block = (bytes, what) => { if (bytes.length !== 16) C.fail("OperationError", `${what} has 16 bytes`); };
  defineAES("CBC", crypting, {
    parameters: both((given) => ({ iv: iv(given, "AES-CBC") })),
    encrypt(given, key, data) { block(given.iv, "AES-CBC: iv"); return C.done(native.aes("CBC", true, key.handle, given.iv, data), "encrypt"); },
    decrypt(given, key, data) { block(given.iv, "AES-CBC: iv"); return C.done(native.aes("CBC", false, key.handle, given.iv, data), "decrypt"); },
  });

  const ctr = (given, key, data) => {
    block(given.counter, "AES-CTR: counter");
    if (given.length < 1 || given.length > 128) C.fail("OperationError", "AES-CTR: length is 1 to 128");
    return C.done(native.aesCTR(key.handle, given.counter, given.length, data), "AES-CTR");
  };
  defineAES("CTR", crypting, {
    parameters: both((given) => ({
      counter: C.bytes(C.member(given, "counter", "AES-CTR"), "AES-CTR: counter"), length: C.count(C.member(given, "length", "AES-CTR"), 255, "AES-CTR: length"),
    })),
    encrypt: ctr, decrypt: ctr,
  });

  const gcm = (encrypts) => (given, key, data) => {
    if (![32, 64, 96, 104, 112, 120, 128].includes(given.tag)) C.fail("OperationError", "AES-GCM: tagLength is 32, 64, 96, 104, 112, 120 or 128");
    return C.done(native.aesGCM(encrypts, key.handle, given.iv, data, given.additional, given.tag / 8), encrypts ? "encrypt" : "decrypt");
  };
  defineAES("GCM", crypting, {
    parameters: both((given) => ({
      iv: iv(given, "AES-GCM"),
      additional: given.additionalData === undefined ? new Uint8Array(0) : C.bytes(given.additionalData, "AES-GCM: additionalData"),
      tag: given.tagLength === undefined ? 128 : C.count(given.tagLength, 255, "AES-GCM: tagLength"),
    })),
    encrypt: gcm(true), decrypt: gcm(false),
  });

  const noIV = new Uint8Array(0);
  defineAES("KW", ["wrapKey", "unwrapKey"], {
    wrapKey(_, key, data) {
      if (data.length % 8 !== 0) C.fail("OperationError", "AES-KW: the key's length is no multiple of 8 bytes");
      return C.done(native.aes("KW", true, key.handle, noIV, data), "wrapKey");
    },
    unwrapKey(_, key, data) { return C.done(native.aes("KW", false, key.handle, noIV, data), "unwrapKey"); },
  });

  // MARK: Key derivation

  // Bytes of one derivation; what is done at once, in iterations of all blocks together (about a millisecond), and while a module loads, when nobody can wait.
  const mostDerived = 65536;
  const fewIterations = 4_000, mostIterationsAtLoad = 100_000;
  function defineKDF(name, read, derive) {
    C.define(name, {
      parameters: { deriveBits: read },
      importKey(format, data, _, extractable, usages) {
        if (format !== "raw") C.fail("NotSupportedError", `${name} keys have the format raw`);
        C.usages(usages, ["deriveKey", "deriveBits"], name);
        if (extractable) C.fail("SyntaxError", `${name} keys are not extractable`);
        return secret({ name }, data, false, usages);
      },
      async deriveBits(given, key, length) {
        if (length === null || length % 8 !== 0) C.fail("OperationError", `${name}: the length is missing or no multiple of 8`);
        return C.done(await derive(given, key, length / 8), name).buffer;
      },
      keyLength: () => null,
    });
  }
  defineKDF("PBKDF2", (given) => ({
    hash: hashOf(given, "PBKDF2"), iterations: C.count(C.member(given, "iterations", "PBKDF2"), 0xffffffff, "PBKDF2: iterations"),
    salt: C.bytes(C.member(given, "salt", "PBKDF2"), "PBKDF2: salt"),
  }), ({ hash, iterations, salt }, key, count) => {
    if (iterations === 0) C.fail("OperationError", "PBKDF2: 0 iterations");
    const blocks = Math.ceil(count * 8 / digestBits[hash.name]);
    const work = iterations * Math.max(blocks, 1);
    if (count > mostDerived) C.fail("OperationError", `PBKDF2: more than ${mostDerived} bytes`);
    if (realm.current === null && work > mostIterationsAtLoad) C.fail("OperationError", `PBKDF2: more than ${mostIterationsAtLoad} iterations while the module loads`);
    if (realm.current === null || work <= fewIterations) return native.pbkdf2(hash.name, key.handle, salt, iterations, count);
    return C.work("PBKDF2", C.kinds.pbkdf2, hash.name, key.handle, salt, iterations, count);
  });
  defineKDF("HKDF", (given) => ({
    hash: hashOf(given, "HKDF"), info: C.bytes(C.member(given, "info", "HKDF"), "HKDF: info"), salt: C.bytes(C.member(given, "salt", "HKDF"), "HKDF: salt"),
  }), ({ hash, info, salt }, key, count) => native.hkdf(hash.name, key.handle, salt, info, count));
});
