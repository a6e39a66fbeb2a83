// What the web adds to WebAssembly (WebAssembly Web API), for functions that have it: V8 brings the rest.
{
  /// The bytes of a response, or a promise of one, as section 3 wants it.
  async function bytes(source, what) {
    const response = await source;
    if (!(response instanceof Response)) throw new TypeError(`${what}: the source is no Response`);
    const type = (response.headers.get("content-type") ?? "").trim().toLowerCase();
    if (type !== "application/wasm") throw new TypeError(`${what}: the content type is not application/wasm`);
    if (!response.ok) throw new TypeError(`${what}: the status of the response is ${response.status}`);
    if (response.bodyUsed) throw new TypeError(`${what}: the body was read before`);
    return response.arrayBuffer();
  }

  /// Called before a module is loaded; `WebAssembly` is not there yet while the snapshot is made.
  realm.webAssembly = () => {
    const space = globalThis.WebAssembly;
    if (space === undefined) return;
    const { compile, instantiate } = space;
    const members = {
      async compileStreaming(source) {
        realm.needs(arguments.length, 1, "compileStreaming");
        return compile(await bytes(source, "compileStreaming"));
      },
      async instantiateStreaming(source, imports = undefined) {
        realm.needs(arguments.length, 1, "instantiateStreaming");
        return instantiate(await bytes(source, "instantiateStreaming"), imports);
      },
    };
    for (const name of Object.keys(members)) {
      Object.defineProperty(space, name, { value: members[name], writable: true, enumerable: true, configurable: true });
    }
  };
}
