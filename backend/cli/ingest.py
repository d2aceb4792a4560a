"""`sonica ingest`: takes files into the catalogue and says what became of each."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.ingest_report import Report
from backend.cli.options import DataDir, Json, Jsonl, settings_from
from backend.cli.output import Exit, reporting, stderr

if TYPE_CHECKING:
    from backend.ingestion.ingester import Catalogue, Plan
    from backend.ports import IndexUpkeep
    from backend.settings import Settings

IN_FLIGHT_PER_WORKER = 4  # one that is extracted and three that wait keep a worker busy through uneven lengths


def ingest(  # noqa: PLR0913  # a command's parameters are its options
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Folders (recursive), audio files, lists (.txt, .lst), manifests (.csv, .jsonl).",
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
    data_dir: DataDir = None,
    as_json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """Take songs into the catalogue.

    A list names a file a line. A manifest has the columns uri, external_id, title, artist, album, isrc,
    language, genre, release_date, popularity_score; tags fill what is blank, the file's name is the last
    resort. Without an external_id a song gets its file's name; where another file has that, folders are put
    before it: 01, Second Album/01.

    A song that is reported is safe. After Ctrl-C or a crash the same command goes on from there.
    """
    report = Report(as_json=as_json, jsonl=jsonl)
    with reporting(as_json=as_json or jsonl):
        try:
            settings = settings_from(data_dir)
            plan = _plan(settings, reingest=reingest, retry_failed=retry_failed)
            with report:
                asyncio.run(_ingest(sources, settings, plan=plan, report=report))
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

    report.expect(await asyncio.to_thread(lambda: sum(1 for _ in items(sources))))
    async with (
        _opened(settings, reingest=plan.reingest) as (catalogue, index),
        Workers(_workers(settings)) as workers,
    ):
        ingester = Ingester(catalogue, workers.extract, index=index, plan=plan)
        async with aclosing(ingester.ingest(items(sources))) as outcomes:
            async for outcome in outcomes:
                report.add(outcome)


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
    return settings.ingest_workers or os.cpu_count() or 1
