"""What cannot be stored; how songs are settled is in tests/contract, over both adapters."""

import pytest

from backend.catalogue.settlement import check_storable, storable
from backend.errors import InvalidRequest
from tests.factories import make_details


@pytest.mark.parametrize("text", ["plain", "सतरंगी रे 🎵", "back\\slash", ""])
def test_text_stays_as_it_is_when_it_can_be_stored(text: str) -> None:
    assert storable(text) == text
    check_storable(make_details(title=text))


@pytest.mark.parametrize(("text", "spelled"), [("a\0b", "a\\x00b"), ("\udce9t", "\\udce9t")])
def test_characters_are_spelled_out_when_they_cannot_be_stored(text: str, spelled: str) -> None:
    assert storable(text) == spelled


@pytest.mark.parametrize("field", ["external_id", "title", "artist", "audio_url"])
def test_the_text_is_named_when_it_cannot_be_stored(field: str) -> None:
    with pytest.raises(InvalidRequest, match=r"'a\\x00b'"):
        check_storable(make_details(**{field: "a\0b"}))
