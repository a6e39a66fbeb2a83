"""Functions that run by the clock: each moment once over all workers, no two at a time unless allowed, never silent."""
import os
import signal
from pathlib import Path

import pytest

from harness.gateway import rule_file
from harness.waiting import wait_until

EVERY_SECOND = "* * * * * *"
TICK = """
    export default { async scheduled(event, env) {
      const seen = Number(await env.KV.get(`${event.scheduledTime}`) ?? 0);
      await env.KV.put(`${event.scheduledTime}`, `${seen + 1}`);
      await env.origin.fetch(`/tick?${event.scheduledTime}`);
    } };
"""


def starter(start, certificates, origin, folder, schedule: str, options: str = ""):
    def make(ports):
        return rule_file(ports, certificates, origin.port,
                         functions=f"f: {{file: hooks/f.js, kv: {{KV: one}}, upstreams: [origin], schedule: {schedule}{options}}}"
                         ) + f"kv: {{one: {{path: {folder}/one}}}}\n"
    return make


def ticks(origin) -> list[str]:
    return [request.target.split("?")[1] for request in origin.requests if request.path == "/tick"]


@pytest.mark.parametrize("options", ["", ", untrusted: true"])
def test_each_moment_is_run_once_by_one_of_the_workers(start, certificates, origin, tmp_path, options):
    gateway = start(rules=starter(start, certificates, origin, tmp_path, f'"{EVERY_SECOND}"', options), hooks={"f.js": TICK}, workers=3)
    wait_until(lambda: len(ticks(origin)) >= 4, "it runs")
    seen = ticks(origin)
    assert len(set(seen)) == len(seen), "no moment ran twice"
    assert all(int(each) % 1000 == 0 for each in seen)
    wait_until(lambda: gateway.metric("sluice_scheduled_runs_total", result="done") >= 4, "counted")
    assert gateway.metric("sluice_hook_calls_total", handler="scheduled") >= 4


def test_it_goes_on_when_workers_die(start, certificates, origin, tmp_path):
    gateway = start(rules=starter(start, certificates, origin, tmp_path, f'"{EVERY_SECOND}"'), hooks={"f.js": TICK}, workers=2)
    for _ in range(3):
        before = len(ticks(origin))
        os.kill(gateway.worker_pids()[0], signal.SIGKILL)
        wait_until(lambda: len(ticks(origin)) > before + 1, "it runs")
    assert len(set(ticks(origin))) == len(ticks(origin))


SLOW = """
    export default { async scheduled(event, env) {
      await env.origin.fetch(`/tick?${event.scheduledTime}`);
      await new Promise((resolve) => setTimeout(resolve, 2500));
    } };
"""


def test_a_run_that_goes_on_leaves_the_next_out(start, certificates, origin, tmp_path):
    gateway = start(rules=starter(start, certificates, origin, tmp_path, f'"{EVERY_SECOND}"'), hooks={"f.js": SLOW}, workers=2)
    wait_until(lambda: gateway.metric("sluice_scheduled_runs_total", result="skipped") >= 3, "runs are left out")
    times = sorted(int(each) for each in ticks(origin))
    assert all(later - earlier >= 2500 for earlier, later in zip(times, times[1:]))
    gateway.wait_log("is left out once: the run before it goes on")


def test_runs_may_overlap_where_that_is_allowed(start, certificates, origin, tmp_path):
    gateway = start(rules=starter(start, certificates, origin, tmp_path, f'"{EVERY_SECOND}"', ", overlap: allow"), hooks={"f.js": SLOW})
    wait_until(lambda: len(ticks(origin)) >= 4, "it runs")
    times = sorted(int(each) for each in ticks(origin))
    assert any(later - earlier < 2500 for earlier, later in zip(times, times[1:]))
    assert gateway.metric("sluice_scheduled_runs_total", result="skipped") == 0


FINISHING = """
    export default { async scheduled(event, env) {
      await env.origin.fetch("/begun");
      await new Promise((resolve) => setTimeout(resolve, 1500));
      await env.origin.fetch("/ended");
    } };
"""


def test_a_run_under_way_ends_before_the_gateway_does(start, certificates, origin, tmp_path):
    gateway = start(rules=starter(start, certificates, origin, tmp_path, f'"{EVERY_SECOND}"'), hooks={"f.js": FINISHING})
    wait_until(lambda: any(request.path == "/begun" for request in origin.requests), "it runs")
    assert gateway.stop() == 0
    paths = [request.path for request in origin.requests]
    assert paths.count("/begun") == paths.count("/ended") >= 1


FAILING = "export default { async scheduled(event) {\n  throw new Error('no luck');\n} };"


def test_a_failure_is_logged_and_counted_and_the_next_run_comes(start, certificates, origin, tmp_path):
    gateway = start(rules=starter(start, certificates, origin, tmp_path, f'"{EVERY_SECOND}"'), hooks={"f.js": FAILING})
    wait_until(lambda: gateway.metric("sluice_scheduled_runs_total", result="failed") >= 2, "it fails and runs again")
    assert "hooks/f.js:2:9" in gateway.wait_log("no luck")
    assert gateway.fetch("http1", "GET", "/").status == 200


