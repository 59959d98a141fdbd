"""A stand-in for the API: a real server on loopback that answers by a script and remembers."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast

from attrs import define, field, frozen

FakeResponse = tuple[int, object] | tuple[int, object, dict[str, str]]
"""A status, what is answered as JSON, and headers."""


@frozen
class Request:
    method: str
    path: str
    body: bytes
    authorization: str | None
    if_match: str | None


@define
class FakeApi:
    """``script`` holds, by method and path, the responses to come; the last one repeats."""

    url: str
    script: dict[tuple[str, str], list[FakeResponse]] = field(factory=lambda: defaultdict(list))
    requests: list[Request] = field(factory=list)

    def responds(self, method: str, path: str, *responses: FakeResponse) -> None:
        self.script[method, path] = list(responses)

    def bodies(self, method: str = "POST") -> list[bytes]:
        return [request.body for request in self.requests if request.method == method]

    def respond(self, request: Request) -> FakeResponse:
        self.requests.append(request)
        planned = self.script[request.method, request.path.partition("?")[0]]
        if not planned:
            return 404, {"message": f"Nothing is planned for {request.path}."}
        return planned[0] if len(planned) == 1 else planned.pop(0)


@contextmanager
def fake_api(port: int = 0, *planned: tuple[str, str, FakeResponse]) -> Iterator[FakeApi]:
    """Serve a stand-in while the context is open; what is planned is so from the first request."""
    server = _Server(("127.0.0.1", port), _Handler)
    for method, path, response in planned:
        server.api.responds(method, path, response)
    thread = Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield server.api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.api = FakeApi(f"http://127.0.0.1:{self.server_port}/api")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        path = self.path.removeprefix("/api")
        credential, version = self.headers["Authorization"], self.headers["If-Match"]
        request = Request(self.command, path, body, credential, version)
        status, value, *headers = cast("_Server", self.server).api.respond(request)
        text = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        given = headers[0] if headers else {}
        for name, header in ({"Content-Type": "application/json"} | given).items():
            self.send_header(name, header)
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the base class's names

    def log_message(self, *_: object) -> None:
        """Log nothing."""
