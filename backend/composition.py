"""Builds the origin from its settings: the one place that knows both the use cases and their adapters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from backend.accounts.authenticator import Authenticator
from backend.accounts.issuer import token_verifier
from backend.accounts.recorder import Recorder
from backend.audio.decoder import Decoder
from backend.audio.limits import DecoderLimits
from backend.breaker import Breaker
from backend.bundles.follower import BundleFollower
from backend.bundles.opening import open_bundled_index
from backend.cache.cache import Cache, open_cache
from backend.cache.news import FollowedChanges
from backend.cache.quotas import Quotas
from backend.catalogue.accounts import PostgresAccounts
from backend.catalogue.backup import back_up, check, restore
from backend.catalogue.backup_file import Manifest
from backend.catalogue.embedded import EmbeddedPostgres
from backend.catalogue.history import PostgresHistory
from backend.catalogue.migrations import migrate, pending
from backend.catalogue.postgres import PostgresCatalogue
from backend.cores import cores
from backend.errors import CatalogueUnavailable
from backend.ingestion.ingester import Extract, Plan
from backend.ingestion.intake import Intake
from backend.ports import ChangeLog, ObjectStore
from backend.recognition.recognizer import RecognitionLimits, Recognizer
from backend.search.faiss_index import FaissIndex
from backend.search.index import SearchIndex
from backend.search.milvus import Milvus
from backend.search.milvus_index import MilvusIndex
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.objects.queue import Queue

_log = structlog.stdlib.get_logger("sonica.start")

MILVUS_SEARCHES_A_CORE = 16  # they wait for the network, not for a core


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
    index: SearchIndex
    recognizer: Recognizer
    cache: Cache
    accounts: Accounts | None = None  # with SONICA_AUTH=off
    bundles: BundleFollower | None = None  # without SONICA_BUNDLE_URL

    def left_alone(self) -> dict[str, bool]:
        """Say by part whether its breaker keeps requests away from it now."""
        behind = {"catalogue": self.catalogue.left_alone, "redis": self.cache.redis_left_alone}
        if isinstance(self.index, MilvusIndex):
            behind["milvus"] = self.index.left_alone
        if self.accounts is None:
            return behind
        return behind | {
            "quotas": self.accounts.quotas.redis_left_alone,
            "issuer": self.accounts.authenticator.issuer_left_alone,
        }

    async def disconnect(self) -> None:
        """Close all connections until `reconnect`; what is being done must have ended before."""
        if self.accounts is not None:
            await self.accounts.quotas.close()
        if self.bundles is not None:
            self.bundles.disconnect()
        await self.cache.disconnect()
        await self.catalogue.database.disconnect()

    def reconnect(self) -> None:
        """Have connections open at their next use."""
        self.cache.reconnect()


async def migrate_database(settings: Settings) -> list[str]:
    """Bring the schema up to date; return the names of the migrations that this applied."""
    async with _database(settings) as url:
        return await migrate(url)


async def pending_migrations(settings: Settings) -> list[str]:
    """Return the names of the migrations that the database lacks."""
    async with _database(settings) as url:
        return await pending(url)


async def back_up_database(settings: Settings, path: Path) -> Manifest:
    """Write the catalogue and the accounts into a new file."""
    async with _database(settings) as url:
        return await back_up(url, path)


async def restore_database(settings: Settings, path: Path) -> Manifest:
    """Fill an empty database from a backup; what is no whole backup is refused before a database is opened."""
    await check(path)
    async with _database(settings) as url:
        return await restore(url, path)


@asynccontextmanager
async def open_catalogue(settings: Settings) -> AsyncIterator[PostgresCatalogue]:
    """Connect to the catalogue; the embedded database's schema is brought up to date, a given one's is left alone."""
    async with _catalogue(settings) as catalogue, open_cache(settings, catalogue) as cache:
        catalogue.after_change(cache.songs.forget)
        yield catalogue


@asynccontextmanager
async def _catalogue(settings: Settings, *, may_be_away: bool = False) -> AsyncIterator[PostgresCatalogue]:
    async with _database(settings) as url:
        if settings.embeds_database:
            await migrate(url)
        catalogue = await PostgresCatalogue.connect(
            url,
            pool_max=settings.database_pool_max,
            timeout_seconds=settings.database_timeout_seconds,
            breaker=Breaker(failures_max=settings.database_failures_max, retry_seconds=settings.database_retry_seconds),
            may_be_away=may_be_away,
        )
        try:
            yield catalogue
        finally:
            await catalogue.close()


def open_servers_origin(settings: Settings) -> AbstractAsyncContextManager[Origin]:
    """Open the origin for a server: where there is an index to answer from, a database of yours may be away."""
    return open_origin(settings, catalogue_may_be_away=not settings.embeds_database)


@asynccontextmanager
async def open_origin(
    settings: Settings, *, fresh_index: bool = False, catalogue_may_be_away: bool = False
) -> AsyncIterator[Origin]:
    """Open catalogue and index.

    fresh_index: ignores stored snapshots and builds from the catalogue. catalogue_may_be_away: a snapshot or bundle
    does without it, and is caught up later.
    """
    async with (
        _catalogue(settings, may_be_away=catalogue_may_be_away) as catalogue,
        _accounts(settings, catalogue) as accounts,
        AsyncExitStack() as stack,
    ):
        changes = FollowedChanges(catalogue)
        index, bundles = await stack.enter_async_context(_index(settings, changes, catalogue, fresh=fresh_index))
        if catalogue.away is not None:
            _go_on_alone(index, catalogue.away)
        name = index.catalogue if isinstance(index, FaissIndex) else None
        cache = await stack.enter_async_context(open_cache(settings, catalogue, name=name))
        catalogue.after_change(cache.songs.forget)
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
                    other_speeds=settings.other_speeds,
                    concurrent_searches=_concurrent_searches(settings),
                ),
            )
            with closing(recognizer):
                yield Origin(settings, catalogue, index, recognizer, cache, accounts, bundles)


def _go_on_alone(index: SearchIndex, away: CatalogueUnavailable) -> None:
    """Say that the server starts without its catalogue; raises CatalogueUnavailable where it has nothing else."""
    if not index.caught_up_at:
        raise CatalogueUnavailable(f"{away.detail}; there is no saved index here to answer from without it") from away
    _log.warning(
        "started_without_catalogue", error=away.detail, index_version=index.version, songs=index.status().songs
    )


@asynccontextmanager
async def _index(
    settings: Settings, changes: ChangeLog, catalogue: PostgresCatalogue, *, fresh: bool
) -> AsyncIterator[tuple[FaissIndex | MilvusIndex, BundleFollower | None]]:
    if settings.index_kind == "milvus":
        if catalogue.away is not None:
            raise catalogue.away
        milvus = await asyncio.to_thread(Milvus, settings)
        try:
            yield await MilvusIndex.open(milvus, changes, catalogue, fresh=fresh), None
        finally:
            await asyncio.to_thread(milvus.close)
        return
    alone = catalogue.away is not None
    if settings.bundle_url is not None and not fresh:
        yield await open_bundled_index(settings, changes, kind=settings.index_kind, alone=alone)
        return
    index = await FaissIndex.open(
        settings.data_dir / "index",
        changes,
        search_depth=settings.hnsw_search_depth,
        kind=settings.index_kind,
        shard_segments=settings.index_shard_segments,
        fresh=fresh,
        alone=alone,
    )
    yield index, None


@contextmanager
def open_objects(settings: Settings) -> Iterator[ObjectStore]:
    """Have songs' audio in S3 at hand; needs boto3."""
    from backend.objects.originals import Originals

    with Originals.open(settings) as originals:
        yield originals


