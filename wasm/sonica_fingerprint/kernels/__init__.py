"""Kernels: the one C program behind one protocol, natively or in WebAssembly."""

from __future__ import annotations

from typing import Protocol, TypeAlias

# Anything with the buffer protocol that holds float32, C-contiguous: a NumPy array, array("f"), memoryview.cast("f").
# Its type has a name (collections.abc.Buffer) only from Python 3.12 on.
Samples: TypeAlias = object


class Kernel(Protocol):
    """One stream through the kernel; segments come as 129 bytes each: the level, then the embedding."""

    def reset(self) -> None:
        """Start a new stream."""

    def push(self, samples: Samples, /) -> bytes:
        """Take float32 samples, mono, 16 kHz, full scale 1; return the segments completed by them."""

    def finish(self) -> bytes:
        """End the stream; return the segments that waited for later samples."""

    def resample(self, samples: Samples, down: int, up: int, /) -> bytes:
        """Take float32 samples of a whole clip, no stream; return `up` for every `down` of them. Raises ValueError."""
