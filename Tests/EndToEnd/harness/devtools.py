"""A client of Chrome's DevTools protocol, as small as the tests need it."""
import json
import socket
import urllib.request

import websockets.sync.client as sync_client

from .waiting import BOUND


class DevTools:
    """One WebSocket to one function. Events that nobody waited for are kept."""

    def __init__(self, url: str, **options):
        self.socket = sync_client.connect(url, max_size=None, compression=None, open_timeout=BOUND, **options)
        self.last = 0
        self.events: list[dict] = []

    def close(self):
        self.socket.close()

    def cut(self):
        """Go without a good-bye."""
        self.socket.socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def post(self, method: str, **parameters) -> int:
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "method": method, "params": parameters}))
        return self.last

    def _next(self) -> dict:
        # An endless evaluation is ended after 5 s of processor time.
        return json.loads(self.socket.recv(timeout=4 * BOUND))

    def answer(self, number: int) -> dict:
        while True:
            message = self._next()
            if message.get("id") == number:
                return message
            self.events.append(message)

    def ask(self, method: str, **parameters) -> dict:
        answer = self.answer(self.post(method, **parameters))
        assert "error" not in answer, answer
        return answer["result"]

    def event(self, method: str, matches=lambda parameters: True) -> dict:
        """The parameters of the next event of this name, which is then used up."""
        while True:
            for index, message in enumerate(self.events):
                if message.get("method") == method and matches(message["params"]):
                    return self.events.pop(index)["params"]
            self.events.append(self._next())

    def value(self, expression: str, frame: str | None = None):
        if frame is None:
            answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        else:
            answer = self.ask("Debugger.evaluateOnCallFrame", callFrameId=frame, expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


def look(address: str, path: str, host: str | None = None):
    """What the inspector answers over HTTP, as JSON."""
    request = urllib.request.Request(f"http://{address}{path}", headers={"Host": host} if host else {})
    with urllib.request.urlopen(request, timeout=BOUND) as answer:
        return json.load(answer)
