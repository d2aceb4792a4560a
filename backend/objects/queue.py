"""A queue of SQS with its dead-letter queue."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from backend.errors import InvalidRequest, QueueUnavailable
from backend.models import QueueMessage
from backend.objects.client import open_client, translated
from backend.settings import Settings

BATCH = 10  # messages in a request, at most
_WAIT_SECONDS = 5  # for the first message: a worker that is told to stop waits for it
_VISIBILITY_SECONDS_MAX = 43_200
_DETAIL_CHARACTERS_MAX = 1_000
_UNSPEAKABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what no attribute may hold


class Queue:
    """Implements WorkQueue."""

    def __init__(self, url: str, client: Any, attributes: Mapping[str, str]) -> None:  # noqa: ANN401 - see open_client
        self.url = url
        self.visibility_seconds = float(attributes["VisibilityTimeout"])
        self._client = client
        self._dead_letters = _dead_letters(client, url, attributes)

    @classmethod
    async def open(cls, url: str, settings: Settings) -> Queue:
        """Look the queue up; raises QueueUnavailable, InvalidRequest when it has no dead-letter queue."""
        return await asyncio.to_thread(cls._opened, url, settings)

    @classmethod
    async def of_arn(cls, arn: str, settings: Settings) -> Queue:
        """Look up the queue that an event names as its source."""
        *_, account, name = arn.split(":")
        return await asyncio.to_thread(cls._found, name, account, settings)

    @classmethod
    def _opened(cls, url: str, settings: Settings) -> Queue:
        client = open_client("sqs", settings)
        with translated(QueueUnavailable, url):
            answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout", "RedrivePolicy"])
        return cls(url, client, answer["Attributes"])

    @classmethod
    def _found(cls, name: str, account: str, settings: Settings) -> Queue:
        return cls._opened(_url_of(open_client("sqs", settings), name, account), settings)

    async def receive(self, count: int) -> list[QueueMessage]:
        """Return up to `count` messages; waits a few seconds for the first."""
        answer = await self._asked(
            self._client.receive_message,
            MaxNumberOfMessages=min(count, BATCH),
            WaitTimeSeconds=_WAIT_SECONDS,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return [
            QueueMessage(
                id=found["MessageId"],
                receipt=found["ReceiptHandle"],
                body=found["Body"],
                receive_count=int(found["Attributes"]["ApproximateReceiveCount"]),
            )
            for found in answer.get("Messages", ())
        ]

    async def delete(self, message: QueueMessage) -> None:
        """Have done with a message."""
        await self._asked(self._client.delete_message, ReceiptHandle=message.receipt)

    async def hide(self, message: QueueMessage, *, seconds: float) -> None:
        """Keep a message hidden for so long from now; 0 gives it back."""
        await self._asked(
            self._client.change_message_visibility,
            ReceiptHandle=message.receipt,
            VisibilityTimeout=min(round(seconds), _VISIBILITY_SECONDS_MAX),
        )

    async def send(self, bodies: Sequence[str]) -> None:
        """Add up to BATCH messages; raises QueueUnavailable unless all were taken."""
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
        answer = await self._asked(self._client.send_message_batch, Entries=entries)
        if refused := answer.get("Failed"):
            raise QueueUnavailable(f"{self.url}: {refused[0].get('Message') or refused[0]['Code']}")

    async def reject(self, message: QueueMessage, *, code: str, detail: str) -> None:
        """Move a message to the dead-letter queue, with the reason in the attributes `code` and `detail`.

        A process that ends in between leaves it in both: whoever reads the dead letters may find one twice.
        """
        told = {"code": code, "detail": _UNSPEAKABLE.sub("?", detail)[:_DETAIL_CHARACTERS_MAX]}
        attributes = {name: {"DataType": "String", "StringValue": text} for name, text in told.items()}
        await self._asked(
            self._client.send_message,
            QueueUrl=self._dead_letters,
            MessageBody=message.body,
            MessageAttributes=attributes,
        )
        await self.delete(message)

    async def _asked(self, ask: Any, **arguments: object) -> dict[str, Any]:  # noqa: ANN401 - see open_client
        with translated(QueueUnavailable, self.url):
            answer: dict[str, Any] = await asyncio.to_thread(ask, **{"QueueUrl": self.url, **arguments})
        return answer


def _dead_letters(client: Any, url: str, attributes: Mapping[str, str]) -> str:  # noqa: ANN401 - see open_client
    policy = json.loads(attributes.get("RedrivePolicy", "{}"))
    if "deadLetterTargetArn" not in policy:
        raise InvalidRequest(
            f"{url} has no dead-letter queue, where what cannot be taken in is put: set its redrive policy"
        )
    *_, account, name = policy["deadLetterTargetArn"].split(":")
    return _url_of(client, name, account)


def _url_of(client: Any, name: str, account: str) -> str:  # noqa: ANN401 - see open_client
    with translated(QueueUnavailable, name):
        return str(client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"])
