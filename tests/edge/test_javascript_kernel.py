"""wasm/browser/sonica-fingerprint.mjs makes the fingerprints of the native kernel, byte for byte."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from sonica_fingerprint import FINGERPRINT_VERSION, OTHER_SPEEDS, SAMPLE_RATE_HZ, encode, extract

from tests.edge.javascript_kernel import WASM, JavaScriptKernel, RefusedByJavaScriptError
from tests.music import make_music
from tests.parity.clips import CLIPS


@pytest.fixture(scope="module")
def kernel():
    kernel = JavaScriptKernel()
    yield kernel
    kernel.close()


def test_version_is_that_of_the_package(kernel):
    assert kernel.version() == FINGERPRINT_VERSION


@pytest.mark.parametrize("name", CLIPS)
def test_wire_bytes_are_the_native_ones_when_clips_are_odd(kernel, name):
    samples = CLIPS[name]()
    assert kernel.extract(samples) == encode(extract(samples))


@pytest.mark.parametrize("count", [0, 1, 16_383, 16_384, 16_385, 3 * 16_384, 20 * SAMPLE_RATE_HZ + 7])
def test_wire_bytes_are_the_native_ones_when_the_input_buffer_overflows(kernel, count):
    samples = make_music(1, 21)[:count]
    assert kernel.extract(samples) == encode(extract(samples))


@pytest.mark.parametrize("speed", [0.8, *OTHER_SPEEDS, 1.2])
@pytest.mark.parametrize("count", [0, 16_385, 5 * SAMPLE_RATE_HZ + 7])
def test_wire_bytes_are_the_native_ones_when_the_clip_is_taken_at_another_speed(kernel, count, speed):
    samples = make_music(1, 6)[:count]
    assert kernel.extract(samples, speed=speed) == encode(extract(samples, speed))


def test_other_speeds_are_those_of_the_package(kernel):
    assert tuple(kernel.other_speeds()) == OTHER_SPEEDS


@pytest.mark.parametrize("speed", [0.79, 1.21, 1.065])
def test_speed_is_refused_when_it_is_no_whole_per_cent_or_too_far_off(kernel, speed):
    with pytest.raises(RefusedByJavaScriptError, match="speed"):
        kernel.extract(make_music(1, 1), speed=speed)


def test_clips_leave_nothing_behind_for_the_next_one(kernel):
    first, second = make_music(1, 3), make_music(2, 3)
    alone = kernel.extract(second)
    kernel.extract(np.concatenate([first, first]))
    assert kernel.extract(second) == alone


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    """Where the folder of fingerprint.wasm is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=WASM.parent)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_kernel_is_loaded_from_a_url_and_says_so_when_nothing_is_there(kernel, url):
    assert kernel.version_of(f"{url}/{WASM.name}") == FINGERPRINT_VERSION
    with pytest.raises(RefusedByJavaScriptError, match="404"):
        kernel.version_of(f"{url}/nothing.wasm")
