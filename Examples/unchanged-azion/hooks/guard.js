addEventListener("firewall", (event) => event.waitUntil(guard(event)));
async function guard(event) {
  const ip = event.request.metadata["remote_addr"];
  if (Azion.networkList.contains(String(event.args.listId), ip)) event.deny();
  else { event.addRequestHeader("X-Checked", "1"); event.continue(); }
}
