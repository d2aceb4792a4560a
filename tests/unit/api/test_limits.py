from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend.accounts.identity import Identity
from backend.api.limits import Limits, RequestLimits
from backend.models import User

App = Callable[[Request], Awaitable[Response]]


def client_of(app: App, **changed: Any) -> httpx.AsyncClient:
    """Return a client of an app behind the limits."""
    limits = {"body_bytes_max": 100, "request_seconds_max": 30.0, "concurrent_requests_max": 1, **changed}
    limited = RequestLimits(as_asgi(app), limits=Limits(**limits, recognition_paths=frozenset({"/recognize"})))

    async def with_request_id(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"request_id": "id", "identity": identity_of(scope)}
        await limited(scope, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(with_request_id), base_url="http://sonica")


def identity_of(scope: Scope) -> Identity | None:
    """Return the user of the number in the header `user`, None without it."""
    number = Headers(scope=scope).get("user")
    return Identity(User(int(number), number, "free", datetime.now(UTC)), frozenset()) if number else None


def as_asgi(app: App) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        response = await app(Request(scope, receive))
        await response(scope, receive, send)

    return run


async def reading(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(10)


async def test_body_is_read_when_it_just_fits() -> None:
    async with client_of(reading) as client:
        assert (await client.post("/", content=bytes(100))).text == "100"
        assert (await client.post("/", content=chunks(10))).text == "100"


async def test_body_is_refused_unread_when_it_says_it_is_too_large() -> None:
    async def reached(request: Request) -> Response:
        raise AssertionError("the body must not get here")

    async with client_of(reached) as client:
        response = await client.post("/", content=bytes(101))
    assert (response.status_code, response.json()["code"]) == (413, "clip_too_large")


@pytest.mark.parametrize("claim", [None, "5", "-1", "many", "²"])
async def test_body_is_refused_when_it_grows_too_large_while_it_streams(claim: str | None) -> None:
    received = []

    async def counting() -> AsyncIterator[bytes]:
        async for chunk in chunks(1000):
            received.append(chunk)
            yield chunk

    headers = {"Content-Length": claim.encode()} if claim else {}
    async with client_of(reading) as client:
        response = await client.post("/", content=counting(), headers=headers)
    assert response.json()["code"] == "clip_too_large"
    assert len(received) < 20


async def test_request_is_given_up_when_its_upload_is_slow() -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with client_of(reading, request_seconds_max=0.05) as client:
        response = await client.post("/", content=stalling())
    assert (response.status_code, response.json()["code"]) == (503, "deadline_exceeded")
    assert response.headers["retry-after"] == "1"


async def test_timeout_of_the_app_itself_passes_when_the_deadline_is_far() -> None:
    async def failing(request: Request) -> Response:
        raise TimeoutError("of a socket")

    async with client_of(failing) as client:
        with pytest.raises(TimeoutError, match="of a socket"):
            await client.post("/")


async def test_only_recognitions_are_refused_when_too_many_are_under_way() -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    async def waiting(request: Request) -> Response:
        if request.url.path == "/recognize":
            started.set()
            await finish.wait()
        return Response("done")

    async with client_of(waiting) as client:
        first = asyncio.create_task(client.post("/recognize"))
        await started.wait()
        second = await client.post("/recognize")
        health = await client.get("/livez")
        finish.set()

        assert (second.status_code, json.loads(second.content)["code"]) == (503, "overloaded")
        assert second.headers["retry-after"] == "1"
        assert health.text == (await first).text == "done"
        assert (await client.post("/recognize")).text == "done"


async def test_others_are_served_when_one_user_holds_a_share_of_all_places() -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    async def waiting(request: Request) -> Response:
        started.set()
        if request.headers["user"] == "1":
            await finish.wait()
        return Response("done")

    def as_user(number: int) -> dict[str, str]:
        return {"user": str(number)}

    async with client_of(waiting, concurrent_requests_max=7) as client:
        first = asyncio.create_task(client.post("/recognize", headers=as_user(1)))
        await started.wait()
        second = await client.post("/recognize", headers=as_user(1))
        other = await client.post("/recognize", headers=as_user(2))
        finish.set()

        assert (second.status_code, json.loads(second.content)["code"]) == (503, "overloaded")
        assert other.text == (await first).text == "done"
        assert (await client.post("/recognize", headers=as_user(1))).text == "done"


async def test_slot_is_free_again_when_a_recognition_failed() -> None:
    async def failing(request: Request) -> Response:
        raise ZeroDivisionError

    async with client_of(failing) as client:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await client.post("/recognize")
