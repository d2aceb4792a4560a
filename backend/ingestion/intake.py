"""Takes in what one message of a queue asks for, and decides what becomes of the message.

Every step may be done twice: a message comes at least once, and a worker may be killed at any moment. Nothing is in the
catalogue twice all the same: it holds that itself, by the hash of the bytes and of the sound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import structlog

from backend.errors import InvalidRequest, ObjectNotFound, SonicaError, WorkerCrashed
from backend.ingestion.ingester import Catalogue, Extract, Ingester, Plan
from backend.ingestion.messages import Asked, read_message
from backend.ingestion.outcomes import Ingested
from backend.models import IngestFailure, QueueMessage
from backend.ports import ObjectStore, WorkQueue

_log = structlog.stdlib.get_logger("sonica.intake")

Fate: TypeAlias = Literal["done", "rejected", "again"]


class Intake:
    """Takes messages in, any number at a time."""

    def __init__(
        self, catalogue: Catalogue, extract: Extract, *, objects: ObjectStore, queue: WorkQueue, plan: Plan
    ) -> None:
        self._catalogue = catalogue
        self._queue = queue
        self._ingesters = {
            reingest: Ingester(
                catalogue,
                extract,
                index=None,
                objects=objects,
                plan=replace(plan, retry_failed=True, reingest=reingest),
            )
            for reingest in (False, True)
        }

    async def take(self, message: QueueMessage) -> Fate:
        """Take in what the message asks for.

        Return `done` when it may be deleted, `rejected` when it is with the dead letters and here no more, `again` when
        it is to come again later; why is in the log, and in the catalogue's failures if that could be reached.
        """
        with structlog.contextvars.bound_contextvars(message_id=message.id):
            try:
                return await self._taken(message)
            except InvalidRequest as error:
                return await self._rejected(message, error.code, error.detail)
            except SonicaError as error:
                _log.warning(
                    "message_comes_again", code=error.code, detail=error.detail, received=message.receive_count
                )
            except Exception:
                _log.exception("message_comes_again", received=message.receive_count)
            return "again"

    async def _taken(self, message: QueueMessage) -> Fate:
        asked = read_message(message.body)
        if message.receive_count > 1:
            await self._note_attempts(asked, message.receive_count - 1)
        ingester = self._ingesters[asked.reingest]
        outcomes = [outcome async for outcome in ingester.ingest(asked.items)]
        for outcome in outcomes:
            _log.info("song_" + outcome.outcome, uri=outcome.file, song_id=outcome.song_id, code=outcome.code)
        if any(outcome.transient for outcome in outcomes):
            return "again"
        faults = [outcome for outcome in outcomes if outcome.outcome == "failed"]
        if not asked.ordered:
            faults = await self._without_gone(faults)
        if not faults:
            return "done"
        return await self._rejected(message, faults[0].code or "", _told(faults))

    async def _note_attempts(self, asked: Asked, attempts: int) -> None:
        """Remember that others have failed and had no time to say why: the queue may give up after this attempt."""
        uris = [item.uri for item in asked.items]
        told = await self._catalogue.failures_of(uris)
        for uri in (uri for uri in uris if uri not in told):
            detail = f"{attempts} workers took it and never finished: it crashes them, or takes too long"
            await self._catalogue.record_failure(
                IngestFailure(uri, WorkerCrashed.code, detail, None, None, datetime.now(UTC))
            )

    async def _without_gone(self, faults: list[Ingested]) -> list[Ingested]:
        """Leave out objects that were deleted after the event that told of them."""
        for gone in (fault for fault in faults if fault.code == ObjectNotFound.code):
            await self._catalogue.clear_failure(gone.file)
        return [fault for fault in faults if fault.code != ObjectNotFound.code]

    async def _rejected(self, message: QueueMessage, code: str, detail: str) -> Fate:
        _log.warning("message_rejected", code=code, detail=detail)
        try:
            await self._queue.reject(message, code=code, detail=detail)
        except SonicaError as error:
            _log.warning("message_comes_again", code=error.code, detail=error.detail)
            return "again"
        return "rejected"


def _told(faults: Iterable[Ingested]) -> str:
    return "; ".join(f"{fault.file}: {fault.detail}" for fault in faults)
