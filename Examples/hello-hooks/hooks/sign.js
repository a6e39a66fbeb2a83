export default {
  onResponse(response, env, ctx) {
    if (ctx.state.line) response.headers.set("x-signed", `with love, ${ctx.state.line}`);
  },
};
