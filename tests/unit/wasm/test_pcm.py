"""PCM read without a decoder, and made 16 kHz by the kernel. That the origin hears the same is tested with the edge."""

from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sonica_fingerprint import SAMPLE_RATE_HZ
from sonica_fingerprint.errors import UnreadableAudio
from sonica_fingerprint.pcm import Pcm, read_wav, to_fingerprint_rate

from tests.clips import encoded

RATES_HZ = [8_000, 12_000, 18_900, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000]
EDGE = 400  # samples at either end, which the filter's silence reaches into


def tones(*tones_hz, rate_hz, seconds=1.0):
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    return array("f", sum(0.1 * np.sin(2 * np.pi * hz * times) for hz in tones_hz).astype(np.float32))


def resampled(samples, rate_hz):
    return np.asarray(to_fingerprint_rate(samples, rate_hz, seconds_max=20.0))


@pytest.mark.parametrize("form", ["u8", "s16", "s24", "s32", "f32"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_samples_are_read_when_they_are_of_any_form(form, big_endian):
    wanted = [0.5, -0.25, 0.0, -1.0]
    byte_order = "big" if big_endian else "little"
    if form == "f32":
        data = np.array(wanted, ">f4" if big_endian else "<f4").tobytes()
    elif form == "u8":
        data = bytes(int(value * 128) + 128 for value in wanted)
    else:
        width = int(form[1:]) // 8
        scale = 1 << (8 * width - 1)
        data = b"".join(int(value * scale).to_bytes(width, byte_order, signed=True) for value in wanted)

    pcm = Pcm(memoryview(data), form, 16_000, big_endian=big_endian)

    assert pcm.mono(seconds_max=1.0).tolist() == wanted


def test_mean_is_taken_when_there_are_two_channels():
    data = np.array([1000, 3000, -1000, 500, 7], "<i2").tobytes()  # and half a frame

    pcm = Pcm(memoryview(data), "s16", 16_000, 2)

    assert pcm.mono(seconds_max=1.0).tolist() == [2000 / 32_768, -250 / 32_768]


def test_little_more_than_the_first_seconds_is_read_when_there_is_more():
    pcm = Pcm(memoryview(bytes(100_000)), "s16", 8_000)

    assert len(pcm.mono(seconds_max=1.5)) == 12_001


@pytest.mark.parametrize(("rate_hz", "channels"), [(3_999, 1), (384_001, 1), (16_000, 0), (16_000, 3)])
def test_form_is_refused_when_the_origin_may_hear_something_else(rate_hz, channels):
    with pytest.raises(UnreadableAudio):
        Pcm(memoryview(b""), "s16", rate_hz, channels)


def test_chunks_are_skipped_when_they_come_before_the_samples():
    clip = encoded(np.full((8, 1), 0.5, np.float32), rate_hz=16_000)
    at = clip.index(b"data")
    listed = clip[:at] + b"LIST" + (4).to_bytes(4, "little") + b"INFO" + clip[at:]

    assert read_wav(listed).mono(seconds_max=1.0) == read_wav(clip).mono(seconds_max=1.0)


@pytest.mark.parametrize("padding", [b"", b"\x00"])
def test_file_is_refused_when_a_chunk_ends_amid_a_word(padding):
    clip = encoded(np.full((8, 1), 0.5, np.float32), rate_hz=16_000)
    at = clip.index(b"data")

    with pytest.raises(UnreadableAudio):
        read_wav(clip[:at] + b"LIST" + (3).to_bytes(4, "little") + b"INF" + padding + clip[at:])


@pytest.mark.parametrize(("offset", "lie"), [(20, 6), (22, 2), (32, 4), (34, 12), (34, 24)])
def test_file_is_refused_when_its_format_contradicts_itself(offset, lie):
    clip = bytearray(encoded(np.full((8, 1), 0.5, np.float32), rate_hz=16_000))
    clip[offset : offset + 2] = lie.to_bytes(2, "little")

    with pytest.raises(UnreadableAudio):
        read_wav(bytes(clip))


@given(st.binary(max_size=200))
def test_bytes_are_refused_when_they_are_no_wav(content):
    with pytest.raises(UnreadableAudio):
        read_wav(b"RIFF\x00\x00\x00\x00WAVE" + content.replace(b"data", b"none"))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_tones_are_kept_when_the_fingerprint_looks_at_them(rate_hz):
    heard = [hz for hz in (100, 440, 1_000, 3_000, 4_900) if hz < 0.45 * rate_hz]

    found = resampled(tones(*heard, rate_hz=rate_hz), rate_hz)

    wanted = np.asarray(tones(*heard, rate_hz=SAMPLE_RATE_HZ))
    assert len(found) == len(wanted)
    assert np.abs(found - wanted)[EDGE:-EDGE].max() < 1e-4  # 60 dB below each


@pytest.mark.parametrize("rate_hz", [rate for rate in RATES_HZ if rate > 24_000])
def test_tones_are_gone_when_they_would_fold_onto_what_the_fingerprint_looks_at(rate_hz):
    for hz in (11_200, 13_000, 15_500):
        assert np.abs(resampled(tones(hz, rate_hz=rate_hz), rate_hz))[EDGE:-EDGE].max() < 1e-4


def test_images_are_gone_when_the_rate_is_raised():
    spectrum = np.abs(np.fft.rfft(resampled(tones(3_500, rate_hz=8_000), 8_000)[EDGE:-EDGE]))

    frequencies = np.fft.rfftfreq(SAMPLE_RATE_HZ - 2 * EDGE, 1 / SAMPLE_RATE_HZ)
    assert spectrum[frequencies > 4_300].max() < 1e-3 * spectrum.max()


@pytest.mark.parametrize("rate_hz", [1, 4_001, 44_099])
def test_rate_is_refused_when_its_filter_would_be_too_large(rate_hz):
    with pytest.raises(UnreadableAudio, match=str(rate_hz)):
        resampled(tones(440, rate_hz=8_000), rate_hz)


@pytest.mark.parametrize("count", [0, 1, 5, 1_023, 1_024, 1_025, 5_000])
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 192_000])
def test_samples_come_out_in_proportion_when_the_clip_is_of_any_length(rate_hz, count):
    found = resampled(array("f", [0.1] * count), rate_hz)

    assert len(found) == -(-count * SAMPLE_RATE_HZ // rate_hz)
    assert np.isfinite(found).all()


def test_samples_stay_as_they_are_when_they_are_at_the_rate_already():
    samples = tones(440, rate_hz=SAMPLE_RATE_HZ)

    assert to_fingerprint_rate(samples, SAMPLE_RATE_HZ, seconds_max=0.5) == samples[:8_000]


@pytest.mark.parametrize("samples", [np.zeros(10, np.float64), np.zeros((8, 8), np.float32)[:, ::2], "text", None])
def test_samples_are_refused_when_they_are_no_floats(samples):
    from sonica_fingerprint._native import Kernel

    with pytest.raises(TypeError):
        Kernel.resample(samples, 48_000, 16_000)
