"""Samples in, fingerprint out: whole clips with `extract`, streams with `Extractor`."""

from __future__ import annotations

from sonica_fingerprint.fingerprint import DIMENSIONS, SAMPLE_RATE_HZ, Fingerprint
from sonica_fingerprint.kernels import Kernel, Samples, native

_RECORD_BYTES = 1 + DIMENSIONS


class Extractor:
    """A stream of samples; its fingerprint can be read at any time and grows with it."""

    def __init__(self, kernel: Kernel | None = None) -> None:
        self._kernel = kernel or native.new_kernel()
        self._kernel.reset()
        self._records = bytearray()
        self._samples = 0
        self._finished = False

    def push(self, samples: Samples) -> None:
        """Take float32 samples, mono, 16 kHz, full scale 1, in any portion."""
        if self._finished:
            raise ValueError("this extractor is finished; make another for another stream")
        self._records += self._kernel.push(samples)
        self._samples += memoryview(samples).nbytes // 4  # type: ignore[arg-type]

    def fingerprint(self) -> Fingerprint:
        """Return what is certain so far: all but the last half second, whose gain needs what comes."""
        return _fingerprint(bytes(self._records), self._samples)

    def finish(self) -> Fingerprint:
        """End the stream and return its whole fingerprint."""
        if not self._finished:
            self._records += self._kernel.finish()
            self._finished = True
        return self.fingerprint()


def extract(samples: Samples, *, kernel: Kernel | None = None) -> Fingerprint:
    """Return the fingerprint of a whole clip: float32 samples, mono, 16 kHz, full scale 1.

    A clip shorter than one segment (960 ms) has a fingerprint without segments.
    """
    extractor = Extractor(kernel)
    extractor.push(samples)
    return extractor.finish()


def _fingerprint(records: bytes, samples: int) -> Fingerprint:
    starts = range(0, len(records), _RECORD_BYTES)
    return Fingerprint(
        embeddings=b"".join(records[start + 1 : start + _RECORD_BYTES] for start in starts),
        levels=records[::_RECORD_BYTES],
        duration_ms=samples * 1000 // SAMPLE_RATE_HZ,
    )
