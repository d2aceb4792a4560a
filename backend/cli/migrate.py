"""`sonica migrate`: brings the database's schema up to date."""

from __future__ import annotations

import asyncio

from backend.cli.options import DataDir, Json, settings_from
from backend.cli.output import print_json, reporting, stdout


def migrate(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Bring the database's schema up to date; the embedded database is brought there by every command."""
    with reporting(as_json=as_json):
        from backend.composition import migrate_database

        applied = asyncio.run(migrate_database(settings_from(data_dir)))
        if as_json:
            print_json({"applied": applied})
        else:
            stdout().print("\n".join(f"applied {name}" for name in applied) or "The schema is up to date.")
