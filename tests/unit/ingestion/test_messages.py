"""What a queue's messages ask for."""

import json
from datetime import date

import pytest

from backend.errors import InvalidRequest
from backend.ingestion.messages import Asked, order, read_message
from backend.ingestion.sources import Item
from backend.models import SongDetails, StoredObject


def s3_record(key: str = "a.wav", *, event: str = "ObjectCreated:Put", **changed: object) -> dict[str, object]:
    found = {"key": key, "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": "0055AED6DCD90281E5"}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": "2026-11-21T20:00:00.000Z",
        "eventName": event,
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": "music"}, "object": found},
        **changed,
    }


def s3_event(*records: dict[str, object]) -> str:
    return json.dumps({"Records": list(records)})


def event_bridge(kind: str, key: str) -> dict[str, object]:
    found = {"key": key, "size": 1024, "etag": "d41d8cd98f00b204e9800998ecf8427e", "version-id": "x"}
    detail = {"version": "0", "bucket": {"name": "music"}, "object": found, "reason": "PutObject"}
    return {"version": "0", "detail-type": kind, "source": "aws.s3", "detail": detail}


def sns(message: object) -> str:
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:x:1:y", "Message": json.dumps(message)})


def uris(asked: Asked) -> list[str]:
    return [item.uri for item in asked.items]


def test_event_of_s3_names_objects_by_keys_that_are_decoded() -> None:
    asked = read_message(s3_event(s3_record("%C3%84+b/c%2Bd%25.wav"), s3_record("e.wav", event="ObjectCreated:Copy")))
    assert uris(asked) == ["s3://music/Ä b/c+d%.wav", "s3://music/e.wav"]
    assert asked.items[1].stored == StoredObject("music", "e.wav", 1024, "d41d8cd98f00b204e9800998ecf8427e")
    assert (asked.ordered, asked.reingest) == (False, False)


def test_event_of_event_bridge_names_the_key_as_it_is() -> None:
    for body in (
        json.dumps(event_bridge("Object Created", "a+b %25.wav")),
        sns(event_bridge("Object Created", "a+b %25.wav")),
    ):
        (item,) = read_message(body).items
        assert item.uri == "s3://music/a+b %25.wav"
        assert item.stored is not None
        assert item.stored.etag == "d41d8cd98f00b204e9800998ecf8427e"


def test_event_of_s3_is_found_where_sns_passed_it_on() -> None:
    assert uris(read_message(sns({"Records": [s3_record("a+b.wav")]}))) == ["s3://music/a b.wav"]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "music", "RequestId": "x"}),
        sns({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "music"}),
        s3_event(s3_record(event="ObjectRemoved:Delete"), s3_record(event="ObjectRemoved:DeleteMarkerCreated")),
        s3_event(s3_record(event="LifecycleExpiration:Delete")),
        json.dumps(event_bridge("Object Deleted", "a.wav")),
        s3_event(s3_record("a/cover.jpg"), s3_record("a/.hidden.wav"), s3_record("a/")),
    ],
)
def test_tests_ends_of_objects_and_what_is_no_audio_ask_for_nothing(body: str) -> None:
    assert read_message(body) == Asked()


def test_order_is_read_as_it_was_made() -> None:
    details = SongDetails(
        external_id="Ä-1", title="T, t", isrc="USRC17607839", popularity_score=2.5, release_date=date(1998, 8, 21)
    )
    item = Item("s3://music/a b+%20.wav", details)
    assert read_message(order(item, reingest=False)) == Asked((item,), ordered=True)
    assert read_message(order(Item("s3://music/x"), reingest=True)) == Asked((Item("s3://music/x"),), True, True)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no JSON",
        "[]",
        "1",
        "null",
        "{}",
        "[" * 100_000,
        json.dumps({"Records": "many"}),
        json.dumps({"Records": [1]}),
        s3_event({**s3_record(), "s3": None}),
        s3_event(s3_record(eventSource="aws:dynamodb")),
        s3_event(s3_record("")),
        json.dumps({"Type": "Notification", "Message": 7}),
        json.dumps({"uri": "file:///etc/passwd"}),
        json.dumps({"uri": "a.wav"}),
        json.dumps({"uri": "s3://music"}),
        json.dumps({"uri": "s3://music/a.wav", "language": "Hindi!"}),
        json.dumps({"uri": "s3://music/a.wav", "titel": "x"}),
        json.dumps({"uri": ["s3://music/a.wav"]}),
        json.dumps({"source": "aws.s3"}),
    ],
)
def test_message_of_no_known_kind_is_refused(body: str) -> None:
    with pytest.raises(InvalidRequest):
        read_message(body)
