"""`sonica index`: the search index, which is made of what the catalogue keeps."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.hot_bundle import show_bundle, write_hot_bundle
from backend.cli.options import DataDir, Json, settings_from
from backend.cli.output import print_json, reporting, stdout

if TYPE_CHECKING:
    from backend.search.index import IndexStatus
    from backend.settings import Settings

index_commands = typer.Typer(help="Build the search index, or see what it holds.", no_args_is_help=True)


@index_commands.command()
def build(
    hot: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Write the bundle of the N most popular songs instead, for the edge."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where the bundle goes; hot-index.bundle in the data folder unless given.", show_default=False
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Build the index anew from the fingerprints in the catalogue, and save it.

    With --hot, the index stays as it is, and the songs of the highest popularity_score (of equal ones those that
    came first) go into one file that an edge answers from.
    """
    with reporting(as_json=as_json):
        settings = settings_from(data_dir)
        if hot is not None:
            show_bundle(asyncio.run(write_hot_bundle(settings, hot, output)), as_json=as_json)
            return
        if output is not None:
            raise _misplaced_output()
        _show(asyncio.run(_status(settings, anew=True)), as_json=as_json)


@index_commands.command()
def status(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show what the index holds, caught up with the catalogue."""
    with reporting(as_json=as_json):
        _show(asyncio.run(_status(settings_from(data_dir), anew=False)), as_json=as_json)


async def _status(settings: Settings, *, anew: bool) -> IndexStatus:
    from backend.composition import open_origin

    async with open_origin(settings, fresh_index=anew) as origin:
        await asyncio.to_thread(origin.index.save)
        return origin.index.status()


def _misplaced_output() -> Exception:
    from backend.errors import InvalidRequest

    return InvalidRequest("--output says where the bundle of --hot goes: say how many songs by --hot N")


def _show(found: IndexStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(found))
        return
    from rich.table import Table

    table = Table(show_header=False, box=None)
    hours = found.audio_seconds / 3600
    per_hour = f", {found.bytes / hours / 1e6:.2f} MB an hour of audio" if hours else ""
    table.add_row("index", f"{found.version} (fingerprint version {found.fingerprint_version})")
    table.add_row("kind", found.kind)
    table.add_row("songs", f"{found.songs:,}")
    table.add_row("audio", f"{hours:,.1f} h in {found.segments:,} segments")
    table.add_row("replaced or deleted", f"{found.dead_segments:,} segments; `sonica index build` drops them")
    table.add_row("size", f"{found.bytes / 1e6:,.1f} MB{per_hour}")
    stdout().print(table)
