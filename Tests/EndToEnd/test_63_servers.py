"""How origin servers stand: in the metrics, in the admin API, in the commands and on the dashboard, the same everywhere."""
import json
import os
import signal
import threading

import pytest
from selenium.webdriver.common.by import By

from harness import http1
from harness.origin import Exchange, Origin
from harness.waiting import wait_until
from test_63_dashboard import browser, picture, shows  # noqa: F401


@pytest.fixture
def three():
    made = [Origin() for _ in range(3)]
    yield made
    for each in made:
        each.stop()


@pytest.fixture
def standing(start, three):
    """A server that is fine, one whose checks fail, one that answers 503 until it is left out."""
    good, sick, broken = three
    health = [500]

    async def ill(exchange: Exchange) -> None:
        await exchange.answer(health[0] if exchange.request.path == "/healthz" else 200)

    async def refusing(exchange: Exchange) -> None:
        await exchange.answer(200 if exchange.request.path == "/healthz" else 503)

    sick.script, broken.script = ill, refusing
    servers = ", ".join(f'"http://127.0.0.1:{each.port}"' for each in three)
    gateway = start(workers=2, request="- {name: many, when: 'path starts_with \"/many\"', do: [{route: many}]}", upstreams=(
        f"many:\n  servers: [{servers}]\n  health: {{path: /healthz, every: 50ms, timeout: 2s, fail_after: 2, pass_after: 1}}\n"
        "  ejection: {failures: 3, time: 120s, max: 100%}\n  retry: {tries: 3}\n"))

    def settled():
        gateway.fetch("http1", "GET", "/many")
        return gateway.metric("sluice_server_ejected", server=f"127.0.0.1:{broken.port}") and gateway.metric("sluice_server_check_failing")

    wait_until(settled, "one is ejected and one is down")
    return gateway, three, health


def overview(gateway):
    token = gateway.command("token").stdout.strip()
    with http1.Connection(gateway.ports.admin) as client:
        answer = client.request("GET", "/v1/overview", [("Authorization", f"Bearer {token}")], host="127.0.0.1")
    return {origin["server"]: origin for origin in json.loads(answer.body)["origins"] if origin["upstream"] == "many"}


def test_metrics_the_api_and_the_commands_agree(standing):
    gateway, (good, sick, broken), health = standing
    names = [f"127.0.0.1:{each.port}" for each in (good, sick, broken)]

    def metric(name, server):
        return gateway.metric(f"sluice_server_{name}", upstream="many", server=server)

    assert [metric("up", name) for name in names] == [1, 0, 0]
    assert [metric("ejected", name) for name in names] == [0, 0, 1]
    assert [metric("check_failing", name) for name in names] == [0, 1, 0]
    known = overview(gateway)
    assert [known[name]["up"] for name in names] == [True, False, False]
    assert [known[name]["check"] for name in names] == ["passing", "failing", "passing"]
    assert known[names[0]]["ejected_ms"] == 0 and 0 < known[names[2]]["ejected_ms"] <= 120_000
    status = gateway.command("status").stdout
    assert "upstream       many: 1 of 3 servers up" in status and f"{names[1]} check fails" in status and f"{names[2]} ejected" in status
    top = gateway.command("top", "--count", "1", "--every", "1").stdout
    assert "check fails" in top and "ejected" in top and "in flight" in top
    health[0] = 200
    wait_until(lambda: metric("up", names[1]) == 1, "the checks pass again")
    assert overview(gateway)[names[1]]["check"] == "passing"


def test_requests_in_flight_are_those_of_all_workers_and_of_older_generations(start, origin):
    gateway = start(workers=2)
    name = f"127.0.0.1:{origin.port}"

    def active():
        return gateway.metric("sluice_server_requests_active", server=name)

    def ask():
        gateway.fetch("http1", "GET", "/slow/6000")

    clients = [threading.Thread(target=ask) for _ in range(6)]
    for client in clients:
        client.start()
    wait_until(lambda: active() == 6, "all are counted")
    gateway.reload()
    more = threading.Thread(target=ask)
    more.start()
    wait_until(lambda: active() == 7, "those of the generation before as well")
    assert gateway.metric("sluice_server_connections", server=name) >= 7
    for client in [*clients, more]:
        client.join()
    wait_until(lambda: active() == 0, "none is left")
    assert gateway.metric("sluice_server_connections_idle", server=name) >= 1


def test_a_worker_that_does_not_answer_holds_the_metrics_up_for_a_moment_only(start):
    gateway = start(workers=2)
    worker = gateway.worker_pids()[0]
    os.kill(worker, signal.SIGSTOP)
    try:
        assert gateway.metric("sluice_server_up") == 1
    finally:
        os.kill(worker, signal.SIGCONT)


def test_the_dashboard_shows_how_servers_stand(standing, browser):  # noqa: F811
    gateway, (good, sick, broken), _ = standing
    browser.get(gateway.command("dashboard").stdout.strip())
    shows(browser, "1 of 3 up", "check fails", "left out for", f"127.0.0.1:{good.port}")
    rows = {row.text.split()[0]: row.text for row in browser.find_elements(By.CSS_SELECTOR, "#upstreams tbody tr")}
    assert "check fails" in rows[f"127.0.0.1:{sick.port}"] and "left out" in rows[f"127.0.0.1:{broken.port}"]
    assert " up " in rows[f"127.0.0.1:{good.port}"]
    picture(browser, "servers")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True})
    picture(browser, "servers-phone")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
