"""An origin whose health check fails now and then: what it takes to leave it out and to have it back, and what is said of it."""
import pytest

from harness.origin import Exchange, Origin, many
from harness.waiting import wait_until

ROUTE = "- {name: many, do: [{route: many}]}"
FAIL_AFTER, PASS_AFTER = 3, 4


class Flapping(Origin):
    """Answers checks by a script of verdicts, whose last one stays."""

    def __init__(self) -> None:
        super().__init__()
        self.verdicts = [True]
        self.checks = 0
        self.calls = 0
        self.script = self.serve

    async def serve(self, exchange: Exchange) -> None:
        if exchange.request.path != "/healthz":
            self.calls += 1
            return await exchange.answer(200, b"fine")
        self.checks += 1
        verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        await exchange.answer(200 if verdict else 500)

    def play(self, verdicts: list[bool]) -> None:
        """Has the next checks come out so. The last one stays, and is asked for once more: what came before it has been judged then."""
        self.verdicts = list(verdicts)
        wait_until(lambda: len(self.verdicts) == 1, "the checks are made", seconds=60)
        asked = self.checks
        wait_until(lambda: self.checks >= asked + 2, "and judged", seconds=60)


@pytest.fixture
def pair():
    made = [Origin(), Flapping()]
    yield made
    for each in made:
        each.stop()


def test_a_server_that_flaps_is_judged_by_what_it_does_in_a_row(start, pair):
    steady, flapping = pair
    options = f"health: {{path: /healthz, every: 20ms, timeout: 5s, fail_after: {FAIL_AFTER}, pass_after: {PASS_AFTER}}}"
    gateway = start(upstreams=many(pair, options), request=ROUTE)

    def changes(to: str) -> float:
        return gateway.metric("sluice_health_changes_total", to=to)

    def served(count: int = 8) -> int:
        before = flapping.calls
        assert {gateway.fetch("http1", "GET", "/").status for _ in range(count)} == {200}
        return flapping.calls - before

    wait_until(lambda: flapping.checks > 2, "it is asked")
    assert served() == 4, "both serve in turn"
    said = len(gateway.output)

    # Never as many failures in a row as it takes.
    flapping.play(([False] * (FAIL_AFTER - 1) + [True]) * 20)
    assert changes("down") == 0 and served() == 4, "it flaps, and stays"

    for time in range(1, 6):
        flapping.play([False] * FAIL_AFTER)
        wait_until(lambda: changes("down") == time, "it is out")
        assert changes("up") == time - 1
        assert served() == 0, "nobody is sent there while it is down"
        # Never as many passes in a row as it takes.
        flapping.play(([True] * (PASS_AFTER - 1) + [False]) * 5)
        assert changes("up") == time - 1 and served() == 0, "a few good answers do not bring it back"
        flapping.play([True] * PASS_AFTER)
        wait_until(lambda: changes("up") == time, "it is back")
        assert changes("down") == time and served() == 4

    assert len(steady.requests) > flapping.calls
    new = gateway.output[said:]
    assert len(new) <= 2 * 5, "at most a line for each change, none for each check: " + "\n".join(new)


def test_when_all_are_down_a_flapping_server_still_serves(start):
    """With nobody in service health is not looked at: better an answer than none (`panic`)."""
    server = Flapping()
    server.verdicts = [False]
    try:
        options = f"health: {{path: /healthz, every: 20ms, timeout: 5s, fail_after: {FAIL_AFTER}, pass_after: {PASS_AFTER}}}"
        gateway = start(upstreams=many([server], options), request=ROUTE)
        wait_until(lambda: gateway.metric("sluice_health_changes_total", to="down") == 1, "it is down")
        assert gateway.fetch("http1", "GET", "/").status == 200
        assert server.calls == 1
    finally:
        server.stop()
