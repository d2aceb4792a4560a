"""`sonica songs`: what the catalogue holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.options import DataDir, Json, Jsonl, settings_from
from backend.cli.output import Exit, print_json, reporting, shown, stderr, stdout
from backend.errors import InvalidRequest, SongNotFound

if TYPE_CHECKING:
    from backend.models import Song
    from backend.ports import SongCatalogue

song_commands = typer.Typer(help="List, show and delete the catalogue's songs.", no_args_is_help=True)

ID_MAX = 2**63 - 1  # PostgreSQL's bigint

Key = Annotated[str, typer.Argument(help="The song's id, or its external id.", show_default=False)]


@song_commands.command("list")
def list_songs(  # noqa: PLR0913  # a command's parameters are its options
    where: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE, repeatable: external_id, isrc, artist, album, language, genre."),
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    after: Annotated[int, typer.Option(min=0, max=ID_MAX, help="Go on after the song of this id.")] = 0,
    data_dir: DataDir = None,
    as_json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """List songs in the order of their ids."""

    async def page() -> list[Song]:
        from backend.composition import open_catalogue

        async with open_catalogue(settings_from(data_dir)) as catalogue:
            return await catalogue.page(after_id=after, limit=limit + 1, filters=_filters(where or []))

    with reporting(as_json=as_json or jsonl):
        found = asyncio.run(page())
        songs, next_after = found[:limit], found[limit - 1].id if len(found) > limit else None
        if jsonl:
            for song in songs:
                print_json(_document(song))
        elif as_json:
            print_json({"items": [_document(song) for song in songs], "next_after": next_after})
        else:
            _print_table(songs)
        if next_after is not None:
            stderr().print(f"There are more: --after {next_after}")


@song_commands.command()
def show(key: Key, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show all that is known of a song."""

    async def found() -> Song:
        from backend.composition import open_catalogue

        async with open_catalogue(settings_from(data_dir)) as catalogue:
            return await _song(catalogue, key)

    with reporting(as_json=as_json):
        document = _document(asyncio.run(found()))
        if as_json:
            print_json(document)
            return
        from rich.table import Table

        table = Table(show_header=False, box=None)
        for name, value in document.items():
            table.add_row(name, shown("" if value is None else str(value)))
        stdout().print(table)


@song_commands.command()
def delete(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Ids or external ids.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Delete songs with their fingerprints; nothing brings them back but another ingest."""

    async def delete_all() -> tuple[list[Song], list[str]]:
        from backend.composition import open_catalogue

        async with open_catalogue(settings_from(data_dir)) as catalogue:
            return await _delete(catalogue, keys)

    with reporting(as_json=as_json):
        if not yes:
            typer.confirm(f"Delete {len(keys)} songs?", abort=True, err=True)
        deleted, missing = asyncio.run(delete_all())
        if as_json:
            print_json({"deleted": [_document(song) for song in deleted], "missing": missing})
        else:
            for song in deleted:
                stdout().print(f"deleted {song.id} {shown(song.details.external_id)}")
            for key in missing:
                stderr().print(f"[red]Error:[/] there is no song {shown(key)}")
        if missing:
            raise typer.Exit(Exit.SOME_FAILED if deleted else Exit.ERROR)


async def _delete(catalogue: SongCatalogue, keys: Sequence[str]) -> tuple[list[Song], list[str]]:
    deleted, missing = [], []
    for key in keys:
        try:
            song = await _song(catalogue, key)
        except SongNotFound:
            missing.append(key)
            continue
        if await catalogue.delete(song.id):
            deleted.append(song)
    return deleted, missing


async def _song(catalogue: SongCatalogue, key: str) -> Song:
    """Return the song of this external id, else of this id: `01` is more often a file's name than an id."""
    if found := await catalogue.page(after_id=0, limit=1, filters={"external_id": key}):
        return found[0]
    if key.isascii() and key.isdecimal() and len(key) < 19:  # ids are 64-bit
        songs = await catalogue.songs([int(key)])
        if songs:
            return songs[int(key)]
    raise SongNotFound(f"there is no song {key}")


def _filters(where: Sequence[str]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in where]
    if any(not separator for _, separator, _ in pairs):
        raise InvalidRequest("--where takes NAME=VALUE, for example --where artist=Someone")
    return {name: value for name, _, value in pairs}


def _document(song: Song) -> dict[str, object]:
    fields = asdict(song)
    details = fields.pop("details")
    return {"id": fields.pop("id"), **details, **fields}


def _print_table(songs: Sequence[Song]) -> None:
    from rich.table import Table

    table = Table("id", "external id", "title", "artist", "length", box=None, header_style="bold")
    for song in songs:
        minutes, seconds = divmod(song.duration_ms // 1000, 60)
        details = song.details
        row = (details.external_id, details.title, details.artist or "")
        table.add_row(str(song.id), *map(shown, row), f"{minutes}:{seconds:02}")
    stdout().print(table)
