// The algorithms with key pairs: RSA, ECDSA, ECDH, Ed25519, Ed448, X25519, X448 (Web Cryptography API, sections 20 to 27).
realm.crypto.parts.push(() => {
  const C = realm.crypto;
  const hashOf = (given, what) => C.hash(C.member(given, "hash", what));
  const make = (type, algorithm, handle, extractable, usages) => C.key({ type, algorithm, handle, extractable, usages });
  const split = (usages, allowed) => usages.filter((usage) => allowed.includes(usage));

  /// Both keys of a fresh private one.
  function keyPair(algorithm, handle, extractable, usages, publicUsages, privateUsages) {
    C.usages(usages, [...publicUsages, ...privateUsages], algorithm.name);
    return {
      privateKey: make("private", algorithm, C.done(handle, "generateKey"), extractable, split(usages, privateUsages)),
      publicKey: make("public", algorithm, native.keyPublic(handle), true, split(usages, publicUsages)),
    };
  }
  /// Reads pkcs8 and spki; a DataError unless OpenSSL finds a key of this type.
  function read(format, data, type) {
    const handle = native.keyRead(format, data);
    if (handle === null || native.keyType(handle) !== type) C.fail("DataError", `the ${format} key is not of ${type}`);
    return handle;
  }
  function write(format, key) {
    if (format === "pkcs8" && key.type !== "private" || format === "spki" && key.type !== "public") {
      C.fail("InvalidAccessError", `a ${key.type} key has no ${format} form`);
    }
    return C.done(native.keyWrite(key.handle, format), "exportKey");
  }
  const only = (key, type) => { if (key.type !== type) C.fail("InvalidAccessError", `a ${type} key is needed`); };

  // MARK: RSA

  const numbers = { n: "n", e: "e", d: "d", p: "rsa-factor1", q: "rsa-factor2", dp: "rsa-exponent1", dq: "rsa-exponent2", qi: "rsa-coefficient1" };
  const number = (handle, name) => native.keyNumber(handle, numbers[name], 1);
  // While a module loads there is nobody to wait for a key, and nothing interrupts the making of one.
  const mostBits = 8192, mostBitsAtLoad = 2048;
  async function makeRSA(length, exponent) {
    if (realm.current === null) return native.keyMake("RSA", length, exponent);
    return native.keyRead("pkcs8", await C.work("generateKey", C.kinds.rsa, length, exponent));
  }

  function rsaAlgorithm(name, handle, hash) {
    const n = number(handle, "n");
    return { name, modulusLength: n.length * 8 - Math.clz32(n[0]) + 24, publicExponent: number(handle, "e"), hash };
  }
  function rsaFromJWK(jwk, name, use, hash, extractable, usages) {
    C.checkJWK(jwk, "RSA", use, extractable, usages);
    if (jwk.alg !== undefined && jwk.alg !== jwkAlg(name, hash)) C.fail("DataError", "the JSON Web Key's alg is another");
    const names = jwk.d === undefined ? ["n", "e"] : Object.keys(numbers);
    const handle = native.keyRSA(...names.map((one) => C.fromText(jwk[one])));
    return handle ?? C.fail("DataError", `the JSON Web Key is not an RSA key, or has more than ${mostBits} bits`);
  }
  function jwkAlg(name, hash) {
    const bits = hash.name.slice(4);
    return name === "RSA-PSS" ? `PS${bits}` : name === "RSA-OAEP" ? (bits === "1" ? "RSA-OAEP" : `RSA-OAEP-${bits}`) : `RS${bits}`;
  }

  function defineRSA(name, use, publicUsages, privateUsages, members) {
    const hashed = (given) => ({ hash: hashOf(given, name) });
    C.define(name, {
      ...members,
      parameters: {
        generateKey: (given) => ({
          hash: hashOf(given, name), length: C.count(C.member(given, "modulusLength", name), 0xffffffff, `${name}: modulusLength`),
          exponent: C.bytes(C.member(given, "publicExponent", name), `${name}: publicExponent`),
        }),
        importKey: hashed, ...members.parameters,
      },
      async generateKey({ hash, length, exponent }, extractable, usages) {
        C.usages(usages, [...publicUsages, ...privateUsages], name);
        let value = 0;
        for (const byte of exponent) value = value * 256 + byte;
        if (value !== 3 && value !== 65537) C.fail("OperationError", `${name}: publicExponent is 3 or 65537`);
        const most = realm.current === null ? mostBitsAtLoad : mostBits;
        if (length < 1024 || length > most || length % 8 !== 0) C.fail("OperationError", `${name}: modulusLength is 1024 to ${most}`);
        const handle = C.done(await makeRSA(length, value), "generateKey");
        return keyPair(rsaAlgorithm(name, handle, hash), handle, extractable, usages, publicUsages, privateUsages);
      },
      importKey(format, data, { hash }, extractable, usages) {
        if (format === "raw") C.fail("NotSupportedError", `${name} keys have no raw form`);
        const isPrivate = format === "pkcs8" || format === "jwk" && data.d !== undefined;
        C.usages(usages, isPrivate ? privateUsages : publicUsages, name);
        const handle = format === "jwk" ? rsaFromJWK(data, name, use, hash, extractable, usages) : read(format, data, "RSA");
        return make(isPrivate ? "private" : "public", rsaAlgorithm(name, handle, hash), handle, extractable, usages);
      },
      exportKey(format, key) {
        if (format === "raw") C.fail("NotSupportedError", `${name} keys have no raw form`);
        if (format !== "jwk") return write(format, key);
        const jwk = { kty: "RSA", alg: jwkAlg(name, key.algorithm.hash) };
        for (const one of key.type === "private" ? Object.keys(numbers) : ["n", "e"]) jwk[one] = C.toText(number(key.handle, one));
        return jwk;
      },
    });
  }

  // What PairTask::Kind has.
  const sign = 0, verify = 1, encrypt = 2, decrypt = 3;
  /// An operation with an RSA key; the bytes that come of it. With a key of up to 2,048 bits at once, which is quicker; what takes
  /// longer is done beside the requests.
  function pair(what, kind, { handle, algorithm }, padding, saltBytes, labelBytes, bytes, signature = null) {
    const effort = native.keyEffort(handle, kind === sign || kind === decrypt);
    const given = [kind, handle, algorithm.hash.name, padding, saltBytes, labelBytes, bytes, signature];
    if (effort > 0 && realm.current !== null) return C.work(what, C.kinds.pair, ...given);
    if (effort > 1) C.fail("OperationError", `${what}: while a module loads, RSA keys have up to 4096 bits`);
    return C.done(native.pair(...given), what);
  }
  function signing(padding, salt) {
    return {
      sign(given, key, data) { only(key, "private"); return pair("sign", sign, key, padding, salt(given), null, data); },
      async verify(given, key, signature, data) {
        only(key, "public");
        if (signature.length > 4096) return false;
        return (await pair("verify", verify, key, padding, salt(given), null, data, signature))[0] === 1;
      },
    };
  }
  defineRSA("RSASSA-PKCS1-v1_5", "sig", ["verify"], ["sign"], signing("", () => 0));
  const salt = (given) => ({ salt: C.count(C.member(given, "saltLength", "RSA-PSS"), 0xffffffff, "RSA-PSS: saltLength") });
  defineRSA("RSA-PSS", "sig", ["verify"], ["sign"], { parameters: { sign: salt, verify: salt }, ...signing("PSS", (given) => Math.min(given.salt, 1 << 20)) });
  const label = (given) => ({ label: given.label === undefined ? new Uint8Array(0) : C.bytes(given.label, "RSA-OAEP: label") });
  defineRSA("RSA-OAEP", "enc", ["encrypt", "wrapKey"], ["decrypt", "unwrapKey"], {
    parameters: { encrypt: label, decrypt: label },
    encrypt(given, key, data) { only(key, "public"); return pair("encrypt", encrypt, key, "", 0, given.label, data); },
    decrypt(given, key, data) { only(key, "private"); return pair("decrypt", decrypt, key, "", 0, given.label, data); },
  });

  // MARK: Elliptic curves

  const curves = { "P-256": 32, "P-384": 48, "P-521": 66 };
  const coordinate = (text, size) => {
    const bytes = C.fromText(text);
    if (bytes.length !== size) C.fail("DataError", "a coordinate of the JSON Web Key has another length");
    return bytes;
  };
  function ecFromJWK(jwk, curve, use, extractable, usages) {
    C.checkJWK(jwk, "EC", use, extractable, usages);
    if (jwk.crv !== curve) C.fail("DataError", "the JSON Web Key is for another curve");
    const size = curves[curve], point = new Uint8Array(1 + 2 * size);
    point[0] = 4;
    point.set(coordinate(jwk.x, size), 1);
    point.set(coordinate(jwk.y, size), 1 + size);
    return jwk.d === undefined ? native.keyEC(curve, point) : native.keyEC(curve, point, coordinate(jwk.d, size));
  }
  function defineEC(name, use, publicUsages, privateUsages, members) {
    const curveOf = (given) => ({ curve: `${C.member(given, "namedCurve", name)}` });
    C.define(name, {
      ...members,
      parameters: { generateKey: curveOf, importKey: curveOf, ...members.parameters },
      generateKey({ curve }, extractable, usages) {
        C.usages(usages, [...publicUsages, ...privateUsages], name);
        if (!(curve in curves)) C.fail("NotSupportedError", `${name}: the curve is P-256, P-384 or P-521`);
        return keyPair({ name, namedCurve: curve }, native.keyMake(curve), extractable, usages, publicUsages, privateUsages);
      },
      importKey(format, data, { curve }, extractable, usages) {
        const isPrivate = format === "pkcs8" || format === "jwk" && data.d !== undefined;
        if (!(curve in curves)) C.fail(format === "raw" ? "DataError" : "NotSupportedError", `${name}: the curve is P-256, P-384 or P-521`);
        C.usages(usages, isPrivate ? privateUsages : publicUsages, name);
        const handle = format === "jwk" ? ecFromJWK(data, curve, use, extractable, usages)
          : format === "raw" ? native.keyEC(curve, data) : read(format, data, curve);
        if (handle === null) C.fail("DataError", "the key is not a point of the curve");
        return make(isPrivate ? "private" : "public", { name, namedCurve: curve }, handle, extractable, usages);
      },
      exportKey(format, key) {
        if (format === "raw") { only(key, "public"); return C.done(native.keyWrite(key.handle, "raw"), "exportKey"); }
        if (format !== "jwk") return write(format, key);
        const crv = key.algorithm.namedCurve, size = curves[crv], point = native.keyWrite(key.handle, "raw");
        const jwk = { kty: "EC", crv, x: C.toText(point.subarray(1, 1 + size)), y: C.toText(point.subarray(1 + size)) };
        if (key.type === "private") jwk.d = C.toText(native.keyNumber(key.handle, "priv", size));
        return jwk;
      },
    });
  }
  const hashed = (given) => ({ hash: hashOf(given, "ECDSA") });
  defineEC("ECDSA", "sig", ["verify"], ["sign"], {
    parameters: { sign: hashed, verify: hashed },
    sign({ hash }, key, data) { only(key, "private"); return C.done(native.sign(key.handle, hash.name, data), "sign"); },
    verify({ hash }, key, signature, data) { only(key, "public"); return native.verify(key.handle, hash.name, signature, data); },
  });

  function agreement(name) {
    return {
      parameters: { deriveBits: (given) => ({ other: C.slots(C.member(given, "public", name), name) }) },
      deriveBits({ other }, key, length) {
        only(key, "private");
        if (other.type !== "public" || other.algorithm.name !== name || other.algorithm.namedCurve !== key.algorithm.namedCurve) {
          C.fail("InvalidAccessError", `${name}: the other key is no public key of the same kind`);
        }
        const shared = C.done(native.agree(key.handle, other.handle), name);
        if (length === null) return shared.buffer;
        if (length > shared.length * 8) C.fail("OperationError", `${name}: more bits than the secret has`);
        const bits = shared.slice(0, Math.ceil(length / 8));
        if (length % 8 !== 0) bits[bits.length - 1] &= 0xff << (8 - length % 8);
        return bits.buffer;
      },
    };
  }
  defineEC("ECDH", "enc", [], ["deriveKey", "deriveBits"], agreement("ECDH"));

  // MARK: Curves 25519 and 448 (Secure Curves in the Web Cryptography API)

  function defineCurve(name, use, publicUsages, privateUsages, members) {
    C.define(name, {
      ...members,
      generateKey: (_, extractable, usages) => {
        C.usages(usages, [...publicUsages, ...privateUsages], name);
        return keyPair({ name }, native.keyMake(name), extractable, usages, publicUsages, privateUsages);
      },
      importKey(format, data, _, extractable, usages) {
        const isPrivate = format === "pkcs8" || format === "jwk" && data.d !== undefined;
        C.usages(usages, isPrivate ? privateUsages : publicUsages, name);
        let handle;
        if (format === "raw") handle = native.keyRawCurve(name, data, false);
        else if (format !== "jwk") handle = read(format, data, name);
        else {
          C.checkJWK(data, "OKP", use, extractable, usages);
          if (data.crv !== name) C.fail("DataError", "the JSON Web Key is for another curve");
          const x = C.fromText(data.x);
          handle = native.keyRawCurve(name, isPrivate ? C.fromText(data.d) : x, isPrivate);
          if (isPrivate && handle !== null && !native.sameBytes(native.keyWrite(handle, "raw"), x)) handle = null;
        }
        if (handle === null) C.fail("DataError", `not a key of ${name}`);
        return make(isPrivate ? "private" : "public", { name }, handle, extractable, usages);
      },
      exportKey(format, key) {
        if (format === "raw") { only(key, "public"); return C.done(native.keyWrite(key.handle, "raw"), "exportKey"); }
        if (format !== "jwk") return write(format, key);
        const jwk = { kty: "OKP", crv: name, x: C.toText(native.keyWrite(key.handle, "raw")) };
        if (key.type === "private") jwk.d = C.toText(native.keySecret(key.handle));
        return jwk;
      },
    });
  }
  const plainSigning = {
    sign(_, key, data) { only(key, "private"); return C.done(native.sign(key.handle, "", data), "sign"); },
    verify(_, key, signature, data) { only(key, "public"); return native.verify(key.handle, "", signature, data); },
  };
  // Ed448 has a context; like other platforms, only the empty one is offered.
  const context = (given) => {
    if (given.context !== undefined && C.bytes(given.context, "Ed448: context").length > 0) C.fail("OperationError", "Ed448: a context is not supported");
    return {};
  };
  defineCurve("Ed25519", "sig", ["verify"], ["sign"], plainSigning);
  defineCurve("Ed448", "sig", ["verify"], ["sign"], { ...plainSigning, parameters: { sign: context, verify: context } });
  for (const name of ["X25519", "X448"]) defineCurve(name, "enc", [], ["deriveKey", "deriveBits"], agreement(name));
});
