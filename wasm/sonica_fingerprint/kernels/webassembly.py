"""The kernel as ready WebAssembly exports: hosts that cannot instantiate bytes (workerd) pass theirs in."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Protocol

from sonica_fingerprint.errors import KernelError
from sonica_fingerprint.fingerprint import FINGERPRINT_VERSION
from sonica_fingerprint.kernels import Samples

SAMPLE_BYTES = struct.calcsize("f")


class Exports(Protocol):
    """What fingerprint.wasm exports, as Python callables, and its memory as two copying functions."""

    def fingerprint_version(self) -> int: ...  # noqa: D102
    def input_buffer(self) -> int: ...  # noqa: D102
    def input_samples_max(self) -> int: ...  # noqa: D102
    def output_buffer(self) -> int: ...  # noqa: D102
    def segment_bytes(self) -> int: ...  # noqa: D102
    def reset(self) -> None: ...  # noqa: D102
    def push(self, count: int) -> int: ...  # noqa: D102
    def finish(self) -> int: ...  # noqa: D102
    def resampled_buffer(self) -> int: ...  # noqa: D102
    def resample_start(self, down: int, up: int) -> int: ...  # noqa: D102
    def resample_push(self, count: int) -> int: ...  # noqa: D102
    def resample_finish(self) -> int: ...  # noqa: D102

    def write(self, address: int, data: memoryview) -> None:
        """Copy bytes into the instance's memory."""

    def read(self, address: int, length: int) -> bytes:
        """Copy bytes out of the instance's memory."""


class WebAssemblyKernel:
    """One instance of fingerprint.wasm, hence one stream."""

    def __init__(self, exports: Exports) -> None:
        version = exports.fingerprint_version()
        if version != FINGERPRINT_VERSION:
            raise KernelError(
                f"the module makes fingerprints of version {version}, this package of {FINGERPRINT_VERSION}"
            )
        self._exports = exports
        self._samples_max = exports.input_samples_max()
        self.reset()

    def reset(self) -> None:
        """Start a new stream."""
        self._exports.reset()

    def push(self, samples: Samples, /) -> bytes:
        """Take float32 samples; return the segments completed by them."""
        return b"".join(self._read_segments(self._exports.push(count)) for count in self._written(samples))

    def finish(self) -> bytes:
        """End the stream; return the segments that waited for later samples."""
        return self._read_segments(self._exports.finish())

    def resample(self, samples: Samples, down: int, up: int, /) -> bytes:
        """Take float32 samples of a whole clip; return `up` for every `down` of them."""
        if not self._exports.resample_start(down, up):
            raise KernelError(f"samples cannot be resampled from {down} to {up} here")
        parts = [self._read_resampled(self._exports.resample_push(count)) for count in self._written(samples)]
        return b"".join([*parts, self._read_resampled(self._exports.resample_finish())])

    def _written(self, samples: Samples) -> Iterator[int]:
        """Write the samples into the input buffer, a part at a time; yield how many lie there."""
        view = memoryview(samples)  # type: ignore[arg-type]
        if view.format != "f" or not view.c_contiguous:
            raise TypeError("samples must be a contiguous buffer of float32")
        data = view.cast("B")
        part = self._samples_max * SAMPLE_BYTES
        for start in range(0, len(data), part):
            self._exports.write(self._exports.input_buffer(), data[start : start + part])
            yield len(data[start : start + part]) // SAMPLE_BYTES

    def _read_resampled(self, count: int) -> bytes:
        return self._exports.read(self._exports.resampled_buffer(), count * SAMPLE_BYTES)

    def _read_segments(self, count: int) -> bytes:
        if count < 0:
            raise KernelError("the kernel refused the samples")
        return self._exports.read(self._exports.output_buffer(), count * self._exports.segment_bytes())
