"""What can be taken from a gateway while it runs: it goes on serving, says so in one metric and one log line, and recovers.

Disk and log readers are in test_71, the collector in test_72, memory and descriptors in test_36."""
import re
from pathlib import Path

import pytest

from harness.dns import Nameserver
from harness.gateway import Gateway, binary, rule_file
from harness.waiting import wait_until

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.mark.skipif(FAKETIME is None, reason="needs the package faketime")
def test_a_clock_that_is_set_by_an_hour_both_ways_disturbs_nobody(certificates, origin, tmp_path, monkeypatch):
    clock = tmp_path / "clock"
    clock.write_text("+0")
    # The first process of a group changes its own environment, in which Swift looks for its arguments.
    wrapper = tmp_path / "sluice"
    wrapper.write_text(f'#!/bin/sh\nexec {binary().resolve()} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("SLUICE", str(wrapper))
    environment = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    gateway = Gateway(tmp_path, certificates, lambda ports: rule_file(
        ports, certificates, origin.port, functions="f: {file: hooks/f.js}", request="- {name: f, do: [{run: {function: f}}]}"),
        {"f.js": "export default { onRequest() {} };"}, environment=environment)
    try:
        gateway.wait_ready()
        with gateway.http1() as plain, gateway.http2() as h2:
            for step, shift in enumerate(("+0", "+3600", "-3600", "+0")):
                spare = clock.with_suffix(".new")
                spare.write_text(shift)
                spare.rename(clock)
                wait_until(lambda n=step: gateway.metric("sluice_clock_steps_total") >= n, f"step {step} is counted")
                for _ in range(20):
                    assert plain.request("GET", "/").status == 200
                    assert h2.request("GET", "/").status == 200
                assert gateway.fetch("http1-tls", "GET", "/").status == 200
        steps = [int(found) for found in re.findall(r"wall clock was set by ([+-]\d+) s", gateway.text)]
        assert len(steps) == 3 and all(abs(step - wanted) <= 1 for step, wanted in zip(steps, (3600, -7200, 3600))), steps
        assert gateway.metric("sluice_worker_deaths_total") == 0
        times = [entry["time"] for entry in gateway.access_log()]
        assert max(times) - min(times) > 7000, "dates follow the clock"
    finally:
        assert gateway.stop() == 0


def test_without_dns_known_addresses_serve_and_it_is_told_once(start, certificates, origin):
    dns = Nameserver()
    try:
        dns.a["one.test"], dns.ttl = ["127.0.0.1"], 1
        gateway = start(rules=lambda ports: rule_file(
            ports, certificates, origin.port, upstreams=f'named: {{servers: ["http://one.test:{origin.port}"], keepalive: 0}}',
            request="- {name: named, do: [{route: named}]}") + f'resolver: {{servers: ["127.0.0.1:{dns.port}"]}}\n')
        assert gateway.fetch("http1", "GET", "/").status == 200
        del dns.a["one.test"]

        def lost():
            assert gateway.fetch("http1", "GET", "/").status == 200
            return gateway.metric("sluice_name_lookups_failed_total") >= 2

        wait_until(lost, "failed lookups are counted")
        assert gateway.metric("sluice_names_unresolved") == 1
        dns.a["one.test"] = ["127.0.0.1"]

        def found():
            assert gateway.fetch("http1", "GET", "/").status == 200
            return gateway.metric("sluice_names_unresolved") == 0

        wait_until(found, "it is found again")
        gateway.wait_log("one.test resolves again")
        assert sum("one.test does not resolve" in line for line in gateway.output) == 1
    finally:
        dns.stop()
