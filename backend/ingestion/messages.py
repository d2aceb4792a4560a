"""Reads what a queue's messages ask for: events of S3, as they are or passed on by SNS or EventBridge, and orders.

An order is a row of a JSON lines manifest with the URI of an object: `sonica ingest --queue` sends them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from backend.errors import InvalidRequest
from backend.ingestion.manifests import row_of
from backend.ingestion.places import OBJECTS
from backend.ingestion.sources import BLANK, Item, is_audio
from backend.models import SongDetails, StoredObject

_REINGEST = "reingest"
_UNWRAPPINGS_MAX = 3  # an event through EventBridge, then SNS, and one to spare
_NOWHERE = Path("/")  # orders name objects, nothing is relative


@dataclass(frozen=True, slots=True)
class Asked:
    """What a message asks for: nothing, where it is a test or tells of an object's end or of one that is no audio.

    ordered: somebody asked for these very objects; else they are what events told of, and may be gone since.
    """

    items: tuple[Item, ...] = ()
    ordered: bool = False
    reingest: bool = False


def order(item: Item, *, reingest: bool) -> str:
    """Return the message that asks for an object."""
    stated = {field.name: getattr(item.details, field.name) for field in fields(SongDetails)}
    row = {"uri": item.uri, **{name: _plain(value) for name, value in stated.items() if value}}
    return json.dumps(row | ({_REINGEST: True} if reingest else {}), ensure_ascii=False)


def read_message(body: str) -> Asked:
    """Return what a message asks for; raises InvalidRequest for one of no kind that is known."""
    try:
        content = _unwrapped(json.loads(body))
        if "uri" in content:
            return _ordered(content)
        if content.get("Event") == "s3:TestEvent":  # S3 sends one when notifications are set up
            return Asked()
        if content.get("source") == "aws.s3":
            return Asked(tuple(_of_event_bridge(content)))
        return Asked(tuple(item for record in content["Records"] for item in _of_record(record)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidRequest(
            f"the message is neither an event of S3 nor a row of a manifest: {type(error).__name__} {error}"
        ) from error


def _unwrapped(content: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was in the JSON
    for _ in range(_UNWRAPPINGS_MAX):
        if content.get("Type") != "Notification":
            break
        content = json.loads(content["Message"])  # of SNS
    return dict(content)


def _ordered(row: dict[str, Any]) -> Asked:
    reingest = bool(row.pop(_REINGEST, False))
    uri, details = row_of(row, _NOWHERE)
    if not uri.startswith(OBJECTS):
        raise InvalidRequest(f"{uri} is on another machine: only objects, s3://, can be ordered")
    return Asked((Item(uri, details),), ordered=True, reingest=reingest)


def _of_record(record: Mapping[str, Any]) -> Iterable[Item]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html"""
    if record["eventSource"] != "aws:s3":
        raise ValueError(f"an event of {record['eventSource']}")
    if record["eventName"].startswith("ObjectCreated:"):
        found = record["s3"]["object"]
        yield from _audio(record["s3"]["bucket"]["name"], unquote_plus(found["key"]), found)


def _of_event_bridge(event: Mapping[str, Any]) -> Iterable[Item]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html: here keys are as they are."""
    if event["detail-type"] == "Object Created":
        found = event["detail"]["object"]
        yield from _audio(event["detail"]["bucket"]["name"], found["key"], found)


def _audio(bucket: str, key: str, found: Mapping[str, Any]) -> Iterable[Item]:
    """Yield the object, unless its suffix says that it is something else: covers and texts lie beside songs."""
    etag = found.get("eTag", found.get("etag"))
    if not bucket or not key:
        raise ValueError("no bucket, no key")
    stored = StoredObject(bucket, key, size_bytes=int(found["size"]), etag=str(etag)) if etag else None
    if is_audio(key):
        yield Item(f"{OBJECTS}{bucket}/{key}", BLANK, stored)


def _plain(value: object) -> object:
    return value if isinstance(value, str | float) else str(value)
