"""Samples in, fingerprint out: whole clips with `extract`, streams with `Extractor`."""

from __future__ import annotations

from dataclasses import replace

from sonica_fingerprint.fingerprint import DIMENSIONS, SAMPLE_RATE_HZ, SPEED_CHANGE_MAX, Fingerprint
from sonica_fingerprint.kernels import Kernel, Samples, native

OTHER_SPEEDS = (0.94, 1.06)  # to ask again at when there is no answer: each reaches a few per cent to either side
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
        self._samples += _count(samples)

    def fingerprint(self) -> Fingerprint:
        """Return what is certain so far: all but the last half second, whose gain needs what comes."""
        return _fingerprint(bytes(self._records), self._samples)

    def finish(self) -> Fingerprint:
        """End the stream and return its whole fingerprint."""
        if not self._finished:
            self._records += self._kernel.finish()
            self._finished = True
        return self.fingerprint()


def extract(samples: Samples, speed: float = 1.0, *, kernel: Kernel | None = None) -> Fingerprint:
    """Return the fingerprint of a whole clip: float32 samples, mono, 16 kHz, full scale 1.

    speed: how fast the clip is taken to play; it is slowed by so much first. Whole per cents, up to SPEED_CHANGE_MAX
    from 1; raises ValueError for others.

    A clip shorter than one segment (960 ms) has a fingerprint without segments.
    """
    kernel = kernel or native.new_kernel()
    extractor = Extractor(kernel)
    if speed == 1:
        extractor.push(samples)
        return extractor.finish()
    extractor.push(_slowed(samples, speed, kernel))
    return replace(extractor.finish(), duration_ms=_duration_ms(_count(samples)), speed=speed)


def _slowed(samples: Samples, speed: float, kernel: Kernel) -> Samples:
    percent = round(100 * speed)
    if percent / 100 != speed or abs(percent - 100) > 100 * SPEED_CHANGE_MAX:
        raise ValueError(f"speed {speed} is not one of whole per cents within 1 +- {SPEED_CHANGE_MAX}")
    return memoryview(kernel.resample(samples, 100, percent)).cast("f")


def _fingerprint(records: bytes, samples: int) -> Fingerprint:
    starts = range(0, len(records), _RECORD_BYTES)
    return Fingerprint(
        embeddings=b"".join(records[start + 1 : start + _RECORD_BYTES] for start in starts),
        levels=records[::_RECORD_BYTES],
        duration_ms=_duration_ms(samples),
    )


def _count(samples: Samples) -> int:
    return memoryview(samples).nbytes // 4  # type: ignore[arg-type]


def _duration_ms(samples: int) -> int:
    return samples * 1000 // SAMPLE_RATE_HZ
