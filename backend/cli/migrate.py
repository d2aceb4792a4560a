"""`sonica migrate`: brings the database's schema up to date."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from backend.cli.options import DataDir, Json, settings_from
from backend.cli.output import Exit, print_json, reporting, stdout


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing: exit code 1 while the database lacks a migration.")
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Bring the database's schema up to date; the embedded database is brought there by every command."""
    with reporting(as_json=as_json):
        from backend.composition import migrate_database, pending_migrations

        settings = settings_from(data_dir)
        names = asyncio.run(pending_migrations(settings) if check else migrate_database(settings))
        word = "pending" if check else "applied"
        if as_json:
            print_json({word: names})
        else:
            stdout().print("\n".join(f"{word} {name}" for name in names) or "The schema is up to date.")
        if check and names:
            raise typer.Exit(Exit.ERROR)
