"""A server that says the same to everybody: what the load generator reaches against it is the generator's own bound."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe

_SPAWN = multiprocessing.get_context("spawn")
_START_SECONDS_MAX = 60.0


@contextmanager
def null_server(answer: bytes, *, stall_seconds: float = 0.0) -> Iterator[str]:
    """Answer every request with these bytes, on a free port of loopback; yield the URL.

    stall_seconds: how long the first request waits, and with it all others.
    """
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_run, args=(answer, stall_seconds, theirs), daemon=True)
    process.start()
    try:
        if not ours.poll(_START_SECONDS_MAX):
            raise TimeoutError("the null server does not start")
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


class _Constant(asyncio.Protocol):
    """Looks for the end of each request, and no further."""

    def __init__(self, answer: bytes, stall: list[float]) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        self._answer = head.encode() + answer
        self._stall = stall
        self._received = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().rpartition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        self._received.clear()
        loop = asyncio.get_running_loop()
        until = self._stall.pop() + loop.time() if self._stall else loop.time()
        while loop.time() < until:  # holds the whole server up
            pass
        assert self._transport is not None
        self._transport.write(self._answer)


def _run(answer: bytes, stall_seconds: float, pipe: Pipe) -> None:
    async def serve() -> None:
        stall = [stall_seconds] if stall_seconds else []
        server = await asyncio.get_running_loop().create_server(lambda: _Constant(answer, stall), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
