"""Recognises through a server over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import typer
from sonica_fingerprint import CONTENT_TYPE

from backend.audio.fingerprints import is_fingerprint
from backend.cli.answers import Answer, Ask, CandidateSong
from backend.cli.clips import read_clip
from backend.cli.output import Exit, print_problem, problem
from backend.errors import AddressUnavailable, InputError, InvalidRequest
from backend.settings import Settings

TRIES = 3  # a busy server says when to come again; after three times it is for the user to decide


@asynccontextmanager
async def remote_recognition(url: str, settings: Settings, *, as_json: bool) -> AsyncIterator[Ask]:
    """Connect to a server; yield what answers for a file."""
    timeout = httpx.Timeout(settings.request_seconds_max + 5, connect=5)  # the server gives up first, and says so
    async with httpx.AsyncClient(base_url=_checked(url), timeout=timeout) as client:

        async def ask(file: str) -> Answer:
            try:
                clip = await asyncio.to_thread(read_clip, file, settings)
            except InputError as error:
                return Answer(file, "error", problem=problem(error))
            return _answer(file, await _posted(client, clip), as_json=as_json)

        yield ask


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"--server takes a URL such as http://127.0.0.1:8000, not {url}")
    return url.rstrip("/")


async def _posted(client: httpx.AsyncClient, clip: bytes) -> httpx.Response:
    """Post a clip; come again when the server asks for it."""
    media_type = CONTENT_TYPE if is_fingerprint(clip) else "application/octet-stream"
    for attempt in range(1, TRIES + 1):
        try:
            response = await client.post(
                "/v1/recognize",
                params={"include": "candidates"},
                content=clip,
                headers={"Content-Type": media_type},
            )
        except httpx.HTTPError as error:
            raise AddressUnavailable(f"{client.base_url} does not answer: {error or type(error).__name__}") from error
        if response.status_code not in (429, 503) or attempt == TRIES:
            break
        await asyncio.sleep(_retry_after_seconds(response))
    return response


def _retry_after_seconds(response: httpx.Response) -> float:
    stated = response.headers.get("Retry-After", "1")
    return min(float(stated), 60) if stated.isdecimal() else 1.0


def _answer(file: str, response: httpx.Response, *, as_json: bool) -> Answer:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise AddressUnavailable(f"what answers at {response.url} is not Sonica: status {response.status_code}")
    if response.is_success:
        return _found(file, body)
    if response.status_code in (413, 415, 422):  # it is about this file
        return Answer(file, "error", problem=body)
    print_problem(body, as_json=as_json)
    raise typer.Exit(_exit_code(response.status_code))


def _exit_code(status: int) -> Exit:
    if status in (401, 403):
        return Exit.AUTH
    return Exit.UNAVAILABLE if status in (429, 503) else Exit.ERROR


def _found(file: str, body: Mapping[str, Any]) -> Answer:
    return Answer(
        file=file,
        status=body["status"],
        candidates=tuple(map(_candidate, body["candidates"])),
        matches=len(body["matches"]),
        reason=body.get("reason"),
        timings_ms=body["timings_ms"],
    )


def _candidate(found: Mapping[str, Any]) -> CandidateSong:
    song = found["song"]
    return CandidateSong(
        song["external_id"], song["title"], song["artist"], song["album"], found["offset_ms"], found["score"]
    )
