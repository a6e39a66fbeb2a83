// As it is written for Cloudflare Workers.
export default {
  async fetch(request) {
    if (request.headers.get("Upgrade") !== "websocket") return new Response("Expected a WebSocket\n", { status: 426 });

    const [client, server] = Object.values(new WebSocketPair());
    let count = 0;
    server.accept();
    server.addEventListener("message", ({ data }) => {
      if (data === "CLICK") count += 1;
      else if (data === "RESET") count = 0;
      else return server.send(JSON.stringify({ error: "Unknown message" }));
      server.send(JSON.stringify({ count }));
    });
    server.addEventListener("close", ({ code }) => console.log(`closed with ${code} after ${count}`));

    return new Response(null, { status: 101, webSocket: client });
  },
};
