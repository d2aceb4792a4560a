"""What the owner of an object wrote beside it."""

from datetime import date

import pytest

from backend.ingestion.object_metadata import noted
from backend.models import SongDetails

BLANK = SongDetails(external_id="", title="")


def test_metadata_fills_what_nobody_stated() -> None:
    metadata = {
        "External-Id": "id-1",
        "title": "Metadata",
        "artist": "Someone",
        "release_date": "1999-12",
        "popularity-score": "3.5",
        "isrc": "us-rc1-76-07839",
        "uploaded-by": "somebody else",
        "uri": "s3://elsewhere/x",
    }
    details = noted(SongDetails(external_id="", title="Stated"), metadata)
    assert (details.external_id, details.title, details.artist) == ("id-1", "Stated", "Someone")
    assert (details.release_date, details.popularity_score, details.isrc) == (date(1999, 12, 1), 3.5, "USRC17607839")


@pytest.mark.parametrize(
    ("value", "title"),
    [
        ("=?UTF-8?B?w4RydGlzdA==?=", "Ärtist"),
        ("=?UTF-8?Q?s=C3=B3ng?=", "sóng"),
        ("=?unknown?B?w4RydGlzdA==?=", "=?unknown?B?w4RydGlzdA==?="),
        ("100 % = all", "100 % = all"),
        (" \0 ", ""),
    ],
)
def test_words_of_rfc_2047_are_decoded_and_others_left(value: str, title: str) -> None:
    assert noted(BLANK, {"title": value}).title == title


def test_facts_of_no_form_are_passed_over() -> None:
    assert noted(BLANK, {"language": "Hindi!", "popularity_score": "much", "isrc": "1"}) == BLANK
