"""WebM, MP4, AAC and what else libsndfile does not read, decoded by an ffmpeg process on a short leash."""

from __future__ import annotations

import io
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import SAMPLE_RATE_HZ

from backend.audio.limits import DecoderLimits
from backend.audio.mono import mixed
from backend.errors import DecoderUnavailable, UndecodableAudio

_BYTES_PER_SECOND = SAMPLE_RATE_HZ * 4  # 32-bit floats
_AUDIO_CODECS = "aac,aac_latm,alac,flac,mp3,mp3float,opus,libopus,pcm_s16le,pcm_s16be,speex,libspeex,vorbis,libvorbis"
_MEAN = "aresample=rematrix_maxval=1"  # else ffmpeg makes floats of two equal channels 1.41 times as loud
_CANNOT_RUN = (126, 127)  # the shell's word for a program that is not there or not a program
# The shell that becomes ffmpeg sets the limit: Python code between fork and exec is not safe with threads.
# Where the system knows no such limit (macOS) ffmpeg runs without it.
_LIMITED = 'ulimit -v "$1" 2>/dev/null; shift; exec "$@"'


def ffmpeg_blocks(
    file: BinaryIO, demuxer: str, *, limits: DecoderLimits, seconds_max: float
) -> Generator[NDArray[np.float32], None, None]:
    """Yield at most seconds_max of the file's first audio track, mono at 16 kHz, clip_seconds_max at a time.

    Audio that is cut or damaged after its start ends there. Raises UndecodableAudio when ffmpeg takes longer
    than it may, DecoderUnavailable when there is no ffmpeg to run.
    """
    block_bytes = int(limits.clip_seconds_max * SAMPLE_RATE_HZ) * 4
    with (
        _on_disk(file) as descriptor,
        _running(_command(demuxer, descriptor, limits, seconds_max), descriptor) as ffmpeg,
    ):
        yield from mixed(_blocks(ffmpeg, block_bytes, seconds_max=limits.decoder_seconds_max))
        if _exit_code(ffmpeg, seconds_max=limits.decoder_seconds_max) in _CANNOT_RUN:
            raise DecoderUnavailable


def _command(demuxer: str, descriptor: int, limits: DecoderLimits, seconds_max: float) -> list[str]:
    shell = ["sh", "-c", _LIMITED, "sh", str(limits.decoder_memory_bytes_max // 1024)]
    demand = ["-nostdin", "-hide_banner", "-loglevel", "quiet", "-threads", "1"]
    leash = ["-protocol_whitelist", "file,pipe", "-codec_whitelist", _AUDIO_CODECS]
    source = ["-f", demuxer, "-i", f"file:/dev/fd/{descriptor}", "-vn", "-sn", "-dn"]
    mixdown = ["-af", _MEAN, "-ac", "1"]
    output = ["-t", f"{seconds_max:.3f}", "-ar", str(SAMPLE_RATE_HZ), "-f", "f32le", "pipe:1"]
    return [*shell, _ffmpeg(limits), *demand, *leash, *source, *mixdown, *output]


def _ffmpeg(limits: DecoderLimits) -> str:
    try:
        return limits.ffmpeg_path or shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:  # no wheel of imageio-ffmpeg for this platform has one
        raise DecoderUnavailable from error


@contextmanager
def _on_disk(file: BinaryIO) -> Iterator[int]:
    """Give the file a descriptor to seek in (an mp4's index may be at its end), and no name to leak."""
    with ExitStack() as opened:
        if isinstance(file, io.BytesIO):
            spool = opened.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, spool)
            spool.flush()
            file = spool
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # macOS opens /dev/fd/N where it stands
        yield file.fileno()


@contextmanager
def _running(command: list[str], descriptor: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run ffmpeg, and be rid of it afterwards whatever happened."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        env={"LC_ALL": "C", "PATH": os.defpath},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _blocks(ffmpeg: subprocess.Popen[bytes], size: int, *, seconds_max: float) -> Iterator[NDArray[np.float32]]:
    while block := _read(ffmpeg, size, seconds_max=seconds_max):
        yield np.frombuffer(block, "<f4")[:, np.newaxis]


def _read(ffmpeg: subprocess.Popen[bytes], size: int, *, seconds_max: float) -> bytes:
    """Return the next `size` bytes, fewer at the end, whole floats only."""
    assert ffmpeg.stdout is not None
    pipe, deadline, block = ffmpeg.stdout.fileno(), time.monotonic() + seconds_max, bytearray()
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while len(block) < size:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise _too_slow(seconds_max)
        if not (piece := os.read(pipe, size - len(block))):
            break
        block += piece
    return bytes(block[: len(block) // 4 * 4])


def _exit_code(ffmpeg: subprocess.Popen[bytes], *, seconds_max: float) -> int:
    try:
        return ffmpeg.wait(timeout=seconds_max)
    except subprocess.TimeoutExpired as error:
        raise _too_slow(seconds_max) from error


def _too_slow(seconds_max: float) -> UndecodableAudio:
    return UndecodableAudio(f"decoding took longer than {seconds_max:g} s")
