// Stands in for an origin with pages: the body is made while it is sent.
export default {
  async fetch(request, env, ctx) {
    const origin = await fetch(request);
    await origin.body?.cancel();
    let line = 0;
    const page = new ReadableStream({
      pull(controller) {
        if (line === 0) controller.enqueue("<html><body>\n");
        controller.enqueue(`<p>line ${++line}</p>\n`);
        if (line === 100) { controller.enqueue("</body></html>\n"); controller.close(); }
      },
    });
    return new Response(page.pipeThrough(new TextEncoderStream()), { headers: { "content-type": "text/html" } });
  },
};
