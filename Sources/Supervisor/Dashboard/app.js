"use strict";
// Reads the admin API and shows it. Text always goes in as text, never as markup: paths and names come from strangers.

const $ = (id) => document.getElementById(id);
const PERIOD = 2000, HISTORY = 90, SHOWN_RULES = 300, SHOWN_REQUESTS = 200;
let token = sessionStorage.getItem("token") ?? "";
// Over TLS the browser may have a certificate that says who asks: it is tried before a token is asked for.
let certified = location.protocol === "https:";
const known = () => token !== "" || certified;
let view = "overview", before = null, paused = false, tail = null;
const history = { rate: [], p99: [] }, requests = [];
let rules = [];

if (location.hash.startsWith("#token=")) {
  token = location.hash.slice(7);
  sessionStorage.setItem("token", token);
  window.history.replaceState(null, "", location.pathname);
}

// Elements

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else element.setAttribute(key, value);
  }
  for (const child of children) element.append(child instanceof Node ? child : String(child));
  return element;
}

function table(target, head, rows, empty) {
  const body = rows.length ? rows : [make("tr", {}, make("td", { class: "none", colspan: head.length }, empty))];
  $(target).replaceChildren(
    make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...body));
}
const row = (...cells) => make("tr", {}, ...cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : make("td", {}, cell ?? ""))));
const left = (text, kind = "") => make("td", { class: `left ${kind}` }, text);

// Numbers

