from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from backend.audio.decode import decode
from backend.audio.limits import DecoderLimits
from backend.audio.pcm import PcmFormat
from backend.errors import UndecodableAudio, UnsupportedAudio
from backend.settings import Settings
from tests.clips import FFMPEG_FORMATS, SOUNDFILE_FORMATS, TONE_HZ, encoded, tone

LIMITS = DecoderLimits.from_settings(Settings())


def loudest_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * 16_000 / len(samples)


@pytest.mark.parametrize("name", [*SOUNDFILE_FORMATS, *FFMPEG_FORMATS])
def test_samples_are_mono_at_16_khz_when_the_clip_is_of_a_known_format(name: str) -> None:
    samples = decode(encoded(tone(2.0, channels=2), name), limits=LIMITS)

    assert samples.dtype == np.float32
    assert len(samples) / 16_000 == pytest.approx(2.0, abs=0.1)
    assert loudest_hz(samples) == pytest.approx(TONE_HZ, abs=2)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("rate_hz", [4_000, 8_000, 11_025, 16_000, 44_100, 192_000, 384_000])
def test_pitch_stays_when_the_rate_changes(rate_hz: int) -> None:
    samples = decode(encoded(tone(1.0, rate_hz=rate_hz), rate_hz=rate_hz), limits=LIMITS)

    assert len(samples) == pytest.approx(16_000, abs=2)
    assert loudest_hz(samples) == pytest.approx(TONE_HZ, abs=2)


@pytest.mark.parametrize("name", ["wav", "webm"])
def test_channels_are_averaged_when_there_are_several(name: str) -> None:
    both = tone(1.0, channels=2)
    both[:, 1] = 0

    assert np.abs(decode(encoded(both, name), limits=LIMITS)).max() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "m4a"])
def test_only_the_first_seconds_are_used_when_the_clip_is_longer(name: str) -> None:
    limits = replace(LIMITS, clip_seconds_max=1.5)

    assert len(decode(encoded(tone(3.0), name), limits=limits)) == 24_000


@pytest.mark.parametrize("name", ["wav", "flac", "flac_of_unknown_length", "vorbis", "mp3", "webm", "aac"])
def test_what_is_there_is_used_when_the_clip_is_cut(name: str) -> None:
    hiss = np.random.default_rng(5).normal(0, 0.05, (6 * 48_000, 1))  # without it Vorbis needs but three pages
    clip = encoded(tone(6.0) + hiss.astype(np.float32), name)

    samples = decode(clip[: len(clip) // 2], limits=LIMITS)

    assert 1.0 < len(samples) / 16_000 < 4.0


@pytest.mark.parametrize("claimed", [0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_what_is_there_is_used_when_the_header_claims_another_length(claimed: int) -> None:
    clip = bytearray(encoded(tone(1.0)))
    clip[40:44] = struct.pack("<I", claimed)

    try:
        assert len(decode(bytes(clip), limits=LIMITS)) <= 16_000
    except UndecodableAudio:
        assert claimed < 2  # nothing is claimed to be there


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_clip_is_refused_when_a_sample_is_not_a_number(value: float) -> None:
    samples = tone(1.0)
    samples[30_000] = value

    with pytest.raises(UndecodableAudio, match="finite"):
        decode(encoded(samples, "wav_float"), limits=LIMITS)


def test_samples_are_bounded_when_the_floats_are_huge() -> None:
    samples = np.full((16_000, 2), 3e38, np.float32)

    assert np.abs(decode(encoded(samples, "wav_float", rate_hz=16_000), limits=LIMITS)).max() == 32


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_samples_are_scaled_when_the_floats_are_scaled_like_integers(rate_hz: int) -> None:
    silence = np.zeros((3 * rate_hz, 1), np.float32)  # longer than a block: the scale is seen later
    right = np.concatenate([silence, tone(3.0, rate_hz=rate_hz)])

    samples = decode(encoded(right * 32_768, "wav_float", rate_hz=rate_hz), limits=LIMITS)

    assert np.array_equal(samples, decode(encoded(right, "wav_float", rate_hz=rate_hz), limits=LIMITS))


def test_samples_stay_when_the_floats_are_but_loud() -> None:
    samples = decode(encoded(tone(1.0, rate_hz=16_000) * 20, "wav_float", rate_hz=16_000), limits=LIMITS)

    assert np.abs(samples).max() == pytest.approx(10, abs=0.01)


@pytest.mark.parametrize("name", ["wav", "flac"])
def test_clip_is_refused_when_it_holds_no_sample(name: str) -> None:
    with pytest.raises(UndecodableAudio):
        decode(encoded(tone(0), name), limits=LIMITS)


def test_clip_is_refused_when_it_is_no_audio() -> None:
    with pytest.raises(UnsupportedAudio, match="MP3"):
        decode(b"%PDF-1.7", limits=LIMITS)


@pytest.mark.parametrize("name", ["wav", "flac", "vorbis", "mp3", "m4a", "webm"])
def test_clip_is_refused_when_noise_follows_its_header(name: str) -> None:
    clip = encoded(tone(1.0), name)[:12] + np.random.default_rng(7).bytes(5_000)

    with pytest.raises(UndecodableAudio):
        decode(clip, limits=LIMITS)


def test_clip_is_refused_when_it_has_too_many_channels() -> None:
    with pytest.raises(UnsupportedAudio, match="33 channels"):
        decode(encoded(tone(0.1, channels=33)), limits=LIMITS)


@pytest.mark.parametrize("rate_hz", [3_999, 384_001])
def test_clip_is_refused_when_its_rate_is_out_of_bounds(rate_hz: int) -> None:
    with pytest.raises(UnsupportedAudio, match="Hz"):
        decode(encoded(tone(0.1), rate_hz=rate_hz), limits=LIMITS)


def test_integers_are_big_endian_when_the_clip_is_l16() -> None:
    stereo = (tone(1.0, rate_hz=16_000, channels=2) * 32_767).astype(">i2")

    samples = decode(stereo.tobytes() + b"\x00", limits=LIMITS, pcm=PcmFormat(16_000, 2))

    assert len(samples) == 16_000
    assert loudest_hz(samples) == pytest.approx(TONE_HZ, abs=2)


@pytest.mark.parametrize("pcm", [PcmFormat(1), PcmFormat(16_000, 0), PcmFormat(16_000, 1000)])
def test_clip_is_refused_when_the_stated_form_is_out_of_bounds(pcm: PcmFormat) -> None:
    with pytest.raises(UnsupportedAudio):
        decode(bytes(1000), limits=LIMITS, pcm=pcm)
