"""What becomes of the files of an ingest, told one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backend.errors import ObjectChanged, SonicaError, UnavailableError
from backend.ingestion.sources import Flaw, Item

Outcome = Literal["added", "updated", "skipped", "duplicate", "failed", "queued"]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a file; `code` and `detail` say why it was skipped, is a duplicate or failed.

    skipped: its bytes are in the catalogue already, or it failed before and is still the same file.
    duplicate: other bytes, but the sound of a song in the catalogue.
    queued: handed to workers, who will tell.
    """

    file: str
    outcome: Outcome
    external_id: str | None = None
    song_id: int | None = None
    duration_ms: int = 0  # of the audio that was extracted
    code: str | None = None
    detail: str | None = None
    transient: bool = False  # it failed for what may have passed when it is tried again


def already_known(item: Item, external_id: str) -> Ingested:
    """Say that the catalogue holds the file's bytes."""
    return Ingested(
        item.shown,
        "skipped",
        external_id=external_id,
        code="already_known",
        detail=f"the catalogue has these bytes as {external_id}; --reingest takes changed details",
    )


def failed_before(item: Item, code: str) -> Ingested:
    """Say that the file failed in an earlier run and has not changed since."""
    return Ingested(item.shown, "skipped", code="failed_before", detail=f"{code}; --retry-failed tries it again")


def failed(source: Item | Flaw, error: SonicaError) -> Ingested:
    """Say why a file is not in the catalogue."""
    where = source.shown if isinstance(source, Item) else source.where
    transient = isinstance(error, UnavailableError | ObjectChanged)
    return Ingested(where, "failed", code=error.code, detail=error.detail, transient=transient)
