"""A service on loopback that gives the answers it is told to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

ANSWER = {"status": "no_match", "reason": "silence", "matches": [], "request_id": "r"}
UNANSWERED = ANSWER | {"reason": "below_threshold"}
FOUND = ANSWER | {"status": "match", "reason": None, "matches": [{"score": 0.9}]}


@dataclass
class Script:
    """What to answer, in order, the last one for ever; and what came: method, path, headers and body."""

    answers: list[tuple[int, dict[str, str], bytes]]
    came: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    @property
    def content_types(self) -> list[str]:
        return [headers.get("content-type", "") for _, _, headers, _ in self.came]


def answer(document: object = ANSWER, status: int = 200, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(document).encode()


def problem(status: int, code: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return answer({"status": status, "code": code, "detail": "no", "request_id": "r"}, status, **headers)


@contextmanager
def scripted(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[Script]:
    """Serve the answers."""
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.came.append((self.command, self.path, headers, body))
            status, given, content = script.answers[min(len(script.came), len(script.answers)) - 1]
            self.send_response(status)
            for name, value in {**given, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        script.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()
