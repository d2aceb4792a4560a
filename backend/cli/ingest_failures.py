"""`sonica ingest failures`: the files and objects that could not be taken in, and why."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

from backend.cli.options import DataDir, Json, Jsonl, settings_from
from backend.cli.output import print_json, reporting, shown, stdout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from backend.models import IngestFailure
    from backend.settings import Settings


def ingest_failures(*, data_dir: DataDir = None, as_json: Json = False, jsonl: Jsonl = False) -> None:
    """List the files and objects that could not be taken in, and why.

    An entry goes when its file is taken in after all.
    """
    with reporting(as_json=as_json or jsonl):
        settings = settings_from(data_dir)
        asyncio.run(_list(settings, as_json=as_json, jsonl=jsonl))


async def _list(settings: Settings, *, as_json: bool, jsonl: bool) -> None:
    document: list[dict[str, object]] = []
    console = stdout()
    async for failure in _failures(settings):
        if jsonl:
            print_json(asdict(failure))
        elif as_json:
            document.append(asdict(failure))
        else:
            console.print(f"[bold]{failure.code}[/] {shown(failure.uri)}: {shown(failure.detail)}")
    if as_json and not jsonl:
        print_json(document)


async def _failures(settings: Settings) -> AsyncIterator[IngestFailure]:
    from backend.composition import open_catalogue

    async with open_catalogue(settings) as catalogue:
        page = await catalogue.failures()
        while page:
            for failure in page:
                yield failure
            page = await catalogue.failures(after_uri=page[-1].uri)
