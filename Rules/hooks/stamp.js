// Response phase: what is set here reaches the client. ctx.state comes from the request phase of the same request.
export default {
  onResponse(response, env, ctx) {
    response.headers.set("x-served-by", `sluice, ${response.status} for ${ctx.state.path ?? "a request without greeting"}`);
  },
};
