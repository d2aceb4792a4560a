from __future__ import annotations

import json
import pickle

import pytest

from backend.cache.answers import Answer, answers_by
from backend.cache.kept import Codec, Kept
from backend.cache.songs import SONGS
from tests.factories import make_recognition, make_song

KEPT = Kept(make_song(1, title="सतरंगी रे", genre='"film"'), 1_700_000_000.5)
DOCUMENT = SONGS.encode("song:1", KEPT)


def with_changed(**changed: object) -> bytes:
    """The document with other members."""
    return json.dumps({**json.loads(DOCUMENT), **changed}).encode()


def test_value_is_the_same_when_it_is_read_back() -> None:
    assert SONGS.decode("song:1", DOCUMENT) == KEPT


def test_no_song_is_a_value_when_there_is_none() -> None:
    nothing: Kept[object] = Kept(None, 1.0)

    assert SONGS.decode("song:7", SONGS.encode("song:7", nothing)) == nothing


def test_answer_is_the_same_when_it_is_read_back() -> None:
    codec: Codec[Answer] = answers_by("limits")
    kept = Kept(Answer.of(make_recognition(make_song(1), make_song(2), unsure=1)), 5.0)

    assert codec.decode("recognition:a", codec.encode("recognition:a", kept)) == kept


def test_answer_is_not_believed_when_it_was_given_within_other_limits() -> None:
    document = answers_by("0.01").encode("recognition:a", Kept(Answer.of(make_recognition()), 5.0))

    with pytest.raises(ValueError, match="format"):
        answers_by("0.05").decode("recognition:a", document)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"garbage",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"{}",
        DOCUMENT[:-10],
        pickle.dumps(KEPT),
        with_changed(format="2"),
        with_changed(key="song:2"),
        with_changed(fresh_until="soon"),
        with_changed(value={"id": 1}),
        with_changed(value={**json.loads(DOCUMENT)["value"], "id": "1"}),
        with_changed(value={**json.loads(DOCUMENT)["value"], "created_at": "yesterday"}),
        b"[" * 100_000,
    ],
)
def test_document_is_refused_when_it_is_not_of_the_form(document: bytes) -> None:
    with pytest.raises(ValueError):
        SONGS.decode("song:1", document)
