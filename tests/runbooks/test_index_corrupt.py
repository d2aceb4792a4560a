"""Bytes of the stored index flip, here and where it is published: no wrong answer, and the runbook mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.aws import Aws
from tests.runbooks.conftest import SONGS, Region, recognized
from tests.runbooks.runbook import Runbook

BOOK = Runbook.read("index_corrupt")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(0, len(content), max(1, len(content) // 50)):
        content[place] ^= 0xFF
    path.write_bytes(content)


def test_index_is_made_again_when_its_stored_bytes_flipped(region: Region) -> None:
    region.command("index", "build")
    stored = list((region.sonica.data_dir / "index").glob("*/segments.faiss"))
    for path in stored:
        flip(path)

    status = BOOK.run(0, region.environment)
    BOOK.run(1, region.environment)
    with region.sonica.serving() as (_, url):
        found = [recognized(url, region.clip(seed)) for seed in range(1, SONGS + 1)]

    assert stored
    assert f"songs                {SONGS}" in status
    assert [[external_id for _, external_id, _, _ in each] for each in found] == [["song-1"], ["song-2"], ["song-3"]]


def test_published_bundle_is_replaced_when_its_bytes_flipped(
    region: Region, aws: Aws, bundle_settings: dict[str, str]
) -> None:
    region.sonica.settings.update(bundle_settings)
    region.command("bundles", "publish")
    bucket = bundle_settings["SONICA_BUNDLE_URL"].split("/")[2]
    s3: Any = aws.client("s3")
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    largest = max(listed, key=lambda each: each["Size"])["Key"]
    body = bytearray(s3.get_object(Bucket=bucket, Key=largest)["Body"].read())
    body[len(body) // 2] ^= 0xFF
    s3.put_object(Bucket=bucket, Key=largest, Body=bytes(body))

    with region.sonica.serving() as (_, url):  # a new machine: it downloads, and refuses
        before = recognized(url, region.clip(1))
    said = BOOK.run(2, region.environment)
    with region.sonica.serving() as (_, url):
        after = recognized(url, region.clip(1))

    assert [external_id for _, external_id, _, _ in before] == ["song-1"]
    assert after == before
    assert "whole" in said
