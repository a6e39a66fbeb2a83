// Request phase: what is set here reaches the origin, which echoes it.
export default {
  onRequest(request, env, ctx) {
    const caller = request.headers.get("user-agent") ?? "somebody";
    request.headers.set("x-greeting", `${ctx.args.greeting} ${caller}`);
    ctx.state.path = new URL(request.url).pathname;
  },
};
