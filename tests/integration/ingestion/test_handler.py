"""The ingest's function, by AWS's runtime client against a Runtime API, with moto's server and a real database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_benchmarks.runtime_api import RUNS_HERE, Function, running

from backend.catalogue.postgres import PostgresCatalogue
from backend.objects.queue import Queue
from tests.clips import encoded
from tests.integration.ingestion.conftest import Cloud
from tests.lambda_function import ROOT
from tests.music import RATE_HZ, make_music

pytestmark = pytest.mark.skipif(not RUNS_HERE, reason="the runtime client is for Linux on x86_64")

Start = Callable[[], Any]


def sound(seed: int) -> bytes:
    return encoded(make_music(seed, 2.0)[:, np.newaxis], rate_hz=RATE_HZ)


@pytest.fixture
def started(cloud: Cloud, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    @contextmanager
    def start() -> Iterator[Function]:
        settings = cloud.aws.environment | {"SONICA_DATABASE_URL": database_url, "SONICA_DATA_DIR": str(tmp_path)}
        with running(ROOT, "backend.ingest_handler.handler", settings=settings) as function:
            yield function

    return start


async def batch(cloud: Cloud, queue: Queue) -> dict[str, Any]:
    """Receive what the queue has, as the event of Lambda's poller."""
    arn = f"arn:aws:sqs:eu-west-1:123456789012:{cloud.queue_url.rpartition('/')[2]}"
    records = [
        {
            "messageId": message.id,
            "receiptHandle": message.receipt,
            "body": message.body,
            "attributes": {"ApproximateReceiveCount": str(message.receive_count)},
            "eventSource": "aws:sqs",
            "eventSourceARN": arn,
        }
        for message in await queue.receive(10)
    ]
    return {"Records": records}


async def test_batch_is_taken_in_and_what_has_to_come_again_is_named(
    cloud: Cloud, queue: Queue, started: Start, postgres_catalogue: PostgresCatalogue
) -> None:
    for seed in (1, 2):
        cloud.put(f"Someone - {seed}.wav", sound(seed))
    cloud.put("bad.wav", b"no audio")
    event = await batch(cloud, queue)
    assert len(event["Records"]) == 4  # and the test event of S3
    with started() as function:
        assert function(event) == {"batchItemFailures": []}
        cloud.send({"uri": "s3://music/Someone - 1.wav"})
        cloud.bucket.put_object(Key="archived.wav", Body=sound(3), StorageClass="GLACIER")
        second = await batch(cloud, queue)
        answer = function(second)

    archived = [record["messageId"] for record in second["Records"] if "archived" in record["body"]]
    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == archived
    assert len(archived) == 1
    page = await postgres_catalogue.page(after_id=0, limit=10, filters={})
    assert {song.details.title for song in page} == {"1", "2"}
    ((body, code, _),) = cloud.dead_letters()
    assert (json.loads(body)["Records"][0]["s3"]["object"]["key"], code) == ("bad.wav", "unsupported_audio")
    assert {failure.uri: failure.code for failure in await postgres_catalogue.failures()} == {
        "s3://music/archived.wav": "object_store_unavailable",
        "s3://music/bad.wav": "unsupported_audio",
    }
