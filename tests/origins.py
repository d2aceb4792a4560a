"""The origin over a catalogue in memory, with two songs in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI
from sonica_fingerprint import Fingerprint, extract

from backend.app import create_app
from backend.audio.decoder import Decoder
from backend.audio.limits import DecoderLimits
from backend.cache.cache import open_cache
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.catalogue.postgres import PostgresCatalogue
from backend.composition import Origin
from backend.recognition.recognizer import RecognitionLimits, Recognizer
from backend.search.faiss_index import FaissIndex
from backend.settings import Settings
from tests.factories import make_new_song
from tests.music import make_music

SONG_SECONDS = 24.0
OpenOrigin = Callable[[Settings], AbstractAsyncContextManager[Origin]]


@asynccontextmanager
async def open_in_memory_origin(settings: Settings) -> AsyncIterator[Origin]:
    """Open an origin that knows songs 1 and 2."""
    catalogue = InMemoryCatalogue()
    for seed in (1, 2):
        await catalogue.put(make_new_song(seed, fingerprint=_fingerprint(seed)))
    index = await FaissIndex.open(settings.data_dir / "index", catalogue, search_depth=settings.hnsw_search_depth)
    async with open_cache(settings, catalogue) as cache:
        catalogue.after_change(cache.songs.forget)
        recognizer = Recognizer(
            decoder=Decoder(DecoderLimits.from_settings(settings), threads=2),
            index=index,
            catalogue=cache.songs,
            cache=cache.recognitions,
            limits=RecognitionLimits(
                candidates_max=settings.candidates_max,
                false_accept_rate=settings.false_accept_rate,
                other_speeds=settings.other_speeds,
                concurrent_searches=2,
            ),
        )
        yield Origin(settings, cast(PostgresCatalogue, catalogue), index, recognizer, cache)


@asynccontextmanager
async def serving(
    data_dir: Path, *, open_origin: OpenOrigin = open_in_memory_origin, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an app that runs in this process."""
    app = create_app(Settings(data_dir=data_dir, **settings), open_origin=open_origin)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """Return a client that calls the app directly."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://sonica")


@cache
def _fingerprint(seed: int) -> Fingerprint:
    return extract(make_music(seed, SONG_SECONDS)).thinned(4)
