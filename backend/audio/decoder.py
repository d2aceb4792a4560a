"""Decodes clips on threads of its own: slow clips wait for each other, and no search waits for them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from backend.audio.decode import decode
from backend.audio.limits import DecoderLimits
from backend.audio.pcm import PcmFormat


class Decoder:
    """Decodes `threads` clips at a time; the others wait in line."""

    def __init__(self, limits: DecoderLimits, *, threads: int) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decoder")

    async def decode(self, clip: bytes, *, pcm: PcmFormat | None = None) -> NDArray[np.float32]:
        """Return what `backend.audio.decode.decode` does; raises the same."""
        task = partial(decode, clip, limits=self._limits, pcm=pcm)
        return await asyncio.get_running_loop().run_in_executor(self._threads, task)

    def close(self) -> None:
        """Give up what waits in line; what is being decoded ends by itself, within its limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)
