"""Recognises through a server over HTTP: by fingerprints made here, or by audio.

A fingerprint is posted at once. Asking first whether it is known (GET /v1/match) would be a second round trip for
nearly every clip: no two recordings of a moment have the same fingerprint. It pays for whoever asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import typer
from numpy.typing import NDArray
from sonica_fingerprint import CONTENT_TYPE, OTHER_SPEEDS, encode, extract

from backend.audio.decode import decode
from backend.audio.fingerprints import is_fingerprint
from backend.audio.limits import DecoderLimits
from backend.cli.answers import Answer, Ask, CandidateSong
from backend.cli.clips import read_clip
from backend.cli.output import Exit, print_problem, problem
from backend.errors import AddressUnavailable, DecoderUnavailable, InputError, InvalidRequest
from backend.settings import Settings

FINGERPRINT_REFUSALS = ("invalid_fingerprint", "unsupported_audio")  # another version; none at all
TRIES = 3  # a busy server says when to come again; after three times it is for the user to decide


@asynccontextmanager
async def remote_recognition(url: str, settings: Settings, *, fingerprints: bool, as_json: bool) -> AsyncIterator[Ask]:
    """Connect to a server; yield what answers for a file.

    fingerprints: send those where this machine can decode the file and the server takes them, else send the audio.
    """
    timeout = httpx.Timeout(settings.request_seconds_max + 5, connect=5)  # the server gives up first, and says so
    async with httpx.AsyncClient(base_url=_checked(url), timeout=timeout, headers=_credentials(settings)) as client:

        async def ask(file: str) -> Answer:
            try:
                clip = await asyncio.to_thread(read_clip, file, settings)
            except InputError as error:
                return Answer(file, "error", problem=problem(error))
            samples = await asyncio.to_thread(_samples, clip, settings) if fingerprints else None
            response = await (_posted(client, clip) if samples is None else _posted_lightly(client, samples, clip))
            return _answer(file, response, as_json=as_json)

        yield ask


def _credentials(settings: Settings) -> dict[str, str]:
    return {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"} if settings.api_key else {}


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"--server takes a URL such as http://127.0.0.1:8000, not {url}")
    return url.rstrip("/")


def _samples(clip: bytes, settings: Settings) -> NDArray[np.float32] | None:
    """Return what a clip sounds like; None where it is a fingerprint, or where only the server may read it."""
    if is_fingerprint(clip):
        return None
    try:
        return decode(clip, limits=DecoderLimits.from_settings(settings))
    except (InputError, DecoderUnavailable):
        return None


async def _posted_lightly(client: httpx.AsyncClient, samples: NDArray[np.float32], clip: bytes) -> httpx.Response:
    """Post fingerprints, at other speeds too where there is no answer; the clip to a server that takes none."""
    response = await _posted(client, encode(await asyncio.to_thread(extract, samples)))
    said = _document(response) or {}
    if response.status_code in (415, 422) and said.get("code") in FINGERPRINT_REFUSALS:
        return await _posted(client, clip)
    if said.get("reason") != "below_threshold":
        return response
    for speed in OTHER_SPEEDS:
        other = await _posted(client, encode(await asyncio.to_thread(extract, samples, speed)))
        if (_document(other) or {}).get("status") == "match":
            return other
    return response


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
    body = _document(response)
    if body is None:
        raise AddressUnavailable(f"what answers at {response.url} is not Sonica: status {response.status_code}")
    if response.is_success:
        return _found(file, body)
    if response.status_code in (413, 415, 422):  # it is about this file
        return Answer(file, "error", problem=body)
    print_problem(body, as_json=as_json)
    raise typer.Exit(_exit_code(response.status_code))


def _document(response: httpx.Response) -> dict[str, Any] | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


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
        song["id"],
        song["external_id"],
        song["title"],
        song["artist"],
        song["album"],
        found["offset_ms"],
        found["score"],
    )
