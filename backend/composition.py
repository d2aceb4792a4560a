"""Builds the origin from its settings: the one place that knows both the use cases and their adapters."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from backend.audio.decoder import Decoder
from backend.audio.limits import DecoderLimits
from backend.cache.memory import MemoryRecognitionCache
from backend.catalogue.embedded import EmbeddedPostgres
from backend.catalogue.migrations import migrate
from backend.catalogue.postgres import PostgresCatalogue
from backend.recognition.recognizer import RecognitionLimits, Recognizer
from backend.search.faiss_index import FaissIndex
from backend.settings import Settings


@dataclass(frozen=True, slots=True)
class Origin:
    """Everything that the server and the commands work with."""

    settings: Settings
    catalogue: PostgresCatalogue
    index: FaissIndex
    recognizer: Recognizer


async def migrate_database(settings: Settings) -> list[str]:
    """Bring the schema up to date; return the names of the migrations that this applied."""
    async with _database(settings) as url:
        return await migrate(url)


@asynccontextmanager
async def open_catalogue(settings: Settings) -> AsyncIterator[PostgresCatalogue]:
    """Connect to the catalogue; the embedded database's schema is brought up to date, a given one's is left alone."""
    async with _database(settings) as url:
        if settings.database_url is None:
            await migrate(url)
        catalogue = await PostgresCatalogue.connect(
            url, pool_max=settings.database_pool_max, timeout_seconds=settings.database_timeout_seconds
        )
        try:
            yield catalogue
        finally:
            await catalogue.close()


@asynccontextmanager
async def open_origin(settings: Settings, *, fresh_index: bool = False) -> AsyncIterator[Origin]:
    """Open catalogue and index; `fresh_index` ignores stored snapshots and builds from the catalogue."""
    async with open_catalogue(settings) as catalogue:
        index = await FaissIndex.open(
            settings.data_dir / "index", catalogue, search_depth=settings.hnsw_search_depth, fresh=fresh_index
        )
        with closing(_decoder(settings)) as decoder:
            recognizer = Recognizer(
                decoder=decoder,
                index=index,
                catalogue=catalogue,
                cache=MemoryRecognitionCache(
                    settings.cache_entries_max,
                    ttl_seconds=settings.cache_ttl_seconds,
                    no_match_ttl_seconds=settings.cache_no_match_ttl_seconds,
                ),
                limits=RecognitionLimits(
                    candidates_max=settings.candidates_max,
                    false_accept_rate=settings.false_accept_rate,
                ),
            )
            yield Origin(settings=settings, catalogue=catalogue, index=index, recognizer=recognizer)


def _decoder(settings: Settings) -> Decoder:
    threads = settings.concurrent_decodes_max or os.cpu_count() or 1
    return Decoder(DecoderLimits.from_settings(settings), threads=threads)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[str]:
    """Yield the URL of the configured database, or of the embedded one, which runs meanwhile."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    embedded = EmbeddedPostgres()
    try:
        yield await asyncio.to_thread(embedded.start, settings.data_dir)
    finally:
        await asyncio.to_thread(embedded.stop)
