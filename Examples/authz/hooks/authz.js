// Authorisation in the request phase: a service is asked about a token, and its answer is kept for a minute.
export default {
  async onRequest(request, env, ctx) {
    const token = request.headers.get("authorization")?.replace(/^Bearer /i, "");
    if (!token) return new Response("token needed\n", { status: 401, headers: { "www-authenticate": "Bearer" } });

    // Never the token itself: whoever reads the file of the namespace must not find one.
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));
    const key = "tok:" + btoa(String.fromCharCode(...new Uint8Array(digest)));

    let claims = await env.SESSIONS.get(key, "json");
    if (!claims) {
      const reply = await env.idp.fetch("/idp/introspect", {
        headers: { "x-token": token, authorization: `Bearer ${env.IDP_KEY}` },
        signal: AbortSignal.timeout(1000),
      });
      if (!reply.ok) throw new Error(`the service answered ${reply.status}`); // the policy answers: deny
      claims = await reply.json();
      if (claims.active) ctx.waitUntil(env.SESSIONS.put(key, JSON.stringify(claims), { expirationTtl: 60 }));
    }

    const need = ctx.args.scopes[request.method] ?? "write";
    if (!claims.active || !claims.scope.split(" ").includes(need)) {
      return Response.json({ error: `missing scope ${need}` }, { status: 403 });
    }
    const out = new Request(request);
    out.headers.set("x-user", claims.sub);
    out.headers.delete("authorization");
    ctx.state.user = claims.sub;
    return out;
  },
};
