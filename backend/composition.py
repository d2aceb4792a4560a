"""Builds the origin from its settings: the one place that knows both the use cases and their adapters."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from backend.accounts.authenticator import Authenticator
from backend.accounts.issuer import token_verifier
from backend.accounts.recorder import Recorder
from backend.audio.decoder import Decoder
from backend.audio.limits import DecoderLimits
from backend.cache.cache import Cache, open_cache
from backend.cache.news import FollowedChanges
from backend.cache.quotas import Quotas
from backend.catalogue.accounts import PostgresAccounts
from backend.catalogue.embedded import EmbeddedPostgres
from backend.catalogue.history import PostgresHistory
from backend.catalogue.migrations import migrate
from backend.catalogue.postgres import PostgresCatalogue
from backend.recognition.recognizer import RecognitionLimits, Recognizer
from backend.search.faiss_index import FaissIndex
from backend.settings import Settings


@dataclass(frozen=True, slots=True)
class Accounts:
    """Everything about who asks."""

    store: PostgresAccounts
    history: PostgresHistory
    authenticator: Authenticator
    recorder: Recorder
    quotas: Quotas


@dataclass(frozen=True, slots=True)
class Origin:
    """Everything that the server and the commands work with."""

    settings: Settings
    catalogue: PostgresCatalogue
    index: FaissIndex
    recognizer: Recognizer
    cache: Cache
    accounts: Accounts | None = None  # with SONICA_AUTH=off

    def left_alone(self) -> dict[str, bool]:
        """Say by part whether its breaker keeps requests away from it now."""
        quotas = {"quotas": self.accounts.quotas.redis_left_alone} if self.accounts else {}
        return {"redis": self.cache.redis_left_alone} | quotas

    async def disconnect(self) -> None:
        """Close all connections until `reconnect`; what is being done must have ended before."""
        if self.accounts is not None:
            await self.accounts.quotas.close()
        await self.cache.disconnect()
        await self.catalogue.database.disconnect()

    def reconnect(self) -> None:
        """Have connections open at their next use."""
        self.cache.reconnect()


async def migrate_database(settings: Settings) -> list[str]:
    """Bring the schema up to date; return the names of the migrations that this applied."""
    async with _database(settings) as url:
        return await migrate(url)


@asynccontextmanager
async def open_catalogue(settings: Settings) -> AsyncIterator[PostgresCatalogue]:
    """Connect to the catalogue; the embedded database's schema is brought up to date, a given one's is left alone."""
    async with _cached_catalogue(settings) as (catalogue, _):
        yield catalogue


@asynccontextmanager
async def _cached_catalogue(settings: Settings) -> AsyncIterator[tuple[PostgresCatalogue, Cache]]:
    """Connect to the catalogue and its cache, which forgets what changes."""
    async with _database(settings) as url:
        if settings.database_url is None:
            await migrate(url)
        catalogue = await PostgresCatalogue.connect(
            url, pool_max=settings.database_pool_max, timeout_seconds=settings.database_timeout_seconds
        )
        try:
            async with open_cache(settings, catalogue) as cache:
                catalogue.after_change(cache.songs.forget)
                yield catalogue, cache
        finally:
            await catalogue.close()


@asynccontextmanager
async def open_origin(settings: Settings, *, fresh_index: bool = False) -> AsyncIterator[Origin]:
    """Open catalogue and index; `fresh_index` ignores stored snapshots and builds from the catalogue."""
    async with (
        _cached_catalogue(settings) as (catalogue, cache),
        _accounts(settings, catalogue) as accounts,
    ):
        changes = FollowedChanges(catalogue)
        index = await FaissIndex.open(
            settings.data_dir / "index",
            changes,
            search_depth=settings.hnsw_search_depth,
            kind=settings.index_kind,
            fresh=fresh_index,
        )
        changes.after_change(cache.songs.forget)
        with closing(_decoder(settings)) as decoder:
            recognizer = Recognizer(
                decoder=decoder,
                index=index,
                catalogue=cache.songs,
                cache=cache.recognitions,
                limits=RecognitionLimits(
                    candidates_max=settings.candidates_max,
                    false_accept_rate=settings.false_accept_rate,
                ),
            )
            yield Origin(settings, catalogue, index, recognizer, cache, accounts)


def _decoder(settings: Settings) -> Decoder:
    threads = settings.concurrent_decodes_max or os.cpu_count() or 1
    return Decoder(DecoderLimits.from_settings(settings), threads=threads)


@asynccontextmanager
async def open_account_store(settings: Settings) -> AsyncIterator[PostgresAccounts]:
    """Connect to the users and keys, as `open_catalogue` does."""
    async with open_catalogue(settings) as catalogue:
        yield PostgresAccounts(catalogue.database)


@asynccontextmanager
async def _accounts(settings: Settings, catalogue: PostgresCatalogue) -> AsyncIterator[Accounts | None]:
    if settings.auth == "off":
        yield None
        return
    store, history = PostgresAccounts(catalogue.database), PostgresHistory(catalogue.database)
    recorder = Recorder(history)
    quotas = Quotas.from_settings(settings)
    authenticator = Authenticator(store, tokens=token_verifier(settings))
    try:
        async with recorder.running():
            yield Accounts(store, history, authenticator, recorder, quotas)
    finally:
        await quotas.close()


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
