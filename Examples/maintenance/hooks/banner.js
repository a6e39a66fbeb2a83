// Puts a banner before the end of the body.
export default {
  async onResponse(response, env, ctx) {
    const page = await response.text();
    const banner = `<p class=banner>${ctx.args.text}</p>`;
    const headers = new Headers(response.headers);
    headers.delete("content-length");
    return new Response(page.replace(ctx.args.before, () => banner + ctx.args.before), { status: response.status, headers });
  },
};
