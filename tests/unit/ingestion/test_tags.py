"""What a file says about itself."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import soundfile

from backend.ingestion.tags import described
from backend.models import SongDetails

BLANK = SongDetails(external_id="", title="")


def tagged(path: Path, **tags: str) -> Path:
    """Write half a second of silence as FLAC with these tags."""
    with soundfile.SoundFile(path, "w", samplerate=16_000, channels=1, format="FLAC") as file:
        for name, value in tags.items():
            setattr(file, name, value)
        file.write(np.zeros(8_000, np.float32))
    return path


def test_tags_fill_blanks_and_leave_what_is_stated(tmp_path: Path) -> None:
    path = tagged(tmp_path / "Name - Other.flac", title="Tagged", artist="Singer", album="LP", date="1987-06-05")
    details = described(SongDetails(external_id="x", title="Stated"), path)
    assert (details.external_id, details.title, details.artist) == ("x", "Stated", "Singer")
    assert (details.album, details.release_date) == ("LP", date(1987, 6, 5))


def test_odd_date_in_a_tag_is_ignored(tmp_path: Path) -> None:
    assert described(BLANK, tagged(tmp_path / "a.flac", date="sometime")).release_date is None


@pytest.mark.parametrize(
    ("name", "artist", "title"),
    [
        ("Some Artist - A Title.wav", "Some Artist", "A Title"),
        ("03. Some Artist - A - B.wav", "Some Artist", "A - B"),
        ("07 - A Title.wav", None, "A Title"),
        ("99 Problems.wav", None, "99 Problems"),
        ("a-ha.wav", None, "a-ha"),
        ("12.wav", None, "12"),
        (" - x.wav", None, "- x"),
    ],
)
def test_name_is_the_last_resort_when_there_are_no_tags(
    tmp_path: Path, name: str, artist: str | None, title: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"no audio at all")
    assert (described(BLANK, path).artist, described(BLANK, path).title) == (artist, title)


def test_name_that_is_not_utf8_can_be_shown_and_stored(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.wav"
    path.write_bytes(b"")
    assert described(BLANK, path).title == "caf\ufffd"
