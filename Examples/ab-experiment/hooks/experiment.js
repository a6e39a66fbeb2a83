// Gives each visitor one variant, tells the origin, and remembers it in a cookie.
export default {
  onRequest(request, env, ctx) {
    const known = /(?:^|;\s*)variant=(\w+)/.exec(request.headers.get("cookie") ?? "")?.[1];
    const { variants } = ctx.args;
    const variant = variants.includes(known) ? known : variants[crypto.getRandomValues(new Uint32Array(1))[0] % variants.length];
    ctx.state.variant = variant;
    ctx.state.fresh = variant !== known;
    request.headers.set("x-variant", variant);
  },
  onResponse(response, env, ctx) {
    if (ctx.state.fresh) response.headers.append("set-cookie", `variant=${ctx.state.variant}; Path=/; Max-Age=604800`);
  },
};
