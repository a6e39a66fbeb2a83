"""Millions of hook calls of several kinds through the real binary, and what they leave behind."""
from __future__ import annotations

import math
import re
import statistics
import subprocess
import time
from pathlib import Path

from .gateway import Gateway
from .soak import Result, Say, children, running
from .waiting import wait_until


def percentile(metrics: dict[str, float], name: str, share: float, **labels: str) -> float:
    """What a share of a histogram of ours stays below, in microseconds."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    buckets: dict[float, float] = {}
    for key, value in metrics.items():
        if key.startswith(name + "_bucket") and all(each in key for each in wanted):
            bound = re.search(r'le="([^"]+)"', key)
            assert bound
            edge = math.inf if bound[1] == "+Inf" else float(bound[1])
            buckets[edge] = buckets.get(edge, 0) + value
    total = buckets.get(math.inf, 0)
    return next((edge for edge, count in sorted(buckets.items()) if total and count >= total * share), math.nan) * 1e6


CALLS_HOOKS = {
    "edit.js": """\
        export default { onRequest(request, env, ctx) {
          request.headers.set("x-seen-" + ctx.args.n, (request.headers.get("user-agent") ?? "").slice(0, 20));
          request.headers.delete("x-gone");
        } };
        """,
    "answer.js": """\
        export default { onRequest(request) {
          return new Response(JSON.stringify({path: new URL(request.url).pathname, at: Date.now()}), {headers: {"content-type": "application/json"}});
        } };
        """,
    "later.js": """\
        export default { async onRequest(request, env, ctx) {
          await null;
          await new Promise((resolve) => setTimeout(resolve, 1));
          ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 2)));
          request.headers.set("x-later", "1");
        } };
        """,
    "body.js": """\
        export default { async onRequest(request) {
          const bytes = new Uint8Array(await request.arrayBuffer());
          let sum = 0; for (const byte of bytes) sum = (sum * 31 + byte) >>> 0;
          return new Response(String(sum) + bytes.length);
        } };
        """,
    "stream.js": """\
        export default { onRequest(request) {
          return new Response(request.body.pipeThrough(new TransformStream({transform(chunk, out) { out.enqueue(chunk); }})));
        } };
        """,
    "throw.js": "export default { onRequest() { throw new Error('on purpose'); } };",
}
CALLS_FUNCTIONS = """\
edit: {file: hooks/edit.js, lane: inline}
answer: {file: hooks/answer.js, lane: inline}
later: {file: hooks/later.js, lane: inline}
body: {file: hooks/body.js, lane: inline}
stream: {file: hooks/stream.js, lane: inline}
throws: {file: hooks/throw.js, lane: inline, on_error: continue}
fresh: {file: hooks/answer.js, lane: inline, isolation: request}
outside: {file: hooks/answer.js, untrusted: true}
outside_body: {file: hooks/body.js, untrusted: true}
"""
# The calls of a request, by its path.
CALLS_RULES = {
    "/sync": ["edit", "edit", "edit", "answer"], "/later": ["later", "answer"], "/body": ["body"], "/stream": ["stream"],
    "/throw": ["throws", "answer"], "/fresh": ["edit", "fresh"], "/outside": ["edit", "outside"], "/outside-body": ["outside_body"],
}
# How often each path is asked for among a hundred requests.
CALLS_MIX = {"/sync": 80, "/later": 5, "/body": 5, "/stream": 2, "/fresh": 2, "/outside": 5, "/outside-body": 1}
# Beside them, because each of its calls writes a line to the log.
THROWS_PER_ROUND = 20

LOAD = """\
local requests, at = {}, 0
local body = string.rep("soak", 1000)
for path, count in string.gmatch("%s", "(%%S+)=(%%d+)") do
  for _ = 1, tonumber(count) do
    local method = (path:find("body") or path:find("stream")) and "POST" or "GET"
    requests[#requests + 1] = wrk.format(method, path, {Host = "localhost", ["User-Agent"] = "soak/1.0"}, method == "POST" and body or nil)
  end
end
-- In an order of its own, not in stretches.
local step = 37
request = function() at = at + step; return requests[at %% #requests + 1] end
"""


def calls(count: int, folder: Path, say: Say, workers: int = 1, connections: int = 32) -> Result:
    """`count` hook calls of several kinds: memory flat, nothing left behind."""
    rules = "".join(f"- {{name: 'call {path} {n}', when: 'path == \"{path}\"', do: [{{run: {{function: {function}, args: {{n: {n}}}}}}}]}}\n"
                    for path, chain in CALLS_RULES.items() for n, function in enumerate(chain))
    script = folder / "load.lua"
    script.write_text(LOAD % " ".join(f"{path}={share}" for path, share in CALLS_MIX.items()))
    result = Result("calls")
    with running(folder, CALLS_FUNCTIONS, rules, CALLS_HOOKS, workers) as gateway:
        CallSoak(gateway, script, count, connections, result, say).run()
    return result


# Seconds between two readings of resident memory.
READING = 0.2


class CallSoak:
    # Of all calls, those before memory is looked at.
    WARM_UP = 0.1
    ROUNDS = 40

    def __init__(self, gateway: Gateway, script: Path, count: int, connections: int, result: Result, say: Say):
        self.gateway, self.script, self.count, self.connections = gateway, script, count, connections
        self.result, self.say = result, say
        self.samples: list[dict[str, float]] = []
        self.readings: list[dict[str, float]] = []
        self.requests = 0

    def run(self) -> None:
        began, seconds = time.monotonic(), 1.0
        while (done := self.done()) < self.count:
            before = time.monotonic()
            self.load(max(1, round(seconds)))
            self.throw()
            sample = self.sample()
            self.samples.append(sample)
            rate = (sample["calls"] - done) / (time.monotonic() - before)
            # So long that there are about forty rounds, and none longer than a minute.
            seconds = min(60.0, max(1.0, self.count / self.ROUNDS / max(1.0, rate)))
            self.say(f"{time.monotonic() - began:7.0f} s: {sample['calls']:13,.0f} calls, {rate:9,.0f}/s, worker {sample['resident'] / 1024:7.1f} MiB, "
                     f"cordons {sample['cordons'] / 1024:7.1f} MiB")
        self.result.seconds = time.monotonic() - began
        self.judge()

    def done(self) -> float:
        return self.gateway.metric("sluice_hook_calls_total")

    def load(self, seconds: int) -> None:
        """Memory is read all the while: V8's heaps fill and empty, and a single reading says where in that they are, no more."""
        self.readings.clear()
        with subprocess.Popen(["wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "--timeout", "20s", "-s", self.script,
                               f"http://127.0.0.1:{self.gateway.ports.plain}/"], stdout=subprocess.PIPE, text=True) as wrk:
            while True:
                try:
                    text = wrk.communicate(timeout=READING)[0]
                    break
                except subprocess.TimeoutExpired:
                    self.readings.append({kind: self.resident(kind) for kind in ("worker", "cordon")})
        if wrk.returncode:
            raise subprocess.CalledProcessError(wrk.returncode, wrk.args)
        self.requests += int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
        if "Non-2xx" in text or "Socket errors" in text:
            self.result.complaints.append("answers that failed: " + "; ".join(re.findall(r".*(?:Non-2xx|Socket errors).*", text)))

    def resident(self, kind: str) -> float:
        return sum(self.gateway.resident_kib(pid) for pid in children(self.gateway, kind))

    def throw(self) -> None:
        with self.gateway.http1() as client:
            for _ in range(THROWS_PER_ROUND):
                if client.request("GET", "/throw").status != 200:
                    self.result.complaints.append("a call that throws was not passed over")

    def at_rest(self) -> dict[str, float]:
        """Metrics once no call is under way any more; they are shown ten times a second."""
        last: dict[str, float] = {}

        def quiet() -> bool:
            last.update(self.gateway.metrics())
            return last["sluice_hook_calls_open"] == 0

        try:
            wait_until(quiet, "no call is under way")
        except AssertionError:
            self.result.complaints.append(f"{last['sluice_hook_calls_open']:.0f} calls never ended")
        return last

    def sample(self) -> dict[str, float]:
        # A second and more: every isolate was looked at since the last call.
        seen = self.gateway.metric("sluice_loop_turns_total")
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() - begun > 1.3 and self.gateway.metric("sluice_loop_turns_total") > seen, "a second goes by")
        metrics = self.at_rest()
        return {
            "calls": sum(value for key, value in metrics.items() if key.startswith("sluice_hook_calls_total")),
            "resident": statistics.median([*(each["worker"] for each in self.readings), self.resident("worker")]),
            "cordons": statistics.median([*(each["cordon"] for each in self.readings), self.resident("cordon")]),
            "isolates": metrics["sluice_isolates_live"], "contexts": metrics["sluice_isolate_contexts"],
            "detached": metrics["sluice_isolate_contexts_detached"], "handles": metrics['sluice_isolate_bytes{part="handles"}'],
            "heap": metrics['sluice_isolate_bytes{part="heap"}'], "buffers": metrics['sluice_isolate_bytes{part="buffers"}'],
            "slabs": metrics["sluice_slabs_live"],
        }

    def judge(self) -> None:
        metrics, figures = self.gateway.metrics(), self.result.figures
        warm = [each for each in self.samples if each["calls"] >= self.count * self.WARM_UP] or self.samples
        quarter = max(1, len(warm) // 4)
        for name in ("resident", "cordons", "handles", "contexts", "slabs", "isolates", "heap", "buffers", "detached"):
            first = statistics.median(each[name] for each in warm[:quarter])
            last = statistics.median(each[name] for each in warm[-quarter:])
            figures[f"{name} first quarter"], figures[f"{name} last quarter"] = first, last
            if name in ("resident", "cordons"):
                figures[f"{name} growth, %"] = (last / first - 1) * 100 if first else 0.0
                figures[f"{name} most"] = max(each[name] for each in warm)
            # Of what must be flat: within 5 %. What is counted in pieces may be one more or less.
            limit = {"resident": first * 1.05, "cordons": first * 1.05, "handles": first * 1.05 + 4096, "contexts": first * 1.05 + 16,
                     "slabs": first * 1.05 + 4, "isolates": first, "detached": first + 4}.get(name, math.inf)
            if len(warm) >= 8 and last > limit:
                self.result.complaints.append(f"{name} grew from {first:,.0f} to {last:,.0f}")
        figures["calls"] = int(self.samples[-1]["calls"])
        figures["requests"] = self.requests
        failures = {key: value for key, value in metrics.items() if key.startswith("sluice_hook_failures_total") and value and 'kind="error"' not in key}
        if failures:
            self.result.complaints.append(f"calls failed: {failures}")
        if metrics.get("sluice_bugs_total", 0):
            self.result.complaints.append("the gateway counted a bug")
        for share, word in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")):
            for function in ("edit", "answer", "later", "body", "outside"):
                figures[f"{word} CPU of {function}, us, below"] = percentile(metrics, "sluice_function_call_cpu_seconds", share, function=function)
            figures[f"{word} of a call, us, below"] = percentile(metrics, "sluice_hook_duration_seconds", share)
