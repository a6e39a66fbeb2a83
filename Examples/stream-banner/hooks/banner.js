// Puts a banner into each page while it flows: constant memory, whatever the size of the page.
export default {
  onResponse(response, env, ctx) {
    if (!(response.headers.get("content-type") ?? "").startsWith("text/")) return;
    return new HTMLRewriter()
      .on("body", { element(body) { body.prepend(`<p class=banner>${ctx.args.text}</p>`, { html: true }); } })
      .transform(response);
  },
};
