"""`isolation: request`: calls that share nothing; `security: true`: a check that fails denies."""
import concurrent.futures

import pytest

LEAKY = """\
    let n = 0;
    export default { async onRequest(request) {
      const seen = `${++n} ${globalThis.secret} ${{}.polluted}`;
      globalThis.secret = Object.prototype.polluted = request.headers.get("authorization");
      await new Promise((done) => setTimeout(done, 5));
      return new Response(seen);
    } };
    """
RUN = "- name: run\n  do: [{run: {function: hook}}]\n"


def function(options: str) -> str:
    return f"hook: {{file: hooks/hook.js, {options}}}"


@pytest.mark.parametrize("lane", ["inline", "cordon"])
def test_no_request_sees_what_another_left(start, lane):
    gateway = start(functions=function(f"lane: {lane}, isolation: request"), hooks={"hook.js": LEAKY}, request=RUN)
    answers = []
    with gateway.http1() as client:
        for n in range(20):
            answers.append(client.request("GET", "/", [("authorization", f"secret {n}")]).body)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers += pool.map(lambda n: gateway.fetch("http1", "GET", "/", [("authorization", f"s {n}")]).body, range(40))
    assert set(answers) == {b"1 undefined undefined"}


def test_by_default_a_module_keeps_its_variables(start):
    gateway = start(functions=function("lane: inline"), hooks={"hook.js": LEAKY}, request=RUN)
    answers = [gateway.fetch("http1", "GET", "/", [("authorization", "a")]).body for _ in range(2)]
    assert answers == [b"1 undefined undefined", b"2 a a"]


def test_state_goes_from_phase_to_phase_all_the_same(start):
    source = """\
        let n = 0;
        export default {
          onRequest(request, env, ctx) { n++; ctx.state.word = "kept"; },
          onResponse(response, env, ctx) { response.headers.set("x-seen", `${ctx.state.word} ${n}`); },
        };
        """
    gateway = start(functions=function("isolation: request"), hooks={"hook.js": source}, request=RUN, response=RUN)
    assert gateway.fetch("http1", "GET", "/").header("x-seen") == "kept 0"


THROWS = "export default { onRequest(request, env, ctx) { ctx.passThroughOnException(); throw new Error('broken'); } };"


def test_a_security_function_that_fails_denies_whatever_it_asks_for(start, origin, protocol):
    gateway = start(functions=function("security: true"), hooks={"hook.js": THROWS}, request=RUN)
    assert gateway.fetch(protocol, "GET", "/").status == 503
    assert not origin.requests


def test_without_it_the_same_function_lets_pass(start):
    gateway = start(functions=function("lane: inline"), hooks={"hook.js": THROWS}, request=RUN)
    assert gateway.fetch("http1", "GET", "/").status == 200


def test_a_firewall_that_is_stopped_denies(start, origin):
    source = 'addEventListener("firewall", (event) => { for (;;); });'
    gateway = start(functions=function("security: true, lane: inline, limits: {cpu: 5ms}"), hooks={"hook.js": source}, request=RUN)
    assert gateway.fetch("http1", "GET", "/").status == 503
    assert not origin.requests


def test_a_security_function_may_not_continue(start):
    with pytest.raises(AssertionError, match="`on_error: continue` lets a request pass"):
        start(functions=function("security: true, on_error: continue"), hooks={"hook.js": THROWS}, request=RUN)


def test_it_may_have_another_answer(start):
    gateway = start(functions=function("security: true, on_error: {deny: 403}"), hooks={"hook.js": THROWS}, request=RUN)
    assert gateway.fetch("http1", "GET", "/").status == 403
