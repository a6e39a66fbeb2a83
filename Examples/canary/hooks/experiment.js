// Picks a variant in the request phase and keeps it in a cookie in the response phase.
export default {
  onRequest(request, env, ctx) {
    const known = new RegExp(`variant-${ctx.args.name}=(\\w+)`).exec(request.headers.get("cookie") ?? "");
    const variants = ctx.args.variants;
    ctx.state.fresh = !known || !variants.includes(known[1]);
    ctx.state.variant = ctx.state.fresh ? variants[Math.floor(Math.random() * variants.length)] : known[1];
    request.headers.set("x-variant", ctx.state.variant);
  },
  onResponse(response, env, ctx) {
    if (!ctx.state.fresh) return;
    response.headers.append("set-cookie", `variant-${ctx.args.name}=${ctx.state.variant}; Path=/; Max-Age=2592000`);
  },
};
