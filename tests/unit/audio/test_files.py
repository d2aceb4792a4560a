from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.audio.decode import decode
from backend.audio.files import read_blocks
from backend.audio.limits import DecoderLimits
from backend.errors import SongTooLong, UndecodableAudio, UnsupportedAudio
from backend.settings import Settings
from tests.clips import encoded, tone

LIMITS = DecoderLimits.from_settings(Settings())


def written(folder: Path, content: bytes) -> Path:
    path = folder / "song"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "vorbis", "m4a"])
def test_whole_song_comes_in_blocks_when_the_file_is_good(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, encoded(tone(31.0), name))

    lengths = [len(block) / 16_000 for block in read_blocks(path, limits=LIMITS)]

    assert sum(lengths) == pytest.approx(31.0, abs=0.1)
    assert all(10 <= length <= 20 for length in lengths[:-1])


def test_blocks_equal_the_clip_when_they_are_joined(tmp_path: Path) -> None:
    content = encoded(tone(12.0, rate_hz=44_100), rate_hz=44_100)

    joined = np.concatenate(list(read_blocks(written(tmp_path, content), limits=LIMITS)))

    assert np.array_equal(joined, decode(content, limits=LIMITS))


def test_what_is_there_is_read_when_three_hours_are_claimed(tmp_path: Path) -> None:
    content = bytearray(encoded(tone(11.0)))
    content[40:44] = struct.pack("<I", 3 * 3600 * 48_000 * 2)

    assert sum(map(len, read_blocks(written(tmp_path, bytes(content)), limits=LIMITS))) == 11 * 16_000


@pytest.mark.parametrize("name", ["wav", "m4a"])
def test_song_is_refused_when_it_is_too_long(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, encoded(tone(13.0), name))

    with pytest.raises(SongTooLong, match="longer than 12 s"):
        list(read_blocks(path, limits=replace(LIMITS, song_seconds_max=12)))


def test_song_is_refused_when_nothing_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(UndecodableAudio):
        list(read_blocks(written(tmp_path, encoded(tone(0))), limits=LIMITS))


def test_song_is_refused_when_it_is_no_audio(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedAudio):
        list(read_blocks(written(tmp_path, b"a text"), limits=LIMITS))
