"""The web server of `sonica serve`: says where it listens, and when told to stop, says so before it does."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn


class Server(uvicorn.Server):
    """Stops in three steps: a notice while it still takes requests, the end of those under way, the app's own end."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        notice_seconds: float,
        on_listening: Callable[[], None],
        on_stopping: Callable[[], None],
    ) -> None:
        """on_listening: called once requests can be sent; on_stopping: at once with the first signal."""
        super().__init__(config)
        self._notice_seconds = notice_seconds
        self._on_listening = on_listening
        self._on_stopping = on_stopping
        self._loop = asyncio.get_running_loop()
        self._notice_over = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.started:
            self._on_listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, without a notice by Ctrl-C; a signal during the notice ends that and no more."""
        self._on_stopping()
        in_notice = self.should_exit and not self._notice_over.is_set()
        if self.should_exit or sig == signal.SIGINT:
            self._loop.call_soon_threadsafe(self._notice_over.set)
        if not in_notice:
            super().handle_exit(sig, frame)

    async def main_loop(self) -> None:
        """Serve until a signal, and through the notice."""
        await super().main_loop()
        try:
            async with asyncio.timeout(self._notice_seconds):
                await self._notice_over.wait()
        except TimeoutError:
            self._notice_over.set()
