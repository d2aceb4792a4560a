"""Decodes clips on threads of its own: slow clips wait for each other, and no search waits for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.audio.decode import decode
from backend.audio.limits import DecoderLimits
from backend.audio.pcm import PcmFormat
from backend.threads import Threads


class Decoder:
    """Decodes `threads` clips at a time; the others wait in line."""

    def __init__(self, limits: DecoderLimits, *, threads: int) -> None:
        self._limits = limits
        self._threads = Threads(threads, name="decoder")

    async def decode(self, clip: bytes, *, pcm: PcmFormat | None = None) -> NDArray[np.float32]:
        """Return what `backend.audio.decode.decode` does; raises the same."""
        return await self._threads.run(decode, clip, limits=self._limits, pcm=pcm)

    def close(self) -> None:
        """Give up what waits in line; what is being decoded ends by itself, within its limits."""
        self._threads.close()