async def open_queue(settings: Settings, url: str) -> Queue:
    """Look up a queue by its URL, or by the ARN that an event has; needs boto3."""
    from backend.objects.queue import Queue

    return await (Queue.of_arn if url.startswith("arn:") else Queue.open)(url, settings)


@asynccontextmanager
async def open_intake(settings: Settings, queue: Queue, extract: Extract) -> AsyncIterator[Intake]:
    """Have everything that takes a queue's messages in: the catalogue without an index, and objects."""
    plan = Plan(DecoderLimits.from_settings(settings))
    with open_objects(settings) as objects:
        async with open_catalogue(settings) as catalogue:
            yield Intake(catalogue, extract, objects=objects, queue=queue, plan=plan)


def _decoder(settings: Settings) -> Decoder:
    threads = settings.concurrent_decodes_max or cores()
    return Decoder(DecoderLimits.from_settings(settings), threads=threads)


def _concurrent_searches(settings: Settings) -> int:
    a_core = MILVUS_SEARCHES_A_CORE if settings.index_kind == "milvus" else 1
    return settings.concurrent_searches_max or a_core * cores()


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
    store = PostgresAccounts(catalogue.database)
    history = PostgresHistory(catalogue.database, months=settings.history_months)
    recorder = Recorder(history)
    quotas = Quotas.from_settings(settings)
    authenticator = Authenticator(store, tokens=token_verifier(settings), outage_seconds=settings.access_outage_seconds)
    try:
        async with recorder.running():
            yield Accounts(store, history, authenticator, recorder, quotas)
    finally:
        await quotas.close()


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[str]:
    """Yield the URL of the configured database, or of the embedded one, which runs meanwhile."""
    if settings.database_secret is not None:
        from backend.objects.secrets import database_url

        yield await asyncio.to_thread(database_url, settings)
        return
    if settings.database_url is not None:
        yield settings.database_url
        return
    embedded = EmbeddedPostgres()
    try:
        yield await asyncio.to_thread(embedded.start, settings.data_dir)
    finally:
        await asyncio.to_thread(embedded.stop)
