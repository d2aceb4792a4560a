"""The kernel Worker in workerd, called by another Worker over the service binding."""

from __future__ import annotations

import numpy as np
import pytest
from edge_benchmarks.cloudflare_host.edge import EdgeHost
from sonica_fingerprint import encode, extract

from tests.music import make_music
from tests.parity.clips import CLIPS

MONO_16_KHZ = {"form": "f32", "rate_hz": 16_000, "channels": 1, "big_endian": False}


@pytest.mark.parametrize("name", [name for name in CLIPS if name != "hostile"])
def test_fingerprint_is_the_native_one_when_clips_are_odd(edge: EdgeHost, name: str) -> None:
    samples = CLIPS[name]()
    assert edge.kernel("extract", samples.tobytes(), MONO_16_KHZ) == encode(extract(samples))


@pytest.mark.parametrize("seconds", [1, 3, 5, 20])
def test_fingerprint_is_the_native_one_when_clips_are_music(edge: EdgeHost, seconds: int) -> None:
    for seed in range(3):
        samples = make_music(seed, seconds)
        assert edge.kernel("extract", samples.tobytes(), MONO_16_KHZ) == encode(extract(samples))


def test_samples_are_refused_when_they_are_no_numbers(edge: EdgeHost) -> None:
    assert edge.kernel("extract", CLIPS["hostile"]().tobytes(), MONO_16_KHZ) is None


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("u8", np.array([0, 128, 255], np.uint8)),
        ("s16", np.array([-32_768, 0, 32_767], "<i2")),
        ("s24", np.array([0, 0, 128, 0, 0, 0, 255, 255, 127], np.uint8)),
        ("s32", np.array([-(2**31), 0, 2**31 - 1], "<i4")),
    ],
)
def test_integers_become_the_same_samples_when_they_are_wider(edge: EdgeHost, form: str, data: np.ndarray) -> None:
    scale = {"u8": 7, "s16": 15, "s24": 23, "s32": 31}[form]
    as_floats = np.array([-1, 0, 1 - 2.0**-scale], np.float32)
    clip, floats = (np.tile(each, 8_000).tobytes() for each in (data, as_floats))
    assert edge.kernel("extract", clip, MONO_16_KHZ | {"form": form}) == edge.kernel("extract", floats, MONO_16_KHZ)


def test_channels_are_averaged_when_there_are_two(edge: EdgeHost) -> None:
    left, right = make_music(1, 2.0), make_music(2, 2.0)
    both = np.stack([left, right], axis=1)
    mean = (both.sum(axis=1, dtype=np.float64) / 2).astype(np.float32)
    assert edge.kernel("extract", both.tobytes(), MONO_16_KHZ | {"channels": 2}) == encode(extract(mean))


def test_call_fails_and_the_next_works_when_a_fingerprint_is_none(edge: EdgeHost) -> None:
    with pytest.raises(RuntimeError):
        edge.kernel("recognize", b"no fingerprint")
    assert edge.kernel("extract", make_music(1, 1.0).tobytes(), MONO_16_KHZ)
