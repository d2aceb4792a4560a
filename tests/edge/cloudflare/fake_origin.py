"""An origin on loopback that answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import sonica_fingerprint

JSON = {"content-type": "application/json"}
PROBLEM = {"content-type": "application/problem+json"}


@dataclass
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Told:
    """A reply, after a while."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    after_seconds: float = 0.0
    hang_up: bool = False


class FakeOrigin:
    """Replies from `script`, one a request, then `otherwise`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: list[Told] = []
        self.otherwise: Callable[[Asked], Told] = recognized
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def reply(self, asked: Asked) -> Told:
        """Remember a request and say what to reply."""
        self.asked.append(asked)
        return self.script.pop(0) if self.script else self.otherwise(asked)

    def reset(self) -> None:
        """Forget everything."""
        self.asked.clear()
        self.script.clear()
        self.otherwise = recognized

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # the edge hung up, as it is to when a deadline passes


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, origin: FakeOrigin, *connection: Any) -> None:
        self._origin = origin
        super().__init__(*connection)

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = self._origin.reply(Asked(self.command, self.path, headers, self._body()))
        time.sleep(told.after_seconds)
        if told.hang_up:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.send_response(told.status)
        for name, value in ({"content-length": str(len(told.body))} | told.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(told.body)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(iter(self._chunk, b""))
        return self.rfile.read(int(self.headers.get("content-length", "0")))

    def _chunk(self) -> bytes:
        content = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return content

    def log_message(self, *_: object) -> None:
        pass


def recognized(asked: Asked) -> Told:
    """Answer a fingerprint with a match, other requests with what they sent."""
    if asked.headers.get("content-type") != sonica_fingerprint.CONTENT_TYPE:
        return Told(body=asked.body, headers={"content-type": "application/octet-stream"})
    return Told(body=json.dumps(answer_to(asked)).encode())


def unknown(asked: Asked) -> Told:
    """Answer a fingerprint with no match."""
    answer = answer_to(asked) | {"status": "no_match", "reason": "below_threshold", "matches": []}
    return Told(body=json.dumps(answer).encode())


def answer_to(asked: Asked) -> dict[str, Any]:
    """Return what the origin says to a fingerprint of a song that it knows."""
    query = sonica_fingerprint.decode(asked.body)
    return {
        "request_id": asked.headers["x-request-id"],
        "status": "match",
        "reason": None,
        "query": {"duration_ms": query.duration_ms, "fingerprint_version": query.version, "sha256": query.key},
        "matches": [match_of(song_id=7, duration_ms=query.duration_ms)],
        "ambiguous": False,
        "tier": "origin",
        "cache": "miss",
        "index_version": "fake-r1",
        "timings_ms": {"search": 1.0},
    }


def match_of(*, song_id: int, duration_ms: int) -> dict[str, Any]:
    """Return a match at the song's start."""
    song = {"id": song_id, "external_id": f"song-{song_id}", "title": "Thé à la menthe", "artist": None}
    stretch = {"query_start_ms": 0, "query_end_ms": duration_ms, "song_start_ms": 0, "song_end_ms": duration_ms}
    return {"song": song, "score": 0.98, "offset_ms": 0, "segments": [stretch | {"speed": 1.0}]}
