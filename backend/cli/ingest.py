"""`sonica ingest`: takes files into the catalogue and says what became of each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.ingest_report import Report
from backend.cli.options import DataDir, Json, Jsonl, settings_from
from backend.cli.output import Exit, reporting, stderr
from backend.cores import cores

if TYPE_CHECKING:
    from backend.ingestion.ingester import Catalogue, Plan
    from backend.ports import IndexUpkeep, ObjectStore
    from backend.settings import Settings

IN_FLIGHT_PER_WORKER = 4  # one that is extracted and three that wait keep a worker busy through uneven lengths


def ingest(  # noqa: PLR0913  # a command's parameters are its options
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Folders (recursive), audio files, lists (.txt, .lst), manifests (.csv, .jsonl), s3://bucket/prefix.",
            show_default=False,
        ),
    ],
    *,
    reingest: Annotated[
        bool, typer.Option("--reingest", help="Extract everything anew, also what is in the catalogue.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed and has not changed since.")
    ] = False,
    queue: Annotated[
        str | None,
        typer.Option(
            "--queue",
            help="Hand the objects to the workers of this SQS queue (URL), `sonica ingest worker`.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """Take songs into the catalogue.

    A list names a file a line. A manifest has the columns uri, external_id, title, artist, album, isrc,
    language, genre, release_date, popularity_score; tags fill what is blank, the file's name is the last
    resort. Without an external_id a song gets its file's name; where another file has that, folders are put
    before it: 01, Second Album/01; an object its URI.

    A song that is reported is safe. After Ctrl-C or a crash the same command goes on from there.
    """
    report = Report(as_json=as_json, jsonl=jsonl)
    with reporting(as_json=as_json or jsonl):
        try:
            settings = settings_from(data_dir)
            plan = _plan(settings, reingest=reingest, retry_failed=retry_failed)
            with report:
                if queue is None:
                    asyncio.run(_ingest(sources, settings, plan=plan, report=report))
                else:
                    asyncio.run(_hand_over(sources, settings, queue, reingest=reingest, report=report))
        except KeyboardInterrupt:
            report.interrupted()
            raise
        report.print_document()
        if report.failed:
            raise typer.Exit(Exit.SOME_FAILED)


def _plan(settings: Settings, *, reingest: bool, retry_failed: bool) -> Plan:
    from backend.audio.limits import DecoderLimits
    from backend.ingestion.ingester import Plan

    return Plan(
        limits=DecoderLimits.from_settings(settings),
        reingest=reingest,
        retry_failed=retry_failed,
        in_flight_max=IN_FLIGHT_PER_WORKER * _workers(settings),
        save_seconds=settings.ingest_save_seconds,
    )


async def _ingest(sources: Sequence[str], settings: Settings, *, plan: Plan, report: Report) -> None:
    from backend.ingestion.ingester import Ingester
    from backend.ingestion.sources import items
    from backend.ingestion.workers import Workers

    with _objects(sources, settings) as objects:
        named = items(sources, objects)
        async with (
            _counted(sources, objects, report),
            _opened(settings, reingest=plan.reingest) as (catalogue, index),
            Workers(_workers(settings)) as workers,
        ):
            ingester = Ingester(catalogue, workers.extract, index=index, plan=plan, objects=objects)
            async with aclosing(ingester.ingest(named)) as outcomes:
                async for outcome in outcomes:
                    report.add(outcome)


async def _hand_over(
    sources: Sequence[str], settings: Settings, queue_url: str, *, reingest: bool, report: Report
) -> None:
    from backend.composition import open_queue
    from backend.ingestion.hand_over import hand_over
    from backend.ingestion.sources import items

    with _objects(sources, settings) as objects:
        named = items(sources, objects)
        queue = await open_queue(settings, queue_url)
        async with _counted(sources, objects, report), aclosing(hand_over(named, queue, reingest=reingest)) as outcomes:
            async for outcome in outcomes:
                report.add(outcome)


@contextmanager
def _objects(sources: Sequence[str], settings: Settings) -> Iterator[ObjectStore | None]:
    """Have objects at hand where the sources may name some, and boto3 is there to read them."""
    from backend.ingestion.manifests import MANIFEST_SUFFIXES
    from backend.ingestion.places import OBJECTS
    from backend.ingestion.sources import LIST_SUFFIXES

    named = any(source.startswith(OBJECTS) for source in sources)
    listed = any(Path(source).suffix.lower() in MANIFEST_SUFFIXES | LIST_SUFFIXES for source in sources)
    if not named and not (listed and find_spec("boto3")):
        yield None
        return
    from backend.composition import open_objects

    with open_objects(settings) as objects:
        yield objects


@asynccontextmanager
async def _counted(sources: Sequence[str], objects: ObjectStore | None, report: Report) -> AsyncIterator[None]:
    """Count the files meanwhile where there is a bar: a manifest of millions takes its time."""
    from backend.ingestion.sources import items

    enough = threading.Event()

    def count() -> None:
        files = 0
        for _ in items(sources, objects):
            files += 1
            if enough.is_set():
                return
        report.expect(files)

    counting = asyncio.ensure_future(asyncio.to_thread(count)) if report.shows_bar else None
    try:
        yield
    finally:
        enough.set()
        if counting is not None:
            await asyncio.gather(counting, return_exceptions=True)  # what is wrong with a source, the ingest tells


@asynccontextmanager
async def _opened(settings: Settings, *, reingest: bool) -> AsyncIterator[tuple[Catalogue, IndexUpkeep | None]]:
    """Open the catalogue with its index; to reingest without, for an outdated one does not open."""
    from backend.composition import open_catalogue, open_origin

    if not reingest:
        async with open_origin(settings) as origin:
            yield origin.catalogue, origin.index
        return
    async with open_catalogue(settings) as catalogue:
        yield catalogue, None
        stderr().print("Building the index anew ...")
        async with open_origin(settings, fresh_index=True) as origin:
            await asyncio.to_thread(origin.index.save)


def _workers(settings: Settings) -> int:
    return settings.ingest_workers or cores()
