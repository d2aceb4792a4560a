"""One suite over every kernel: the native extension, and fingerprint.wasm in Node."""

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import sonica_fingerprint
import soxr
from sonica_fingerprint import DIMENSIONS, OTHER_SPEEDS, Extractor, encode, extract
from sonica_fingerprint.kernels import native
from sonica_fingerprint.kernels.webassembly import WebAssemblyKernel

from tests.parity.clips import CLIPS
from tests.parity.wasm_exports import NodeExports

VECTORS = Path(__file__).parents[1] / "data" / "vectors.json"
WASM = Path(sonica_fingerprint.__file__).with_name("fingerprint.wasm")


@pytest.fixture(scope="module", params=["native", "webassembly"])
def kernel(request):
    if request.param == "native":
        yield native.new_kernel()
    else:
        exports = NodeExports(WASM)
        yield WebAssemblyKernel(exports)
        exports.close()


def vectors():
    return json.loads(VECTORS.read_text())["fingerprints"]


@pytest.mark.parametrize("name", CLIPS)
def test_fingerprint_is_the_stored_one_bit_for_bit(kernel, name):
    fingerprint = extract(CLIPS[name](), kernel=kernel)
    assert base64.b64encode(encode(fingerprint)).decode() == vectors()[name]


def test_every_clip_has_a_vector_and_every_vector_a_clip():
    assert set(vectors()) == set(CLIPS)


@pytest.mark.parametrize("portion", [1, 333, 16_384, 16_385, 50_000])
def test_fingerprint_is_the_same_when_samples_come_in_portions(kernel, portion):
    samples = CLIPS["chords-in-noise"]()[: 4 * portion if portion == 1 else None]
    extractor = Extractor(kernel)
    for start in range(0, len(samples), portion):
        extractor.push(samples[start : start + portion])
    assert extractor.finish() == extract(samples, kernel=kernel)


def test_growing_fingerprint_is_a_prefix_of_the_finished_one(kernel):
    samples = CLIPS["chords"]()
    extractor = Extractor(kernel)
    extractor.push(samples[:40_000])
    early = extractor.fingerprint()
    extractor.push(samples[40_000:])
    whole = extractor.finish()
    assert 0 < early.segments < whole.segments
    assert whole.embeddings.startswith(early.embeddings)


@pytest.mark.parametrize(("frames", "segments"), [(26, 0), (27, 5), (30, 5), (31, 6), (100, 23)])
def test_two_segments_reach_beyond_either_end_when_a_clip_holds_one(kernel, frames, segments):
    samples = CLIPS["chords"]()[: 2048 + 512 * (frames - 1)]

    assert extract(samples, kernel=kernel).segments == segments


def test_segments_that_are_all_within_do_not_change_when_a_clip_begins_earlier(kernel):
    whole = extract(CLIPS["chords"](), kernel=kernel)
    later = extract(CLIPS["chords"]()[16 * 2048 :], kernel=kernel)

    embeddings = [np.frombuffer(each.embeddings, np.int8).reshape(-1, 128) for each in (whole, later)]
    settled = slice(2 + 4, None)  # past the edge and the first half second of gain control
    assert np.array_equal(embeddings[0][16:][settled], embeddings[1][settled])


def test_segments_are_unit_vectors_and_silence_is_known(kernel):
    fingerprint = extract(CLIPS["chords"](), kernel=kernel)
    rows = np.frombuffer(fingerprint.embeddings, np.int8).reshape(-1, DIMENSIONS).astype(float)
    assert np.abs(np.linalg.norm(rows, axis=1) / 360 - 1).max() < 0.05
    assert not fingerprint.silent
    assert extract(CLIPS["silence"](), kernel=kernel).silent


def test_samples_of_another_type_are_refused(kernel):
    with pytest.raises(TypeError):
        kernel.push(np.zeros(10, np.float64))
    with pytest.raises(TypeError):
        kernel.push(np.zeros((64, 64), np.float32)[:, ::2])


def test_wasm_module_needs_nothing_from_its_host():
    exports = NodeExports(WASM)
    assert exports.imports() == 0
    exports.close()


def test_wasm_refuses_more_samples_than_its_buffer_holds():
    exports = NodeExports(WASM)
    assert exports.push(exports.input_samples_max() + 1) == -1
    assert exports.push(-1) == -1
    exports.close()


def test_wasm_is_the_pinned_build_and_under_a_megabyte():
    pinned = json.loads(VECTORS.read_text())["wasm_sha256"]
    assert hashlib.sha256(WASM.read_bytes()).hexdigest() == pinned
    assert WASM.stat().st_size < 1_000_000


@pytest.mark.parametrize("speed", [0.8, 0.93, *OTHER_SPEEDS, 1.07, 1.2])
@pytest.mark.parametrize("name", ["chords-in-noise", "too-short", "hostile"])
def test_fingerprint_is_the_same_in_every_kernel_when_the_clip_is_taken_at_another_speed(kernel, name, speed):
    samples = CLIPS[name]()
    fingerprint = extract(samples, speed, kernel=kernel)

    assert encode(fingerprint) == encode(extract(samples, speed))
    assert (fingerprint.speed, fingerprint.duration_ms) == (speed, len(samples) * 1000 // 16_000)


@pytest.mark.parametrize("speed", OTHER_SPEEDS)
def test_clip_is_slowed_as_a_resampler_of_another_make_does(kernel, speed):
    samples = CLIPS["chords-in-noise"]()
    ours = np.frombuffer(kernel.resample(samples, 100, round(100 * speed)), np.float32)
    theirs = soxr.resample(samples.astype(np.float64), 16_000, 16_000 * speed)

    assert len(ours) == pytest.approx(len(theirs), abs=1)
    heard, expected = (np.abs(np.fft.rfft(each[:40_000])[: 40_000 * 5_000 // 16_000]) for each in (ours, theirs))
    assert np.abs(heard - expected).max() < 0.002 * expected.max()


@pytest.mark.parametrize("speed", [0.79, 1.21, 1.065, 0.0, -1.0])
def test_speed_is_refused_when_it_is_no_whole_per_cent_or_too_far_off(kernel, speed):
    with pytest.raises(ValueError, match="speed"):
        extract(CLIPS["chords"](), speed, kernel=kernel)


def test_samples_are_not_resampled_when_the_filter_would_be_too_large(kernel):
    for down, up in [(0, 100), (100, 0), (1000, 1063), (1_000_000, 1)]:
        with pytest.raises(ValueError, match="resampled"):
            kernel.resample(CLIPS["one-segment"](), down, up)


def test_wasm_refuses_to_resample_what_its_buffers_do_not_hold():
    exports = NodeExports(WASM)
    assert exports.resample_push(1) == -1  # before a start
    assert exports.resample_start(1, 4) == 0
    assert exports.resample_push(1) == -1
    assert exports.resample_start(100, 106) == 1
    assert exports.resample_push(exports.input_samples_max() + 1) == -1
    assert exports.resample_push(-1) == -1
    exports.close()
