"""What AWS calls at a deployment, before a version of the function is published: brings the schema up to date."""

from __future__ import annotations

import asyncio
from typing import Any

from backend.composition import migrate_database
from backend.settings import Settings


def handler(_event: object, _context: object) -> dict[str, Any]:
    """Return the names of the migrations that were applied; raises what keeps them from it, so that it ends there."""
    return {"applied": asyncio.run(migrate_database(Settings()))}  # type: ignore[call-arg]  # from the environment
