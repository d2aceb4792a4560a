"""The function's index comes from bundles in S3, is in SnapStart's snapshot, and follows what is published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sonica_fingerprint
from edge_benchmarks.runtime_api import RUNS_HERE

from backend.bundles.objects import BucketObjects
from backend.bundles.signatures import public_text
from backend.catalogue.postgres import PostgresCatalogue
from backend.objects.bucket import Bucket
from backend.search.faiss_index import FaissIndex
from backend.settings import Settings
from tests.aws import Aws, running_aws
from tests.bundles import SIGNER, Place, folder_place, publish, put_songs
from tests.lambda_function import Request, content_of, http_api_event, origin_function
from tests.music import make_music

pytestmark = pytest.mark.skipif(not RUNS_HERE, reason="the runtime client is for Linux on x86_64")
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
FINGERPRINT = {"Content-Type": sonica_fingerprint.CONTENT_TYPE}


@pytest.fixture
def aws() -> Iterator[Aws]:
    with running_aws() as aws:
        aws.make_bucket("bundles")
        yield aws


def asks(seed: int) -> Request:
    query = sonica_fingerprint.extract(make_music(seed, 12)[3 * 16_000 : 8 * 16_000])
    return Request("/v1/recognize", "POST", sonica_fingerprint.encode(query), FINGERPRINT)


async def test_function_answers_without_names_when_it_starts_while_the_database_is_away(
    postgres_catalogue: PostgresCatalogue, tmp_path: Path
) -> None:
    place = folder_place(tmp_path / "store")
    await put_songs(postgres_catalogue, 1)
    source = await FaissIndex.open(tmp_path / "source", postgres_catalogue, search_depth=96)
    await publish(source, postgres_catalogue, place.publisher())
    settings = {"bundle_url": str(tmp_path / "store"), "bundle_public_keys": public_text(SIGNER)}
    unguarded = {"auth": "off", "lambda_unguarded": "true", "bundle_dir": str(tmp_path / "bundles")}
    with origin_function(tmp_path / "data", NOWHERE, **settings, **unguarded) as function:
        answer, ready = (content_of(function(http_api_event(each))) for each in (asks(1), Request("/readyz")))

    assert (answer["status"], answer["degraded"]) == ("match", True)
    assert (answer["matches"][0]["song"]["id"], answer["matches"][0]["song"]["title"]) == (1, None)
    assert (ready["status"], ready["degraded"]) == ("ready", ["catalogue"])


async def test_index_is_loaded_before_the_snapshot_and_followed_after_it(
    aws: Aws, postgres_catalogue: PostgresCatalogue, database_url: str, tmp_path: Path
) -> None:
    place = Place(BucketObjects(Bucket.open("bundles", Settings(**aws.settings)), "sonica/"))
    await put_songs(postgres_catalogue, 1)
    source = await FaissIndex.open(tmp_path / "source", postgres_catalogue, search_depth=96)
    await publish(source, postgres_catalogue, place.publisher())
    settings = {
        **aws.settings,
        "bundle_url": "s3://bundles/sonica",
        "bundle_public_keys": public_text(SIGNER),
        "bundle_poll_seconds": "0.01",
        "index_poll_seconds": "0.01",
        "auth": "off",
        "lambda_unguarded": "true",
    }
    aws_keys = {name: value for name, value in aws.environment.items() if name.startswith("AWS_")}
    room = {"TMPDIR": str(tmp_path)}
    with (
        (tmp_path / "messages").open("wb") as messages,
        origin_function(
            Path("/proc/task"),  # which cannot be written
            database_url,
            snap_start=True,
            messages=messages,
            environment=aws_keys | room,
            **settings,
        ) as function,
    ):
        function.wait_for_snapshot()
        at_snapshot = (tmp_path / "messages").read_text()
        await put_songs(postgres_catalogue, 2)
        await publish(source, postgres_catalogue, place.publisher())
        function.restore()
        answers = [content_of(function(http_api_event(asks(seed)))) for seed in (1, 2)]
        for _ in range(50):
            function(http_api_event(Request("/readyz")))
            if '"sequence": 2' in (tmp_path / "messages").read_text():
                break
        ready = content_of(function(http_api_event(Request("/readyz"))))

    assert '"bundle_loaded"' in at_snapshot
    assert [answer["matches"][0]["song"]["id"] for answer in answers] == [1, 2]
    assert '"sequence": 2' in (tmp_path / "messages").read_text()
    assert ready["degraded"] == []
    assert (tmp_path / "sonica-bundles" / "hnsw" / "in-place.json").exists()
