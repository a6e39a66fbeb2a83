// Tells each visitor at which gateways it was before. What one gateway puts, the other gets.
export default {
  async onRequest(request, env, ctx) {
    const name = new URL(request.url).searchParams.get("name") ?? "nobody";
    const before = (await env.VISITS.list({ prefix: `${name}/` })).keys.map((key) => key.metadata.at);
    await env.VISITS.put(`${name}/${ctx.requestId}`, "", { metadata: { at: request.headers.get("host") }, expirationTtl: 3600 });
    return Response.json({ name, before: before.sort() });
  },
};
