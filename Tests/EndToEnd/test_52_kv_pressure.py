"""Namespaces under pressure: many keys, many questions at once, a full file, many ends of life: nobody else waits, or pays."""
import json
import os
import threading
from urllib.parse import quote

import pytest

from harness import http1
from harness.gateway import rule_file
from harness.waiting import wait_until

KV = """
    export default { async onRequest(request, env, ctx) {
      const url = new URL(request.url), what = url.pathname.slice(1), count = Number(url.searchParams.get("count")), from = Number(url.searchParams.get("from"));
      const many = (make) => Promise.all(Array.from({ length: count }, (_, index) => make(from + index)));
      const name = (index) => `k/${String(index).padStart(7, "0")}`;
      try {
        switch (what) {
          case "fill": await many((index) => env.KV.put(name(index), url.searchParams.get("value") ?? "v", { metadata: { index }, expirationTtl: Number(url.searchParams.get("ttl")) || undefined })); break;
          case "drop": await many((index) => env.KV.delete(name(index))); break;
          case "delete": await env.KV.delete(url.searchParams.get("key")); break;
          case "big": await env.KV.put(url.searchParams.get("key") ?? "big", "x".repeat(count)); break;
          case "gets": { let bytes = 0; await many(async () => { const value = await env.KV.get("big", "arrayBuffer"); bytes += value.byteLength; }); return Response.json(bytes); }
          case "get": return new Response(await env.KV.get(url.searchParams.get("key")) ?? "none");
          case "lists": { let names = 0; await many(async () => { const page = await env.KV.list({ prefix: "k/" }); names += page.keys.length; }); return Response.json(names); }
          case "page": return Response.json(await env.KV.list({ prefix: "k/", limit: count || 1000, cursor: url.searchParams.get("cursor") }));
        }
      } catch (error) { return new Response(`${error}`, { status: 507 }); }
      return new Response("done");
    } };
"""
RULES = "- {name: a, when: 'not exists(header.x-other)', do: [{run: {function: a}}]}\n- {name: b, do: [{run: {function: b}}]}"
# KiB. A sanitizer keeps a quarter of a GiB of what was freed, and takes its time to read.
SANITIZED = "SLUICE_SANITIZER" in os.environ
MOST = 600_000 if SANITIZED else 150_000
# A debug build under a sanitizer takes its time for a thousand questions.
LIMITS = "limits: {cpu: 20s, wall: 60s, memory: 64MiB}"


@pytest.fixture
def run(start, certificates, tmp_path):
    def run(lane="lane: inline", size="64MiB", **more):
        functions = f"a: {{file: hooks/kv.js, tenant: a, {lane}, kv: {{KV: one}}, {LIMITS}}}\nb: {{file: hooks/kv.js, tenant: b, kv: {{KV: two}}, {LIMITS}}}"

        def make(ports):
            return rule_file(ports, certificates, 1, functions=functions, request=RULES) + \
                f"kv:\n  one: {{path: {tmp_path}/one, size: {size}}}\n  two: {{path: {tmp_path}/two}}\n"
        return start(rules=make, hooks={"kv.js": KV}, workers=1, **more)
    return run


def ask(gateway, path: str, other: bool = False, timeout: float = 90):
    with http1.Connection(gateway.ports.plain, timeout=timeout) as client:
        answer = client.request("GET", path, [("x-other", "1")] if other else [])
    return answer.status, answer.body.decode()


def fill(gateway, keys: int, **more):
    options = "".join(f"&{name}={value}" for name, value in more.items())
    for start in range(0, keys, 1_000):
        assert ask(gateway, f"/fill?from={start}&count={min(1_000, keys - start)}{options}") == (200, "done")


def during(gateway, path: str):
    """What came of a request, and how many of another tenant were served meanwhile."""
    result: list[tuple[int, str]] = []
    asking = threading.Thread(target=lambda: result.append(ask(gateway, path)))
    served = 0
    asking.start()
    while asking.is_alive():
        assert ask(gateway, "/get?key=mine", other=True)[0] == 200
        served += 1
    asking.join()
    return result[0], served


def peak_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


