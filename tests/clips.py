"""Clips for tests, in every format that the service reads."""

from __future__ import annotations

import io
import subprocess

import imageio_ffmpeg
import numpy as np
import soundfile
from numpy.typing import NDArray

TONE_HZ = 440
_FFMPEG_ARGUMENTS = {
    "webm": ["-c:a", "libopus", "-f", "webm"],
    "m4a": ["-c:a", "aac", "-f", "ipod"],
    "aac": ["-c:a", "aac", "-f", "adts"],
    "mp3_without_length": ["-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0", "-f", "mp3"],
    "flac_of_unknown_length": ["-c:a", "flac", "-f", "flac"],
    "ogg_flac": ["-c:a", "flac", "-f", "ogg"],
}
SEEKABLE_OUTPUT = {"m4a"}
SOUNDFILE_FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "wav_24_bit": ("WAV", "PCM_24"),
    "wav_float": ("WAV", "FLOAT"),
    "rf64": ("RF64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
FFMPEG_FORMATS = tuple(_FFMPEG_ARGUMENTS)


def tone(seconds: float = 1.0, *, rate_hz: int = 48_000, channels: int = 1) -> NDArray[np.float32]:
    """Return a sine of TONE_HZ at half of full scale, (frames, channels)."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = 0.5 * np.sin(2 * np.pi * TONE_HZ * times)
    return np.repeat(wave[:, np.newaxis], channels, axis=1).astype(np.float32)


def encoded(samples: NDArray[np.float32], name: str = "wav", *, rate_hz: int = 48_000) -> bytes:
    """Return (frames, channels) as a file of the format."""
    if name in SOUNDFILE_FORMATS:
        return _by_soundfile(samples, *SOUNDFILE_FORMATS[name], rate_hz=rate_hz)
    return _by_ffmpeg(encoded(samples, "wav", rate_hz=rate_hz), name)


def _by_soundfile(samples: NDArray[np.float32], container: str, subtype: str, *, rate_hz: int) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", samplerate=rate_hz, channels=samples.shape[1], format=container, subtype=subtype
    ) as sound:
        for start in range(0, len(samples), rate_hz):  # libsndfile's Vorbis encoder crashes on long writes
            sound.write(samples[start : start + rate_hz])
    return file.getvalue()


def _by_ffmpeg(wav: bytes, name: str) -> bytes:
    # To a pipe, so that nothing can be filled in afterwards; an mp4 goes without by being fragmented.
    fragments = ["-movflags", "frag_keyframe+empty_moov"] if name in SEEKABLE_OUTPUT else []
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", "pipe:0"]
    command += [*_FFMPEG_ARGUMENTS[name], *fragments, "pipe:1"]
    return subprocess.run(command, input=wav, stdout=subprocess.PIPE, check=True).stdout
