"""The ingest on AWS Lambda: takes batches of SQS in, and names the messages that are to come again.

The event source mapping needs `ReportBatchItemFailures`, the queue a dead-letter queue; where both are is in
backend/ingestion/README.md. There is no pool of processes here, which Lambda has no shared memory for: threads
extract. A file that ends the whole process comes again until the queue gives it up, and its failure is recorded.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import structlog

from backend.composition import open_intake, open_queue
from backend.cores import cores
from backend.errors import InvalidRequest
from backend.ingestion.extraction import Extracted, Job, extract_song
from backend.ingestion.intake import Intake
from backend.models import QueueMessage
from backend.observability.logs import configure_logging
from backend.settings import Settings

if TYPE_CHECKING:
    from mangum.types import LambdaContext

_MARGIN_SECONDS = 5.0  # before the invocation's end, to answer in; what is not done by then comes again
_PASSES = 5  # of the loop, to see that a connection was lost while the process was frozen

Response = dict[str, list[dict[str, str]]]


class Function:
    """What AWS calls with the messages of one queue."""

    def __init__(self, settings: Settings) -> None:
        """Raises InvalidRequest for settings that cannot be meant."""
        if settings.embeds_database:
            raise InvalidRequest(
                "SONICA_DATABASE_URL and SONICA_DATABASE_SECRET are unset: there is no embedded database on Lambda"
            )
        configure_logging(settings.log_level)
        self._settings = settings
        self._loop = asyncio.new_event_loop()  # the only one: connections belong to that of their first use
        self._opened = AsyncExitStack()
        self._intakes: dict[str, Intake] = {}  # by the ARN of the queue
        self._cores = asyncio.Semaphore(cores())

    def __call__(self, event: dict[str, Any], context: LambdaContext) -> Response:
        """Return the messages that are to come again.

        Raises what keeps everything from opening: the whole batch comes again then, and Lambda asks less often.
        """
        with structlog.contextvars.bound_contextvars(aws_request_id=context.aws_request_id):
            return self._loop.run_until_complete(self._take(event, context))

    async def _take(self, event: dict[str, Any], context: LambdaContext) -> Response:
        for _ in range(_PASSES):
            await asyncio.sleep(0)
        records = event["Records"]
        intake = await self._intake(records[0]["eventSourceARN"])
        tasks = {record["messageId"]: asyncio.create_task(intake.take(_message(record))) for record in records}
        seconds = context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
        done, late = await asyncio.wait(tasks.values(), timeout=max(seconds, 0))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        again = [name for name, task in tasks.items() if task not in done or task.result() == "again"]
        return {"batchItemFailures": [{"itemIdentifier": name} for name in again]}

    async def _intake(self, arn: str) -> Intake:
        if arn not in self._intakes:
            queue = await open_queue(self._settings, arn)
            opening = open_intake(self._settings, queue, self._extract)
            self._intakes[arn] = await self._opened.enter_async_context(opening)
        return self._intakes[arn]

    async def _extract(self, job: Job) -> Extracted:
        async with self._cores:
            return await asyncio.to_thread(extract_song, job)


def _message(record: dict[str, Any]) -> QueueMessage:
    return QueueMessage(
        id=record["messageId"],
        receipt=record["receiptHandle"],
        body=record["body"],
        receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
    )


handler = Function(Settings())  # type: ignore[call-arg]  # from the environment
