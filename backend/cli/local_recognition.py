"""Recognises with the catalogue on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from backend.audio.fingerprints import is_fingerprint, read_fingerprint
from backend.cli.answers import Answer, Ask, CandidateSong
from backend.cli.clips import read_clip
from backend.cli.output import problem
from backend.composition import Origin, open_origin
from backend.errors import InputError
from backend.models import Recognition, SongMatch
from backend.settings import Settings


@asynccontextmanager
async def local_recognition(settings: Settings) -> AsyncIterator[Ask]:
    """Open the origin once; yield what answers for a file."""
    async with open_origin(settings) as origin:

        async def ask(file: str) -> Answer:
            try:
                return _answer(file, await _recognized(file, origin))
            except InputError as error:
                return Answer(file, "error", problem=problem(error))

        yield ask


async def _recognized(file: str, origin: Origin) -> Recognition:
    clip = await asyncio.to_thread(read_clip, file, origin.settings)
    if not is_fingerprint(clip):
        return await origin.recognizer.recognize_clip(clip)
    return await origin.recognizer.recognize(read_fingerprint(clip, seconds_max=origin.settings.clip_seconds_max))


def _answer(file: str, recognition: Recognition) -> Answer:
    return Answer(
        file=file,
        status=recognition.status,
        candidates=tuple(map(_candidate, recognition.candidates)),
        matches=len(recognition.matches),
        reason=recognition.reason,
        timings_ms={step: round(spent, 3) for step, spent in recognition.timings_ms.items()},
    )


def _candidate(found: SongMatch) -> CandidateSong:
    match, place = found.match, (found.match.offset_ms, round(found.match.score, 6))
    if found.song is None:
        return CandidateSong(match.song_id, None, None, None, None, *place)
    details = found.song.details
    return CandidateSong(match.song_id, details.external_id, details.title, details.artist, details.album, *place)
