export default {
  onRequest(request, env, ctx) {
    const url = new URL(request.url);
    if (url.pathname === "/early") return new Response("answered by a hook\n", { status: 200 });
    request.headers.set("x-hello", ctx.args.hello);
    ctx.state.line = `${request.method} ${url.pathname}`;
  },
};
