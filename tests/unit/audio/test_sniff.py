from __future__ import annotations

import io

import pytest

from backend.audio.sniff import Container, sniff
from tests.clips import FFMPEG_FORMATS, SOUNDFILE_FORMATS, encoded, tone

ID3_TAG = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)
EXPECTED = {
    "wav": Container("wav"),
    "wav_24_bit": Container("wav"),
    "wav_float": Container("wav"),
    "rf64": Container("wav"),
    "aiff": Container("aiff"),
    "flac": Container("flac"),
    "vorbis": Container("ogg"),
    "opus": Container("ogg"),
    "mp3": Container("mp3"),
    "webm": Container("webm", "matroska"),
    "m4a": Container("mp4", "mov"),
    "aac": Container("aac", "aac"),
    "mp3_without_length": Container("mp3", "mp3"),
    "flac_of_unknown_length": Container("flac"),
    "ogg_flac": Container("ogg", "ogg"),
}


def sniffed(content: bytes) -> Container | None:
    return sniff(io.BytesIO(content))


@pytest.mark.parametrize("name", [*SOUNDFILE_FORMATS, *FFMPEG_FORMATS])
def test_container_is_known_when_only_the_bytes_tell(name: str) -> None:
    assert sniffed(encoded(tone(0.3), name)) == EXPECTED[name]


@pytest.mark.parametrize("name", ["mp3", "flac", "aac"])
def test_container_is_known_when_an_id3_tag_comes_first(name: str) -> None:
    assert sniffed(ID3_TAG + encoded(tone(0.3), name)) == EXPECTED[name]


def test_mp3_goes_to_ffmpeg_when_it_starts_within_a_frame() -> None:
    assert sniffed(encoded(tone(1.0), "mp3")[100:]) == Container("mp3", "mp3")


@pytest.mark.parametrize("content", [b"", b"\xff", b"ID", b"RIFF", b"{}", b"<html>" * 999, bytes(5000)])
def test_nothing_is_known_when_the_bytes_are_no_audio(content: bytes) -> None:
    assert sniffed(content) is None


def test_file_is_at_its_start_when_it_was_sniffed() -> None:
    file = io.BytesIO(ID3_TAG + b"fLaC")
    sniff(file)
    assert file.tell() == 0
