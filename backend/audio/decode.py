"""Bytes in, mono samples out: a clip of any format, bounded in size and time."""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import closing
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import SAMPLE_RATE_HZ

from backend.audio.ffmpeg_decoder import ffmpeg_blocks
from backend.audio.limits import DecoderLimits
from backend.audio.pcm import PcmFormat, pcm_blocks
from backend.audio.sniff import sniff
from backend.audio.soundfile_decoder import sound_blocks
from backend.errors import UndecodableAudio, UnsupportedAudio

FORMATS = "WAV, AIFF, FLAC, Ogg (Vorbis, Opus), MP3, WebM, MP4/M4A and AAC"


def decode(clip: bytes, *, limits: DecoderLimits, pcm: PcmFormat | None = None) -> NDArray[np.float32]:
    """Return the first clip_seconds_max of a clip as mono samples at 16 kHz, shape (n,), n > 0.

    pcm: the form of a clip without a container; else the bytes themselves say what they are.
    Raises UnsupportedAudio, UndecodableAudio, DecoderUnavailable.
    """
    if not clip:
        raise UndecodableAudio("the clip is empty")
    if pcm is not None:
        blocks = pcm_blocks(clip, pcm, limits=limits)
    else:
        blocks = file_blocks(io.BytesIO(clip), limits=limits, seconds_max=limits.clip_seconds_max)
    samples = _first(blocks, count=int(limits.clip_seconds_max * SAMPLE_RATE_HZ))
    if not len(samples):
        raise UndecodableAudio("there is no audio in the clip")
    return samples


def file_blocks(
    file: BinaryIO, *, limits: DecoderLimits, seconds_max: float
) -> Generator[NDArray[np.float32], None, None]:
    """Yield a file's samples, mono at 16 kHz, by the decoder that its bytes ask for.

    seconds_max: where ffmpeg stops; libsndfile stops with whoever takes the blocks.
    """
    container = sniff(file)
    if container is None:
        raise UnsupportedAudio(f"the body is of no audio format that this service reads: {FORMATS}")
    if container.demuxer is None:
        yield from sound_blocks(file, limits=limits)
    else:
        yield from ffmpeg_blocks(file, container.demuxer, limits=limits, seconds_max=seconds_max)


def _first(blocks: Generator[NDArray[np.float32], None, None], *, count: int) -> NDArray[np.float32]:
    """Concatenate blocks until `count` samples are there, then stop the decoder."""
    kept: list[NDArray[np.float32]] = []
    with closing(blocks):
        for block in blocks:
            kept.append(block)
            if sum(map(len, kept)) >= count:
                break
    return np.concatenate([np.empty(0, np.float32), *kept])[:count]
