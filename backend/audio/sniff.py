"""Tells from its first bytes what a file is, whatever its name or content type says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

_HEAD_BYTES = 4096  # holds the largest MPEG audio frame (2881) and what identifies every other container
_ID3_HEADER_BYTES = 10
_FORM_MAGICS = (  # four bytes at 0, four at 8: the IFF family, which libsndfile reads
    (b"RIFF", b"WAVE"),
    (b"RIFX", b"WAVE"),
    (b"RF64", b"WAVE"),
    (b"FORM", b"AIFF"),
    (b"FORM", b"AIFC"),
)
_BMFF_BOXES = (b"ftyp", b"styp", b"moov", b"moof")
_OGG_PAYLOAD_AT = 28  # the first packet of a stream follows a page header with one segment
_OGG_IN_PROCESS = (b"\x01vorbis", b"OpusHead")


@dataclass(frozen=True, slots=True)
class Container:
    """What a file is; `demuxer` is the one of ffmpeg that reads it, None when libsndfile does in process."""

    name: str
    demuxer: str | None = None


def sniff(file: BinaryIO) -> Container | None:
    """Return what the file is, None when it is of no known kind; leaves the file at its start."""
    head = _head(file, at=0)
    if head.startswith(b"ID3"):
        head = _head(file, at=_id3_bytes(head))
        file.seek(0)
        return _after_id3(head)
    file.seek(0)
    return _magic(head) or _mpeg_audio(head)


def _head(file: BinaryIO, *, at: int) -> bytes:
    file.seek(at)
    return file.read(_HEAD_BYTES)


def _id3_bytes(head: bytes) -> int:
    """Return the length of the tag at the start: seven bits a byte (ID3v2.4, section 3.1)."""
    size = 0
    for byte in head[6:_ID3_HEADER_BYTES]:
        size = size << 7 | byte & 0x7F
    return _ID3_HEADER_BYTES + size


def _after_id3(head: bytes) -> Container:
    """A tag says music follows: mostly MP3, and ffmpeg finds the first frame where libsndfile would not."""
    if head.startswith(b"fLaC"):
        return Container("flac")
    return _mpeg_audio(head) or Container("mp3", demuxer="mp3")


def _magic(head: bytes) -> Container | None:
    if (head[:4], head[8:12]) in _FORM_MAGICS:
        return Container("aiff" if head.startswith(b"FORM") else "wav")
    if head.startswith(b"fLaC"):
        return Container("flac")
    if head.startswith(b"OggS"):
        in_process = head[_OGG_PAYLOAD_AT:].startswith(_OGG_IN_PROCESS)
        return Container("ogg", demuxer=None if in_process else "ogg")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return Container("webm", demuxer="matroska")
    if head[4:8] in _BMFF_BOXES:
        return Container("mp4", demuxer="mov")
    return None


def _mpeg_audio(head: bytes) -> Container | None:
    """MP3 or AAC by the sync word at the start, else by two frames in a row: a stream cut anywhere."""
    if _is_adts(head):
        return Container("aac", demuxer="aac")
    if _mp3_frame_bytes(head):
        # libsndfile takes the length from the first frame's table; without one it guesses from the bit rate
        # and drops the rest: 12 s of variable bit rate became 5.
        return Container("mp3", demuxer=None if _has_length_table(head) else "mp3")
    if any(_mp3_frames_at(head, at) for at in range(len(head) - 4)):
        return Container("mp3", demuxer="mp3")
    return None


def _is_adts(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0 and (head[2] >> 2 & 0xF) < 13


def _mp3_frames_at(head: bytes, at: int) -> bool:
    length = _mp3_frame_bytes(head[at : at + 4])
    return length > 0 and _mp3_frame_bytes(head[at + length : at + length + 4]) > 0


def _mp3_frame_bytes(header: bytes) -> int:
    """Return the length of the layer III frame with this header (ISO 11172-3, 2.4.1.3), 0 when it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2 or header[1] & 0x18 == 0x08:
        return 0
    rate_index, kbits_index, padding = header[2] >> 2 & 3, header[2] >> 4, header[2] >> 1 & 1
    if rate_index == 3 or kbits_index in (0, 15):
        return 0
    version_1 = header[1] & 0x18 == 0x18
    rate = (44_100, 48_000, 32_000)[rate_index] >> (0 if version_1 else 1 if header[1] & 0x10 else 2)
    kbits = (_KBITS_VERSION_1 if version_1 else _KBITS_VERSION_2)[kbits_index - 1]
    return (144 if version_1 else 72) * kbits * 1000 // rate + padding


_KBITS_VERSION_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_VERSION_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def _has_length_table(frame: bytes) -> bool:
    return any(name in frame[:64] for name in (b"Xing", b"Info", b"VBRI"))
