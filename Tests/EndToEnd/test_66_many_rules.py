"""Thousands of rules: they are found, swapped in under load, and nobody waits for that."""
from harness.gateway import rule_file
from harness.waiting import wait_until
from test_60_operations import Load, respond

COUNT = 10_000


def many(word: str) -> str:
    rules = [respond(word)]
    rules += [f"- {{when: 'path == \"/page-{number}\"', do: [{{respond: {{status: 200, body: \"{word} {number}\"}}}}]}}" for number in range(COUNT)]
    return "\n".join(rules)


def test_thousands_of_rules_are_swapped_in_under_load(start, certificates, origin):
    gateway = start(workers=2, request=many("0"))
    load = Load(gateway, path=f"/page-{COUNT - 1}")
    for number in range(1, 4):
        gateway.reload(rule_file(gateway.ports, certificates, origin.port, request=many(str(number))))
        wait_until(lambda: gateway.fetch("http1", "GET", f"/page-{COUNT - 1}").body == f"{number} {COUNT - 1}".encode(), "the new rules serve")
    wait_until(lambda seen=load.served: load.served > seen + 20, "requests are served after the reload")
    load.stop()
    assert not load.failures
    wait_until(lambda: gateway.metric("sluice_worker_reloads_total", result="applied") == 6, "both workers have swapped three times")
    assert gateway.metric("sluice_worker_reload_microseconds_total") > 0
