export default {
  async onRequest(request, env) {
    const token = request.headers.get("authorization")?.replace(/^Bearer /i, "");
    if (!token) return new Response("token needed\n", { status: 401, headers: { "www-authenticate": "Bearer" } });

    const reply = await env.idp.fetch("/idp/introspect", { headers: { "x-token": token } });
    if (!reply.ok) throw new Error(`the service answered ${reply.status}`); // the policy answers: deny
    const claims = await reply.json();
    if (!claims.active) return new Response("this token opens nothing\n", { status: 403 });

    request.headers.set("x-user", claims.user);
    request.headers.delete("authorization");
  },
};
