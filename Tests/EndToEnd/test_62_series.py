"""What is counted by site, function, upstream and server: it adds up, and outlives reloads and workers."""
import os
import signal

import pytest

from harness.waiting import wait_until


@pytest.fixture
def gateway(start):
    return start(
        functions='mark: {file: hooks/mark.js, on_error: {respond: 503}}',
        hooks={"mark.js": 'export default { onRequest(r) { if (r.url.endsWith("/bad")) throw new Error("bad"); } };'},
        request='- {name: run, when: path starts_with "/hook", do: [{run: mark}]}\n'
                '- {name: here, when: path == "/here", do: [{respond: {status: 404, body: "no"}}]}')


def counted(gateway, name, value, **labels):
    wait_until(lambda: gateway.metric(name, **labels) == value, f"{name} {labels} is {value}, not {gateway.metric(name, **labels)}")


def test_requests_are_counted_by_site_function_upstream_and_server(gateway):
    for path in ("/", "/", "/hook/good", "/hook/bad", "/here"):
        gateway.fetch("http1", "GET", path)
    counted(gateway, "sluice_site_requests_total", 3, site="test", **{"class": "2xx"})
    counted(gateway, "sluice_site_requests_total", 1, site="test", **{"class": "4xx"})
    counted(gateway, "sluice_site_requests_total", 1, site="test", **{"class": "5xx"})
    counted(gateway, "sluice_site_request_duration_seconds_count", 5, site="test")
    counted(gateway, "sluice_upstream_requests_total", 3, upstream="origin", **{"class": "2xx"})
    counted(gateway, "sluice_server_requests_total", 3, upstream="origin", **{"class": "2xx"})
    counted(gateway, "sluice_upstream_response_seconds_count", 3, upstream="origin")
    counted(gateway, "sluice_function_calls_total", 2, function="mark")
    counted(gateway, "sluice_function_failures_total", 1, function="mark")
    counted(gateway, "sluice_function_policies_total", 1, function="mark")
    assert gateway.metric("sluice_site_bytes_total", site="test", direction="out") > 0


def test_counts_survive_a_reload_and_the_death_of_a_worker(gateway):
    gateway.fetch("http1", "GET", "/")
    counted(gateway, "sluice_site_requests_total", 1, site="test", **{"class": "2xx"})
    gateway.reload()
    gateway.fetch("http1", "GET", "/")
    counted(gateway, "sluice_site_requests_total", 2, site="test", **{"class": "2xx"})
    before = gateway.worker_pids()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: gateway.worker_pids() and gateway.worker_pids() != before, "another worker")
    gateway.fetch("http1", "GET", "/")
    counted(gateway, "sluice_site_requests_total", 3, site="test", **{"class": "2xx"})
