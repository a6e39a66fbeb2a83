// A Cloudflare Worker as its author wrote it.
export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    if (url.pathname === "/health") return new Response("ok");
    const response = await fetch(request);
    const copy = new Response(response.body, response);
    copy.headers.set("x-edge", "sluice");
    ctx.waitUntil(env.LOGS.fetch("/hit", { method: "POST", body: url.pathname }));
    return copy;
  },
};
