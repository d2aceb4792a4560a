"""`sonica backup` and `sonica restore`: catalogue, fingerprints and accounts in a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.options import DataDir, Json, settings_from
from backend.cli.output import print_json, reporting, shown, stdout

if TYPE_CHECKING:
    from backend.catalogue.backup_file import Manifest

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]


def backup(file: File, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Write songs, fingerprints, users, keys and history into a new file, as they are at one moment.

    Servers and ingests go on meanwhile. The index is not in it: it is made from the fingerprints. Keys are in it by
    their hashes; names and histories are personal data all the same.
    """
    with reporting(as_json=as_json):
        from backend.composition import back_up_database

        _show(file, asyncio.run(back_up_database(settings_from(data_dir), file)), "backed up", as_json=as_json)


def restore(
    file: File,
    check: Annotated[bool, typer.Option("--check", help="Only read it through: is it whole?")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Fill an empty database from a backup: same ids, external ids, revision and keys.

    A damaged file is refused before anything is changed; what fails later changes nothing either. A backup of an
    older version is brought up to date. The next start builds the index.
    """
    with reporting(as_json=as_json):
        if check:
            from backend.catalogue.backup import check as checked

            _show(file, asyncio.run(checked(file)), "whole", as_json=as_json)
            return
        from backend.composition import restore_database

        _show(file, asyncio.run(restore_database(settings_from(data_dir), file)), "restored", as_json=as_json)


def _show(file: Path, manifest: Manifest, done: str, *, as_json: bool) -> None:
    size = file.stat().st_size
    rows = {table.name: table.rows for table in manifest.tables}
    if as_json:
        print_json(
            {
                "file": str(file),
                "bytes": size,
                "made_at": manifest.made_at,
                "revision": manifest.revision,
                "migrations": manifest.migrations,
                "rows": rows,
            }
        )
        return
    stdout().print(
        f"{done}: {shown(str(file))}, {size / 1e6:,.1f} MB of {manifest.made_at}: {manifest.songs:,} songs at revision "
        f"{manifest.revision}, {rows.get('users', 0):,} users"
    )
