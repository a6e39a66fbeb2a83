"""A gateway whose functions can be debugged, and requests that stand at breakpoints while a test goes on."""
import concurrent.futures
import re

from .devtools import look
from .gateway import Gateway, rule_file
from .waiting import BOUND, wait_until

KEY = "0123456789abcdef0123456789abcdef\n"
# Lines count: breakpoints are set by their numbers.
HOOKS = {
    "greet.js": """\
import { twice } from "./twice.js";
let calls = 0;
export default {
  async onRequest(request) {
    const name = new URL(request.url).searchParams.get("name") ?? "nobody";
    const number = twice(++calls);
    console.log("greeting", { name, number });
    await Promise.resolve();
    return new Response(`hello ${name} ${number}`);
  },
};
""",
    "twice.js": """\
export function twice(value) {
  const result = value * 2;
  return result;
}
//# sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpbInR3aWNlLnRzIl0sIm1hcHBpbmdzIjoiQUFBQSJ9
""",
    "other.js": 'export default { onRequest() { return new Response("other"); } };\n',
}
FUNCTIONS = """\
    greet: {file: hooks/greet.js, limits: {wall: 2s}}
    other: {file: hooks/other.js}
    """
REQUEST = """\
    - {name: greet, when: path == "/greet", do: [{run: {function: greet}}]}
    - {name: other, when: path == "/other", do: [{run: {function: other}}]}
    """


def make_gateway(tmp_path, certificates, origin, endpoint: str = "127.0.0.1:0", **options):
    (tmp_path / "debug.key").write_text(KEY)

    def make(ports):
        return rule_file(ports, certificates, origin.port, functions=FUNCTIONS, request=REQUEST) + "debug: {key_file: debug.key}\n"

    return Gateway(tmp_path, certificates, make, HOOKS, arguments=[f"--inspect={endpoint}"], **options).wait_ready(options.get("workers", 1))


def addresses(gateway) -> list[str]:
    return re.findall(r"inspected at http://(\S+)/json/list", gateway.text)


def address(gateway) -> str:
    return wait_until(lambda: addresses(gateway), "the inspector listens")[0]


def target(gateway, name: str) -> dict:
    return next(entry for entry in look(address(gateway), "/json/list") if entry["title"].startswith(f"{name} "))


def signed(gateway) -> tuple[str, str]:
    told = gateway.command("explain", "--config", str(gateway.file), "--sign", "10m", "--inspect")
    name, value = told.stdout.strip().split(": ")
    assert name == "Sluice-Inspect"
    return name, value


class Asked:
    """A request that is under way while the test goes on."""

    def __init__(self, gateway, path: str, *fields):
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.answer = self.pool.submit(gateway.fetch, "http1", "GET", path, list(fields))

    def text(self) -> str:
        answer = self.answer.result(timeout=BOUND)
        assert answer.status == 200, answer
        return answer.body.decode()

    @property
    def is_over(self) -> bool:
        return self.answer.done()


def plain(gateway, path: str) -> str:
    return Asked(gateway, path).text()


def breakpoint_at(tools, file: str, line: int) -> str:
    answer = tools.ask("Debugger.setBreakpointByUrl", urlRegex=f".*{re.escape(file)}$", lineNumber=line)
    assert answer["locations"], "the breakpoint is resolved at once"
    return answer["breakpointId"]
