"""A bucket that tells a queue, and an intake between them and a catalogue."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backend.audio.limits import DecoderLimits
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import UndecodableAudio
from backend.ingestion.extraction import Extracted, Job
from backend.ingestion.ingester import Plan
from backend.ingestion.intake import Intake
from backend.ingestion.tags import described
from backend.models import QueueMessage
from backend.objects.originals import Originals
from backend.objects.queue import Queue
from backend.settings import Settings
from tests.aws import Aws
from tests.factories import make_fingerprint

Extract = Callable[[Job], Awaitable[Extracted]]
VISIBLE_SECONDS = 30


async def sound_of_first_byte(job: Job) -> Extracted:
    """Objects sound alike that start alike; those that start with `!` cannot be decoded."""
    content = job.path.read_bytes()
    if content.startswith(b"!"):
        raise UndecodableAudio("it starts with !")
    return Extracted(described(job.details, job.path, stem=job.stem), make_fingerprint(content[0]))


@dataclass(frozen=True, slots=True)
class Cloud:
    """A bucket `music`, whose events go to a queue with a dead-letter queue."""

    aws: Aws
    bucket: Any
    queue_url: str
    dead_letters_url: str

    def put(self, key: str, body: bytes = b"a", **metadata: str) -> None:
        """Put an object; the queue is told."""
        self.bucket.put_object(Key=key, Body=body, Metadata=metadata)

    def send(self, content: object) -> None:
        """Put a message into the queue."""
        body = content if isinstance(content, str) else json.dumps(content)
        self.aws.client("sqs").send_message(QueueUrl=self.queue_url, MessageBody=body)

    def waiting(self) -> tuple[int, int]:
        """Return how many messages the queue has to give, and how many it hides."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        sqs = self.aws.client("sqs")
        told = sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)["Attributes"]
        return int(told[names[0]]), int(told[names[1]])

    def dead_letters(self) -> list[tuple[str, str | None, str | None]]:
        """Return the bodies of the dead letters, each with the code and the detail beside it."""
        answer = self.aws.client("sqs").receive_message(
            QueueUrl=self.dead_letters_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
        )
        return [
            (letter["Body"], *(_text(letter.get("MessageAttributes", {}).get(name)) for name in ("code", "detail")))
            for letter in answer.get("Messages", ())
        ]


def _text(attribute: dict[str, str] | None) -> str | None:
    return attribute["StringValue"] if attribute else None


@pytest.fixture
def cloud(aws: Aws) -> Cloud:
    bucket = aws.make_bucket("music")
    queue, dead_letters = aws.make_queue("ingest", visible_seconds=VISIBLE_SECONDS)
    arn = aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    told = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]}
    bucket.Notification().put(NotificationConfiguration=told)
    return Cloud(aws, bucket, queue, dead_letters)


@pytest.fixture
def settings(aws: Aws) -> Settings:
    return Settings(**aws.settings, song_bytes_max=100)


@pytest.fixture
def originals(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Originals]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Originals.open(settings) as originals:
        yield originals


@dataclass(frozen=True, slots=True)
class Taking:
    """Takes what a queue has, one message after another."""

    queue: Queue
    intake: Intake

    async def all(self) -> list[str]:
        """Take in all messages; return what became of each."""
        fates = []
        while messages := await self.queue.receive(10):
            for message in messages:
                fates.append(await self.one(message))
        return fates

    async def one(self, message: QueueMessage) -> str:
        """Take one in, as a worker would."""
        fate = await self.intake.take(message)
        if fate == "done":
            await self.queue.delete(message)
        return fate


@pytest.fixture
async def queue(cloud: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setattr("backend.objects.queue._WAIT_SECONDS", 0)
    return await Queue.open(cloud.queue_url, settings)


@pytest.fixture
def catalogue() -> InMemoryCatalogue:
    return InMemoryCatalogue()


@pytest.fixture
def taking(queue: Queue, originals: Originals, settings: Settings, catalogue: InMemoryCatalogue) -> Taking:
    return Taking(queue, make_intake(catalogue, sound_of_first_byte, originals=originals, queue=queue))


def make_intake(catalogue: Any, extract: Extract, *, originals: Originals, queue: Queue) -> Intake:
    plan = Plan(DecoderLimits.from_settings(Settings()))
    return Intake(catalogue, extract, objects=originals, queue=queue, plan=plan)