const number = (value) => (value >= 100 ? Math.round(value) : Math.round(value * 10) / 10).toLocaleString("en");
function time(microseconds) {
  if (microseconds === null) return "-";
  if (microseconds < 1000) return `${Math.round(microseconds)} us`;
  if (microseconds < 1e6) return `${number(microseconds / 1000)} ms`;
  return `${number(microseconds / 1e6)} s`;
}
function bytes(value) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024 || unit === "GiB") return `${number(value)} ${unit}`;
    value /= 1024;
  }
}
function since(milliseconds) {
  const minutes = Math.floor(milliseconds / 60000);
  if (minutes < 1) return `${Math.floor(milliseconds / 1000)} s`;
  if (minutes < 120) return `${minutes} min`;
  return minutes < 2880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} d`;
}

// Differences between two looks

function difference(now, old) {
  const result = { name: now.name, buckets: new Map(now.buckets) };
  for (const [key, value] of Object.entries(now)) if (typeof value === "number") result[key] = value - (old?.[key] ?? 0);
  for (const [bound, count] of old?.buckets ?? []) result.buckets.set(bound, (result.buckets.get(bound) ?? 0) - count);
  return result;
}
function percentile(buckets, share) {
  const sorted = [...buckets].filter(([, count]) => count > 0).sort((a, b) => a[0] - b[0]);
  const total = sorted.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [bound, count] of sorted) if ((seen += count) >= total * share) return bound;
  return null;
}
const STATUSES = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
const answered = (entry) => STATUSES.reduce((sum, status) => sum + (entry[status] ?? 0), 0);

function mix(entry) {
  const total = answered(entry) || 1;
  const share = (status) => (100 * (entry[status] ?? 0)) / total;
  const text = STATUSES.filter((status) => entry[status]).map((status) => `${status} ${number(share(status))} %`).join(", ") || "no requests";
  const box = make("span", { class: "mix", role: "img", "aria-label": text, title: text });
  for (const status of ["2xx", "3xx", "4xx", "5xx"]) {
    const part = make("i", { class: `s${status[0]}` });
    part.style.width = `${share(status)}%`;
    box.append(part);
  }
  return box;
}

function spark(values) {
  const highest = Math.max(...values, 1), step = 100 / Math.max(HISTORY - 1, 1);
  const points = values.map((value, index) => `${(index * step).toFixed(2)},${(27 - (25 * value) / highest).toFixed(2)}`).join(" ");
  const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg"), line = document.createElementNS(space, "polyline");
  svg.setAttribute("viewBox", "0 0 100 28");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("points", points);
  svg.append(line);
  return svg;
}
function tile(title, value, values) {
  const card = make("dl", { class: "tile" }, make("dt", {}, title), make("dd", {}, value));
  card.style.margin = "0";
  if (values?.length > 1) card.append(spark(values));
  return card;
}

// Overview

function changes(now, kind) {
  const old = new Map((before?.[kind] ?? []).map((entry) => [entry.name, entry]));
  return now[kind].map((entry) => difference(entry, old.get(entry.name)));
}

function showOverview(now) {
  const seconds = before ? (now.now_ms - before.now_ms) / 1000 : 0;
  const rate = (value) => (seconds > 0 ? `${number(value / seconds)}` : "-");
  const sites = changes(now, "sites"), all = new Map();
  for (const site of sites) for (const [bound, count] of site.buckets) all.set(bound, (all.get(bound) ?? 0) + count);
  const requestsNow = before ? now.totals.requests - before.totals.requests : 0;
  const failed = sites.reduce((sum, site) => sum + (site["5xx"] ?? 0) + (site.none ?? 0), 0), served = sites.reduce((sum, site) => sum + answered(site), 0);
  if (before) {
    history.rate.push(requestsNow / seconds);
    history.p99.push(percentile(all, 0.99) ?? 0);
    for (const values of Object.values(history)) if (values.length > HISTORY) values.shift();
  }
  $("tiles").replaceChildren(
    tile("requests per second", rate(requestsNow), history.rate), tile("p99", time(percentile(all, 0.99)), history.p99),
    tile("p50 / p99.9", `${time(percentile(all, 0.5))} / ${time(percentile(all, 0.999))}`),
    tile("5xx and cut off", served ? `${number((100 * failed) / served)} %` : "-"), tile("in flight", number(now.totals.active)),
    tile("connections", number(now.totals.connections)), tile("WebSockets and tunnels", number(now.totals.tunnels)),
    tile("out per second", seconds > 0 ? bytes((now.totals.bytes_out - before.totals.bytes_out) / seconds) : "-"));
  showReload(now);
  showSites(sites, rate);
  showUpstreams(now, rate);
  showFunctions(now, rate);
  table("workers", ["worker", "state", "pid", "generation", "in flight", "connections", "up for"], now.workers.map((worker) =>
    row(left(worker.index), make("td", { class: worker.state === "ready" ? "good" : "warn" }, worker.state), worker.pid, worker.generation, worker.active,
      worker.connections, worker.uptime_ms === undefined ? "" : since(worker.uptime_ms))), "no workers");
}

function showReload(now) {
  const last = now.last_reload, refused = last.result === "refused";
  $("reload").className = refused ? "notice bad" : "notice";
  $("reload").textContent = `Generation ${now.generation} of ${now.configuration}. ` + (last.result === "none" ? "Not reloaded since the start."
    : `Last reload ${last.result} at ${last.at}: ${last.message}`) + (now.worker_deaths ? ` ${now.worker_deaths} worker deaths since the start.` : "");
}

function showSites(sites, rate) {
  table("sites", ["site", "per second", "status", "p50", "p99", "p99.9", "in", "out"], sites.map((site) =>
    row(left(site.name), rate(answered(site)), make("td", {}, mix(site)), time(percentile(site.buckets, 0.5)), time(percentile(site.buckets, 0.99)),
      time(percentile(site.buckets, 0.999)), bytes(site.bytes_in ?? 0), bytes(site.bytes_out ?? 0))), "no requests yet");
}

/** How a server stands, in words and a colour: [text, class]. */
function standing(origin) {
  if (!origin) return ["gone", "warn"];
  if (origin.check === "failing") return ["check fails", "bad"];
  if (origin.ejected_ms > 0) return [`left out for ${since(origin.ejected_ms)}`, "bad"];
  return origin.check === "pending" ? ["not checked yet", "warn"] : ["up", "good"];
}

function showUpstreams(now, rate) {
  const nothing = { buckets: [] }, lines = [];
  const upstreams = new Map(changes(now, "upstreams").map((entry) => [entry.name, entry])), servers = new Map(changes(now, "servers").map((entry) => [entry.name, entry]));
  const line = (entry, name, state, active, waiting, connections) => row(left(name), make("td", {}, state), rate(answered(entry)), make("td", {}, mix(entry)),
    time(percentile(entry.buckets, 0.5)), time(percentile(entry.buckets, 0.99)), entry.retries ?? 0, active, waiting, connections);
  const groups = Map.groupBy ? Map.groupBy(now.origins, (origin) => origin.upstream) : now.origins.reduce((all, origin) =>
    all.set(origin.upstream, [...(all.get(origin.upstream) ?? []), origin]), new Map());
  for (const [name, group] of groups) {
    const up = group.filter((origin) => origin.up).length, sum = (key) => group.reduce((total, origin) => total + origin[key], 0);
    const state = make("span", { class: `tag ${up === group.length ? "good" : up ? "warn" : "bad"}` }, `${up} of ${group.length} up`);
    lines.push(line(upstreams.get(name) ?? nothing, name, state, sum("active"), sum("waiting"), sum("connections")));
    for (const origin of group.slice(0, 100)) {
      const [text, kind] = standing(origin);
      lines.push(line(servers.get(`${name} ${origin.server}`) ?? nothing, `\u00a0\u00a0${origin.server}`, make("span", { class: `tag ${kind}` }, text),
        origin.active, origin.waiting, origin.connections));
    }
  }
  table("upstreams", ["upstream", "health", "per second", "status", "p50", "p99", "retries", "in flight", "waiting", "connections"], lines, "no upstream is configured");
}

function showFunctions(now, rate) {
  const fences = new Map(now.strikes.map((strike) => [strike.function, strike]));
  table("functions", ["function", "calls per second", "CPU per call", "CPU p99", "failed", "by policy", "state"], changes(now, "functions").map((entry) => {
    const strike = fences.get(entry.name), calls = entry.calls ?? 0;
    const state = strike?.fenced ? make("span", { class: "tag bad" }, "fenced") : strike ? make("span", { class: "tag warn" }, `${strike.strikes} strikes`) : "ok";
    return row(left(entry.name), rate(calls), calls ? time((entry.cpu_us ?? 0) / calls) : "-", time(percentile(entry.buckets, 0.99)),
      make("td", { class: entry.failures ? "bad" : "" }, entry.failures ?? 0), entry.policies ?? 0, make("td", {}, state));
  }), "no function was called yet");
}

// Rules

function showRules() {
  const wanted = $("ruleFilter").value.toLowerCase(), never = $("neverHit").checked;
  const found = rules.filter(([id, hits, shadow]) => id.toLowerCase().includes(wanted) && !(never && hits + shadow > 0));
  table("ruleTable", ["rule", "matched", "in shadow", "rate limited"], found.slice(0, SHOWN_RULES).map(([id, hits, shadow, limited]) =>
    row(make("td", { class: "wide" }, id, hits + shadow ? "" : " ", hits + shadow ? "" : make("span", { class: "tag warn" }, "never matched")),
      hits.toLocaleString("en"), shadow.toLocaleString("en"), limited.toLocaleString("en"))), "no such rule");
  $("ruleCount").textContent = `${Math.min(found.length, SHOWN_RULES)} of ${found.length} shown, ${rules.filter(([, hits, shadow]) => !hits && !shadow).length} of ${rules.length} never matched`;
}

// Live requests

async function watch() {
  tail = new AbortController();
  try {
    const reply = await ask("/v1/tail", tail.signal), reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) requests.unshift(JSON.parse(line));
      requests.length = Math.min(requests.length, 2000);
      if (!paused) showLive();
    }
  } catch (error) {
    if (error.name !== "AbortError") $("liveCount").textContent = `not connected: ${error.message}`;
  }
  tail = null;
}

const tone = (status) => (status >= 500 || status === 0 ? "bad" : status >= 400 ? "warn" : "good");

function showLive() {
  const wanted = $("liveFilter").value.toLowerCase();
  const found = wanted ? requests.filter((request) => JSON.stringify(request).toLowerCase().includes(wanted)) : requests;
  const open = new Set([...document.querySelectorAll("#liveTable [aria-expanded=true]")].map((button) => button.dataset.id));
  table("liveTable", ["request", "status", "time", "site", "origin"], found.slice(0, SHOWN_REQUESTS).flatMap((request) => liveRows(request, open.has(request.id))),
    "waiting for requests");
  $("liveCount").textContent = `${found.length} of the last ${requests.length} requests`;
}

function liveRows(request, isOpen) {
  const button = make("button", { type: "button", class: "open", "aria-expanded": isOpen, "data-id": request.id, onclick: () => {
    button.setAttribute("aria-expanded", String(details.hidden));
    details.hidden = !details.hidden;
  } }, `${request.method} ${request.host ?? ""}${request.path ?? ""}`);
  const details = make("tr", {}, make("td", { colspan: 5 }, make("pre", {}, trace(request))));
  details.hidden = !isOpen;
  return [row(make("td", { class: "wide" }, button), make("td", { class: tone(request.status) }, request.status), `${request.duration_ms} ms`, request.site ?? "-",
    request.upstream?.address ? `${request.upstream.name} ${request.upstream.address}:${request.upstream.port}` : request.upstream?.name ?? "-"), details];
}

/** What was decided for a request, in the order it happened. */
function trace(request) {
  const when = new Date(request.time * 1000).toISOString().replace(".000", "");
  const lines = [`${when}  request ${request.id} from ${request.client}:${request.client_port} over ${request.protocol}${request.tls ? `, ${request.tls}, ${request.sni}` : ""}`];
  lines.push(`site ${request.site ?? "none"} (generation ${request.generation ?? "-"})`);
  for (const rule of request.rules ?? []) lines.push(`matched rule ${rule}`);
  for (const hook of request.hooks ?? []) lines.push(`hook ${hook.function} (${hook.phase}): ${hook.outcome}, ${hook.cpu_ms} ms CPU`);
  const origin = request.upstream;
  if (origin) lines.push(`upstream ${origin.name}${origin.address ? ` at ${origin.address}:${origin.port}` : ""}: ${origin.status ?? "no answer"}, ${origin.attempts} attempts${origin.first_byte_ms === undefined ? "" : `, first byte after ${origin.first_byte_ms} ms`}`);
  if (request.error) lines.push(`error ${request.error.kind} in ${request.error.phase}${request.error.note ? `: ${request.error.note}` : ""}`);
  lines.push(`answered ${request.status}, ${request.bytes_out} bytes, ${request.duration_ms} ms`);
  return lines.join("\n");
}

// Asking

async function ask(path, signal) {
  const reply = await fetch(path, { headers: token ? { authorization: `Bearer ${token}` } : {}, signal, cache: "no-store" });
  if (reply.status === 401) { certified = false; needToken(token ? "That token is not known, or no longer good." : ""); throw new Error("token needed"); }
  if (!reply.ok) throw new Error(`${path} answered ${reply.status}`);
  return reply;
}

function needToken(why) {
  $("login").hidden = false;
  $("loginError").textContent = why;
  for (const name of ["overview", "rules", "live"]) $(name).hidden = true;
}

async function refresh() {
  if (!known()) return needToken("");
  try {
    if (view === "rules") {
      rules = (await (await ask("/v1/rules")).json()).rules;
      showRules();
    }
    const now = await (await ask("/v1/overview")).json();
    $("state").textContent = `${now.phase}, version ${now.version}, generation ${now.generation}`;
    if (view === "overview") showOverview(now);
    before = now;
  } catch (error) {
    $("state").textContent = error.message;
  }
}

function choose(next) {
  view = next;
  for (const button of document.querySelectorAll("nav button")) {
    button.dataset.view === next ? button.setAttribute("aria-current", "page") : button.removeAttribute("aria-current");
  }
  $("login").hidden = known();
  for (const name of ["overview", "rules", "live"]) $(name).hidden = !known() || name !== next;
  if (next !== "live") tail?.abort();
  else if (!tail && known()) { showLive(); watch(); }
  refresh();
}

for (const button of document.querySelectorAll("nav button")) button.addEventListener("click", () => choose(button.dataset.view));
$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("token", token);
  choose(view);
});
$("ruleFilter").addEventListener("input", showRules);
$("neverHit").addEventListener("change", showRules);
$("liveFilter").addEventListener("input", showLive);
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Go on" : "Pause";
  if (!paused) showLive();
});
choose("overview");
setInterval(() => { if (!document.hidden && $("login").hidden) refresh(); }, PERIOD);
