"""Bounds on every request: the size of its body, its time, and how many recognitions run at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.accounts.identity import Identity
from backend.api.problems import problem_response
from backend.deadline import within
from backend.errors import ClipTooLarge, DeadlineExceeded, Overloaded, SonicaError
from backend.settings import Settings


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may take."""

    body_bytes_max: int
    request_seconds_max: float
    concurrent_requests_max: int
    recognition_paths: frozenset[str]

    @classmethod
    def from_settings(cls, settings: Settings, *, recognition_paths: frozenset[str]) -> Limits:
        """Take the bounds from the settings."""
        return cls(
            body_bytes_max=settings.body_bytes_max,
            request_seconds_max=settings.request_seconds_max,
            concurrent_requests_max=settings.concurrent_requests_max,
            recognition_paths=recognition_paths,
        )


class RequestLimits:
    """Pure ASGI middleware: a body is refused while it streams in, before anything keeps it."""

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._recognitions = 0
        self._of_user: Counter[int] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request within the limits, or answer with the problem of the one that it broke."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._serve(scope, receive, answer)
        except SonicaError as error:
            if answer.begun:
                raise
            await problem_response(error, scope)(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        body = _Body(receive, self._limits.body_bytes_max)
        body.check_claim(Headers(scope=scope).get("content-length", ""))
        with self._slot(scope):
            try:
                seconds = self._limits.request_seconds_max
                async with asyncio.timeout(seconds) as deadline:
                    with within(seconds):
                        await self._app(scope, body, answer)
            except TimeoutError as error:
                if not deadline.expired():
                    raise
                raise DeadlineExceeded(f"The request, its upload included, took longer than {seconds:g} s.") from error

    @contextmanager
    def _slot(self, scope: Scope) -> Iterator[None]:
        """Count a recognition while it runs; whatever else is asked, health above all, is never refused."""
        if scope["method"] != "POST" or scope["path"] not in self._limits.recognition_paths:
            yield
            return
        if self._recognitions >= self._limits.concurrent_requests_max:
            raise Overloaded(f"{self._recognitions} recognitions are under way; try again.")
        self._recognitions += 1
        try:
            with self._share(scope["state"].get("identity")):
                yield
        finally:
            self._recognitions -= 1

    @contextmanager
    def _share(self, identity: Identity | None) -> Iterator[None]:
        """Keep a user to a quarter of the places: one who sends slowly must not hold them all."""
        if identity is None:
            yield
            return
        user_id = identity.user.id
        if self._of_user[user_id] >= max(1, self._limits.concurrent_requests_max // 4):
            raise Overloaded(f"{self._of_user[user_id]} recognitions of yours are under way; try again.")
        self._of_user[user_id] += 1
        try:
            yield
        finally:
            self._of_user[user_id] -= 1
            if not self._of_user[user_id]:
                del self._of_user[user_id]


class _Body:
    """Receives a body, and stops when it grows too large."""

    def __init__(self, receive: Receive, bytes_max: int) -> None:
        self._receive = receive
        self._bytes_max = bytes_max
        self._received = 0

    def check_claim(self, content_length: str) -> None:
        """Refuse at once what says that it is too large."""
        if content_length.isdecimal() and int(content_length) > self._bytes_max:
            raise self._too_large()

    async def __call__(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._bytes_max:
            raise self._too_large()
        return message

    def _too_large(self) -> ClipTooLarge:
        return ClipTooLarge(f"The body is larger than {self._bytes_max} bytes; send the first seconds only.")


class _Answer:
    """Sends a response, and remembers that it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)
