"""`sonica ingest worker`: takes in what a queue asks for, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.options import DataDir, settings_from
from backend.cli.output import reporting, stderr
from backend.cores import cores

if TYPE_CHECKING:
    from backend.settings import Settings

AT_ONCE_PER_WORKER = 3  # one that is extracted, one that is downloaded and one that is written


def ingest_worker(
    *,
    queue: Annotated[str, typer.Option("--queue", help="URL of the SQS queue.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Take in what the messages of a queue ask for: events of S3, and what `sonica ingest --queue` sends.

    What cannot be taken in goes to the queue's dead-letter queue with the reason; `sonica ingest failures` lists it.
    SIGTERM or Ctrl-C: what is under way is finished, a second one: given back.
    """
    with reporting():
        from backend.observability.logs import configure_logging

        settings = settings_from(data_dir)
        configure_logging(settings.log_level)
        asyncio.run(_work(queue, settings))


async def _work(url: str, settings: Settings) -> None:
    from backend.composition import open_intake, open_queue
    from backend.ingestion.queue_worker import QueueWorker
    from backend.ingestion.workers import Workers

    stopping = _stopping()
    count = settings.ingest_workers or cores()
    queue = await open_queue(settings, url)
    async with Workers(count) as workers, open_intake(settings, queue, workers.extract) as intake:
        worker = QueueWorker(
            intake,
            queue,
            at_once=AT_ONCE_PER_WORKER * count,
            stopping_seconds=settings.shutdown_seconds_max,
        )
        stderr().print(f"Taking in what {url} asks for, {count} at a time.")
        await worker.run(stopping)


def _stopping() -> asyncio.Event:
    """Return what the first signal sets; the second one means what it always does."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop)
    return stopping
