addEventListener("fetch", (event) => event.respondWith(handle(event)));

async function handle(event) {
  const { metadata } = event.request;
  const country = metadata["geoip_country_code"] || "nowhere";
  const body = `${event.args("greeting")} from ${country}, ${Azion.env.get("PLACE")}, over ${metadata["server_protocol"]}\n`;
  return new Response(body, { headers: { "content-type": "text/plain" } });
}
