// Asks the upstream "keys" who a key belongs to. Whatever goes wrong there throws, and on_error: deny refuses the call.
export default {
  async onRequest(request, env, ctx) {
    const key = request.headers.get("x-api-key");
    const reply = await env.keys.fetch("/keys/" + encodeURIComponent(key));
    if (reply.status === 404) return Response.json({ error: "the key is not known" }, { status: 401 });
    if (!reply.ok) throw new Error("the key service answered " + reply.status);
    const { owner, scopes } = await reply.json();
    const needed = ctx.args.scopes[request.method] ?? "write";
    if (!scopes.includes(needed)) return Response.json({ error: "missing scope " + needed }, { status: 403 });
    request.headers.set("x-owner", owner);
    request.headers.delete("x-api-key");
  },
};