@pytest.mark.parametrize("lane", ["lane: inline", "untrusted: true"])
def test_a_thousand_large_values_at_once_are_not_all_in_memory(run, lane):
    gateway = run(lane)
    assert ask(gateway, "/big?count=1000000") == (200, "done")
    assert ask(gateway, "/gets?count=3") == (200, "3000000")
    pid = gateway.worker_pids()[0]
    before = peak_kib(pid)
    (status, text), served = during(gateway, "/gets?count=400")
    assert (status, text) == (200, "400000000")
    assert peak_kib(pid) - before < MOST, f"{before} KiB before, {peak_kib(pid)} KiB afterwards"
    assert gateway.worker_pids() == [pid] and served > 20, f"{served} requests of another tenant were served meanwhile"
    wait_until(lambda: ask(gateway, "/get?key=none") == (200, "none"), "the function serves")


@pytest.mark.parametrize("lane", ["lane: inline", "untrusted: true"])
def test_a_thousand_lists_at_once_leave_turns_to_others(run, lane):
    gateway = run(lane)
    fill(gateway, 1_000)
    (status, text), served = during(gateway, "/lists?count=500")
    assert (status, text) == (200, "500000")
    assert served > 50, f"{served} requests of another tenant were served while 500 pages were listed"


def pages(gateway, after_each=lambda page: None, limit=200):
    """Names on all pages of a list, and how many pages there were."""
    names, count, cursor = [], 0, ""
    while True:
        page = json.loads(ask(gateway, f"/page?count={limit}&cursor={quote(cursor)}")[1])
        names += [key["name"] for key in page["keys"]]
        count += 1
        after_each(page)
        if page["list_complete"]:
            return names, count
        cursor = page["cursor"]


def test_a_list_goes_on_where_it_was_while_its_keys_are_deleted_and_others_added(run):
    gateway = run()
    fill(gateway, 2_000)

    def delete_half(page):
        first = int(page["keys"][0]["name"][2:]) if page["keys"] else 0
        assert ask(gateway, f"/drop?from={first}&count=200") == (200, "done")
        assert ask(gateway, "/fill?from=0&count=10") == (200, "done"), "in front of the cursor: not seen again"
    names, count = pages(gateway, delete_half)
    assert names == [f"k/{number:07}" for number in range(2_000)] and count in (10, 11)
    assert pages(gateway)[0] == [f"k/{number:07}" for number in range(10)]


def test_entries_that_end_together_are_never_seen_and_taken_out_while_others_are_served(run):
    gateway = run()
    fill(gateway, 6_000, ttl=2)
    wait_until(lambda: ask(gateway, "/get?key=k/0005999") == (200, "none"), "their time is up")
    names, count = pages(gateway, limit=1000)
    assert names == [] and count >= 1, "pages may be empty, and the cursor goes on"
    wait_until(lambda: gateway.metric("sluice_kv_expired_total") >= 6_000, "all are taken out", 60)
    assert ask(gateway, "/fill?from=0&count=3") == (200, "done")
    assert pages(gateway) == (["k/0000000", "k/0000001", "k/0000002"], 1)


@pytest.mark.parametrize("lane", ["lane: inline", "untrusted: true"])
def test_a_full_namespace_answers_on_hurts_nobody_and_gets_its_space_back(run, lane):
    gateway = run(lane, size="2MiB")
    kept = 0
    while (answer := ask(gateway, f"/big?key=big{kept}&count=100000")) == (200, "done"):
        kept += 1
    assert answer == (507, "Error: the namespace is full") and 10 <= kept <= 21
    assert ask(gateway, "/fill?from=0&count=500&value=" + "v" * 1000)[0] == 507
    wait_until(lambda: gateway.metric("sluice_kv_failures_total", reason="full") >= 2, "counted")
    assert ask(gateway, "/get?key=big0") == (200, "x" * 100_000)
    assert ask(gateway, "/big?key=mine&count=1000000", other=True) == (200, "done"), "another namespace has room"
    wait_until(lambda: gateway.metric("sluice_kv_stored_bytes") > 2_500_000, "both are counted", 30)
    for number in range(kept):
        assert ask(gateway, f"/delete?key=big{number}") == (200, "done"), "a full namespace can be emptied"
    assert ask(gateway, "/drop?from=0&count=500") == (200, "done")
    wait_until(lambda: gateway.metric("sluice_kv_stored_bytes") < 1_300_000, "what is left is the other's", 30)
    for number in range(kept):
        assert ask(gateway, f"/big?key=again{number}&count=100000") == (200, "done"), "all of the space is back"
