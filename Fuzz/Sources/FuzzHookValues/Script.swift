/// Errors are answers; what must not be is an Error that begins with "FUZZ".
let script = """
    const broken = (what) => { throw new Error(`FUZZ: ${what}`); };
    const attempt = async (work) => {
      try { return await work(); } catch (error) {
        if (!(error instanceof Error)) broken("something was thrown that is no error");
        if (error.message.startsWith("FUZZ")) throw error;
        return undefined;
      }
    };
    const same = (a, b) => a.length === b.length && a.every((byte, index) => byte === b[index]);
    const latin1 = (bytes) => { let text = ""; for (const byte of bytes) text += String.fromCharCode(byte); return text; };
    const utf8 = (bytes) => new TextDecoder().decode(bytes);
    const through = async (bytes, stream) => new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
    const chunks = (bytes, step) => new ReadableStream({ start(controller) {
      for (let at = 0; at < bytes.length; at += step) controller.enqueue(bytes.slice(at, at + step));
      controller.close();
    } });
    const labels = ["utf-8", "utf-16le", "utf-16be", "windows-1252", "shift_jis", "gbk", "gb18030", "big5", "euc-jp", "iso-2022-jp", "euc-kr", "koi8-r", "iso-8859-8-i"];
    const curve = (name, namedCurve) => ({ name, namedCurve }), hash = "SHA-256";
    const keys = [
      [{ name: "RSASSA-PKCS1-v1_5", hash }, ["sign"], ["verify"]], [{ name: "RSA-OAEP", hash }, ["decrypt"], ["encrypt"]],
      [{ name: "RSA-PSS", hash }, ["sign"], ["verify"]], [curve("ECDSA", "P-256"), ["sign"], ["verify"]],
      [curve("ECDH", "P-384"), ["deriveBits"], []], [curve("ECDSA", "P-521"), ["sign"], ["verify"]], [{ name: "Ed25519" }, ["sign"], ["verify"]],
      [{ name: "X25519" }, ["deriveBits"], []],
    ];
    const subtle = crypto.subtle, made = [];
    const importKey = async (which, format, data) => {
      const [algorithm, secret, open] = keys[which % keys.length], some = new Uint8Array(64);
      const usages = format === "pkcs8" || (format === "jwk" && data?.d !== undefined) ? secret : open;
      const key = await attempt(() => subtle.importKey(format, data, algorithm, true, usages));
      if (key === undefined) return;
      const exported = await attempt(() => subtle.exportKey(format, key));
      if (exported === undefined) broken(`${format} can be imported and not exported`);
      const again = await attempt(() => subtle.importKey(format, exported, algorithm, true, usages));
      if (again === undefined) broken(`${format} was exported and cannot be imported`);
      if (usages[0] === "verify") await attempt(() => subtle.verify({ name: algorithm.name, hash, saltLength: 32 }, key, some, some));
      if (usages[0] === "sign") await attempt(() => subtle.sign({ name: algorithm.name, hash, saltLength: 32 }, key, some));
      if (usages[0] === "encrypt") await attempt(() => subtle.encrypt({ name: algorithm.name }, key, some));
    };

    const actions = [
      async function decode([which, step, ...rest]) {
        const bytes = new Uint8Array(rest), label = labels[which % labels.length];
        const whole = await attempt(() => new TextDecoder(label).decode(bytes));
        if (whole === undefined) return;
        if (/\\p{Surrogate}/u.test(whole)) broken(`${label} gave half a character`);
        const decoder = new TextDecoder(label);
        let pieces = "";
        for (let at = 0; at < bytes.length; at += 1 + step % 16) pieces += decoder.decode(bytes.subarray(at, at + 1 + step % 16), { stream: true });
        if (pieces + decoder.decode() !== whole) broken(`${label} in pieces is another text`);
        if (utf8(new TextEncoder().encode(`x${whole}`)) !== `x${whole}`) broken("a text is encoded otherwise");
        await attempt(() => new TextDecoder(label, { fatal: true, ignoreBOM: true }).decode(bytes));
      },
      async function decompress([which, ...rest]) {
        const bytes = new Uint8Array(rest), format = ["gzip", "deflate", "deflate-raw"][which % 3];
        await attempt(() => through(bytes, new DecompressionStream(format)));
        const coded = await through(bytes, new CompressionStream(format));
        if (!same(await through(coded, new DecompressionStream(format)), bytes)) broken("what was compressed is another thing");
      },
      async function base64(bytes) {
        const text = latin1(bytes);
        if (atob(btoa(text)) !== text) broken("base64 of bytes reads otherwise");
        const decoded = await attempt(() => atob(text));
        if (decoded !== undefined && atob(btoa(decoded)) !== decoded) broken("base64 reads otherwise");
      },
      async function importKeys([which, kind, ...rest]) {
        const bytes = new Uint8Array(rest), format = ["pkcs8", "spki", "raw", "jwk"][kind % 4];
        await importKey(which, format, format === "jwk" ? await attempt(() => JSON.parse(utf8(bytes))) : bytes);
      },
      async function damagedKeys([which, kind, ...changes]) {
        const format = ["pkcs8", "spki"][kind % 2], number = which % keys.length, [algorithm, secret, open] = keys[number];
        made[number] ??= await subtle.generateKey({ ...algorithm, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }, true, [...secret, ...open]);
        const { privateKey, publicKey } = made[number];
        const bytes = new Uint8Array(await subtle.exportKey(format, kind % 2 ? publicKey : privateKey));
        for (let at = 0; at + 2 < changes.length; at += 3) bytes[(changes[at] * 256 + changes[at + 1]) % bytes.length] = changes[at + 2];
        await importKey(which, format, kind & 4 ? bytes.slice(0, bytes.length - (kind >> 3)) : bytes);
      },
      async function ciphers([which, length, ...rest]) {
        const bytes = new Uint8Array(rest), name = ["AES-CBC", "AES-GCM", "AES-CTR", "AES-KW"][which % 4];
        const key = await subtle.importKey("raw", new Uint8Array(16).fill(length), name, true, name === "AES-KW" ? ["wrapKey", "unwrapKey"] : ["encrypt", "decrypt"]);
        if (name === "AES-KW") return attempt(() => subtle.unwrapKey("raw", bytes, key, name, { name: "HMAC", hash }, true, ["sign"]));
        const iv = bytes.slice(0, 16), parameters = { name, iv, counter: iv, length: 1 + length % 128, tagLength: [32, 64, 96, 104, 112, 120, 128][length % 7] };
        await attempt(() => subtle.decrypt(parameters, key, bytes));
        const sealed = await attempt(() => subtle.encrypt(parameters, key, bytes));
        if (sealed && !same(new Uint8Array(await subtle.decrypt(parameters, key, sealed)), bytes)) broken(`${name} reads otherwise`);
      },
      async function derive([which, length, ...rest]) {
        const bytes = new Uint8Array(rest), name = ["HKDF", "PBKDF2"][which % 2];
        const key = await attempt(() => subtle.importKey("raw", bytes, name, false, ["deriveBits"]));
        if (key) await attempt(() => subtle.deriveBits({ name, hash, salt: bytes, info: bytes, iterations: 1 + which }, key, length * 8));
        for (const digest of ["SHA-1", "SHA-256", "SHA-384", "SHA-512"]) await subtle.digest(digest, bytes);
        const mac = await attempt(() => subtle.importKey("raw", bytes, { name: "HMAC", hash }, true, ["sign", "verify"]));
        if (mac && !await subtle.verify("HMAC", mac, await subtle.sign("HMAC", mac, bytes), bytes)) broken("a code of its own is refused");
      },
      async function urls(bytes) {
        const text = utf8(bytes), url = await attempt(() => new URL(text, "https://base.example/a/b?c"));
        if (!url) return;
        if (new URL(url.href).href !== url.href) broken(`a URL reads otherwise: ${url.href}`);
        const pairs = new URLSearchParams(text);
        if (new URLSearchParams(`${pairs}`).toString() !== `${pairs}`) broken("a query reads otherwise");
        for (const part of ["pathname", "host", "hash", "search", "username", "port", "protocol"]) url[part] = text;
        if (new URL(url.href).href !== url.href) broken(`a URL that was changed reads otherwise: ${url.href}`);
      },
      async function patterns(bytes) {
        const text = utf8(bytes), half = text.length >> 1;
        const pattern = await attempt(() => new URLPattern({ pathname: text.slice(0, half) }));
        if (pattern) await attempt(() => pattern.exec({ pathname: text.slice(half) }));
        await attempt(() => new URLPattern(text, "https://base.example"));
      },
      async function clones(bytes) {
        const text = utf8(bytes), value = await attempt(() => JSON.parse(text));
        if (value !== undefined && JSON.stringify(structuredClone(value)) !== JSON.stringify(value)) broken("a clone is another value");
        const copy = structuredClone(new Map([[text, bytes.slice()]]));
        if (!same(copy.get(text), bytes)) broken("a clone has other bytes");
        if (structuredClone(bytes.buffer, { transfer: [bytes.buffer] }).byteLength === bytes.byteLength || bytes.byteLength !== 0) broken("nothing was transferred");
      },
      async function forms([which, ...rest]) {
        const bytes = new Uint8Array(rest), type = which & 1 ? "multipart/form-data; boundary=b" : "application/x-www-form-urlencoded";
        const form = await attempt(() => new Response(bytes, { headers: { "content-type": type } }).formData());
        if (!form) return;
        const again = await new Response(form).formData();
        if ([...again].length !== [...form].length) broken("a form reads otherwise");
      },
      async function fields(bytes) {
        const text = latin1(bytes), half = text.length >> 1, headers = new Headers();
        if (await attempt(() => { headers.append(text.slice(0, half), text.slice(half)); return 1; })) {
          const [[name, value]] = [...headers];
          if (/[^!-~]|[A-Z:]/.test(name) || /[\\0\\r\\n]/.test(value) || /^[ \\t]|[ \\t]$/.test(value)) broken("a field that is none");
        }
        await attempt(() => new Response(null, { statusText: text }));
        await attempt(() => new Request("https://a.example", { method: text.slice(0, 8) }));
      },
      async function rewrites([step, ...rest]) {
        const bytes = new Uint8Array(rest), text = utf8(bytes);
        const seen = [];
        const rewriter = () => new HTMLRewriter().on("a", { element(element) { seen.push(element.tagName); element.setAttribute("b", "c"); } })
          .on("p", { element(element) { element.remove(); } }).on("*", { comments(comment) { comment.remove(); } });
        const whole = await attempt(() => rewriter().transform(new Response(text)).text());
        const pieces = await attempt(() => rewriter().transform(new Response(chunks(new TextEncoder().encode(text), 1 + step % 16))).text());
        if (whole !== pieces) broken("a page in pieces is rewritten otherwise");
        if (await new HTMLRewriter().transform(new Response(text)).text() !== text) broken("a page that nobody rewrites is changed");
      },
    ];

    export default {
      async onRequest(request) {
        const bytes = new Uint8Array(await request.arrayBuffer());
        await actions[bytes[0] % actions.length](bytes.slice(1));
        return new Response("done");
      },
    };
    """