def test_a_reload_changes_the_schedule(start, certificates, origin, tmp_path):
    gateway = start(rules=starter(start, certificates, origin, tmp_path, f'"{EVERY_SECOND}"'), hooks={"f.js": TICK})
    wait_until(lambda: ticks(origin), "it runs")
    gateway.reload(starter(start, certificates, origin, tmp_path, '"0 0 1 1 *"')(gateway.ports))
    wait_until(lambda: gateway.metric("sluice_worker_reloads_total", result="applied") >= 1, "taken over")
    quiet = len(ticks(origin))
    done = gateway.metric("sluice_scheduled_runs_total", result="done")
    gateway.reload(starter(start, certificates, origin, tmp_path, f'"{EVERY_SECOND}"')(gateway.ports))
    wait_until(lambda: len(ticks(origin)) > quiet, "it runs again")
    assert done <= quiet + 1


@pytest.mark.parametrize("options", ["", ", untrusted: true"])
def test_reloads_one_after_another_hold_no_schedule_up(start, certificates, origin, tmp_path, options):
    """What is due stays due: it was counted anew from each reload, and one a second meant that nothing ever ran."""
    make = starter(start, certificates, origin, tmp_path, f'"{EVERY_SECOND}"', options)
    gateway = start(rules=make, hooks={"f.js": TICK}, workers=2)
    wait_until(lambda: ticks(origin), "it runs")
    quiet = len(ticks(origin))

    def reloaded():
        gateway.reload(make(gateway.ports) + f"# {len(gateway.text)}\n")
        return len(ticks(origin)) >= quiet + 4
    wait_until(reloaded, "it runs between reloads")
    assert len(set(ticks(origin))) == len(ticks(origin)), "no moment ran twice"


HELD = """
    export default { async scheduled(event, env) {
      await env.origin.fetch(`/begun?${event.scheduledTime}`);
      for (;;) {
        if (await env.KV.get("go") !== null) break;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await env.origin.fetch(`/ended?${event.scheduledTime}`);
    },
    async onRequest(request, env) { await env.KV.put("go", "1"); return new Response("goes on"); } };
"""


@pytest.mark.parametrize("options", ["", ", untrusted: true"])
def test_a_run_longer_than_its_period_goes_on_over_a_reload_and_stays_alone(start, certificates, origin, tmp_path, options):
    """On several workers: the new code runs once the old code's run has ended, and not beside it."""
    def make(ports):
        return rule_file(ports, certificates, origin.port, request="- {name: f, when: path == \"/go\", do: [{run: f}]}",
                         functions=f'f: {{file: hooks/f.js, kv: {{KV: one}}, upstreams: [origin], schedule: "{EVERY_SECOND}", '
                         f"limits: {{wall: 60s, subrequests: 2}}{options}}}") + f"kv: {{one: {{path: {tmp_path}/one}}}}\n"

    def seen(path: str) -> list[str]:
        return [request.target.split("?")[1] for request in origin.requests if request.path == path]
    gateway = start(rules=make, hooks={"f.js": HELD}, workers=3)
    wait_until(lambda: seen("/begun"), "it runs")
    before = gateway.metric("sluice_worker_reloads_total", result="applied")
    (gateway.folder / "hooks/f.js").write_text(TICK.replace("} };", "}, onRequest() { return new Response('new'); } };"))
    gateway.reload()
    wait_until(lambda: gateway.metric("sluice_worker_reloads_total", result="applied") >= before + 3, "all workers have the new code")
    left_out = gateway.metric("sluice_scheduled_runs_total", result="skipped")
    wait_until(lambda: gateway.metric("sluice_scheduled_runs_total", result="skipped") >= left_out + 3, "moments are left out")
    assert len(seen("/begun")) == 1 and not seen("/ended") and not ticks(origin), "nothing runs beside it"
    (gateway.folder / "hooks/g.js").write_text(HELD)
    gateway.reload(make(gateway.ports).replace("functions:\n", f"functions:\n  g: {{file: hooks/g.js, kv: {{KV: one}}{options}}}\n").replace("run: f", "run: g"))
    wait_until(lambda: gateway.fetch("http1", "GET", "/go").body == b"goes on", "another function lets it end")
    wait_until(lambda: seen("/ended") == seen("/begun"), "the old code's run came to its end")
    wait_until(lambda: len(ticks(origin)) >= 2, "the new code runs")
    assert len(seen("/begun")) == 1 and len(set(ticks(origin))) == len(ticks(origin))


def test_a_schedule_without_a_handler_is_refused(certificates, origin, tmp_path):
    import subprocess

    from harness.gateway import binary
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks/f.js").write_text("export default { onRequest() {} };")
    file = Path(tmp_path / "rules.yaml")
    file.write_text('sluice: 1\nlisteners: [{name: a, address: "127.0.0.1:0"}]\nfunctions: {f: {file: hooks/f.js, schedule: "@daily"}}\n')
    check = subprocess.run([binary(), "check", file], capture_output=True, text=True)
    assert check.returncode == 1 and "does not export scheduled" in check.stdout + check.stderr
