"""The Lambda Runtime API on loopback, and a function that AWS's own runtime client runs against it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import os
import platform
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

RUNS_HERE = (sys.platform, platform.machine()) == ("linux", "x86_64")  # the zips are for nothing else
WAITING_SECONDS_MAX = 60.0
ARN = "arn:aws:lambda:us-east-1:111111111111:function:edge:1"
LIFETIME_MS = 30_000  # of an origin-request


@dataclass
class Invocations:
    """What is asked; and what is answered: the request's id, or `init` of a function that cannot start; how; what."""

    asked: queue.Queue[tuple[str, bytes] | None] = field(default_factory=queue.Queue)
    answered: queue.Queue[tuple[str, str, bytes]] = field(default_factory=queue.Queue)
    snapshot_taken: threading.Event = field(default_factory=threading.Event)
    restored: threading.Event = field(default_factory=threading.Event)


class Function:
    """A function that runs: call it with events."""

    def __init__(self, invocations: Invocations, process: subprocess.Popen[bytes]) -> None:
        self._invocations = invocations
        self.process = process

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return what the function answers. Raises AssertionError when it fails or does not start."""
        return self._ended(self._ask(event), "response")

    def failure(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return the error that the function fails with. Raises AssertionError when it answers."""
        return self._ended(self._ask(event), "error")

    def failure_to_start(self) -> dict[str, Any]:
        """Return the error that it does not start for. Raises queue.Empty when it starts."""
        return self._ended("init", "error")

    def wait_for_snapshot(self) -> None:
        """Wait until its hooks before a snapshot have run; it does nothing until `restore`."""
        assert self._invocations.snapshot_taken.wait(WAITING_SECONDS_MAX)

    def restore(self) -> None:
        """Have it go on."""
        self._invocations.restored.set()

    def _ask(self, event: dict[str, Any]) -> str:
        request_id = str(uuid.uuid4())
        self._invocations.asked.put((request_id, json.dumps(event).encode()))
        return request_id

    def _ended(self, *expected: str) -> dict[str, Any]:
        request_id, kind, body = self._invocations.answered.get(timeout=WAITING_SECONDS_MAX)
        assert (request_id, kind) == expected, body.decode()
        answer: dict[str, Any] = json.loads(body)
        return answer


@contextmanager
def running(
    folder: Path,
    handler: str,
    *,
    python: str = sys.executable,
    client: Path | None = None,
    settings: Mapping[str, str] | None = None,
    snap_start: bool = False,
    messages: IO[bytes] | None = None,
) -> Iterator[Function]:
    """Run a function from its unzipped folder.

    python: the interpreter; client: where awslambdaric lies when that one has none installed; settings: more for its
    environment; snap_start: stop for a snapshot after the start; messages: what it writes to stderr goes there.
    """
    invocations = Invocations()
    server = _Server(("127.0.0.1", 0), _handler_class(invocations))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(folder), *([str(client)] if client else [])]),
        "PYTHONDONTWRITEBYTECODE": "1",  # AWS's folder cannot be written
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "edge",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "LAMBDA_TASK_ROOT": str(folder),
        "_HANDLER": handler,
        **({"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"} if snap_start else {}),
        **(settings or {}),
    }
    command = [python, "-m", "awslambdaric", handler]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=messages) as process:
        try:
            yield Function(invocations, process)
        finally:
            process.kill()
            process.wait()
            invocations.restored.set()
            invocations.asked.put(None)  # wakes the thread that waits to answer the dead
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of a function that was killed while it waited; others show in the test's or caller's timeout."""


def _handler_class(invocations: Invocations) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Unbuffered and with Nagle's delay, each answer takes 40 ms.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self) -> None:  # .../runtime/invocation/next, .../runtime/restore/next
            if self.path.endswith("/restore/next"):
                self._restore()
                return
            invocation = invocations.asked.get()
            if invocation is None:
                return
            request_id, event = invocation
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + LIFETIME_MS))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", ARN)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(event)))
            self.end_headers()
            self.wfile.write(event)

        def _restore(self) -> None:
            invocations.snapshot_taken.set()
            invocations.restored.wait()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:  # .../runtime/invocation/<id>/response or error, .../runtime/init/error
            *_, request_id, kind = self.path.split("/")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            invocations.answered.put((request_id, kind, body))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
