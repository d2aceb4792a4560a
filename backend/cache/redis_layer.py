"""The layer in Redis, shared by all processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from backend.cache.kept import Codec, Kept
from backend.cache.lifetime import FORGOTTEN_SECONDS, Lifetime
from backend.cache.redis_server import RedisServer

_FORGET_BATCH = 500  # keys a round trip; about 80 kB


class RedisLayer:
    """Keeps values in Redis; while Redis is away nothing is kept, and what is forgotten waits. Implements Layer."""

    name = "redis"

    def __init__(self, server: RedisServer, lifetime: Lifetime, *, timer: Callable[[], float] = time.time) -> None:
        self._server = server
        self._lifetime = lifetime
        self._timer = timer
        # Since when, in order: Redis may still hold these, and they are not believed.
        self._to_forget: dict[str, float] = {}

    async def get_many(self, keys: Sequence[str], codec: Codec[Any]) -> dict[str, Kept[Any]] | None:
        """Return what is kept of these; None when Redis does not answer."""
        believed = [key for key in keys if key not in self._to_forget]
        documents = await self._server.get_many(believed) if believed else {}
        if documents is None:
            return None
        now = self._timer()
        return {key: kept for key, kept in _readable(documents, codec) if self._lifetime.gone_at(kept) > now}

    async def put_many(self, values: Mapping[str, Kept[Any]], codec: Codec[Any]) -> None:
        """Keep these, but for what was forgotten while it was being fetched."""
        now = self._timer()
        documents: dict[str, tuple[bytes, float]] = {}
        for key in values.keys() - self._to_forget.keys():
            kept = self._lifetime.limited(values[key], now=now)
            documents[key] = codec.encode(key, kept), self._lifetime.gone_at(kept) - now
        if documents:
            await self._server.put_many(documents)

    async def forget(self, keys: Sequence[str]) -> None:
        """Keep these no longer, nor in the memory of any process; later, should Redis be away."""
        self._to_forget.update(dict.fromkeys(keys, self._timer()))
        await self.catch_up()

    async def catch_up(self) -> bool:
        """Forget what had to wait; say whether all is done."""
        while batch := list(self._to_forget)[:_FORGET_BATCH]:
            if not await self._server.forget(batch, seconds=FORGOTTEN_SECONDS):
                self._drop_ended()
                return False
            for key in batch:
                self._to_forget.pop(key, None)
        return True

    def _drop_ended(self) -> None:
        """Spare what Redis itself has forgotten meanwhile, for it may be away for days."""
        kept_since = self._timer() - self._lifetime.seconds_max - self._lifetime.stale_seconds
        self._to_forget = {key: since for key, since in self._to_forget.items() if since > kept_since}


def _readable(documents: dict[str, bytes], codec: Codec[Any]) -> Iterator[tuple[str, Kept[Any]]]:
    for key, document in documents.items():
        try:
            yield key, codec.decode(key, document)
        except ValueError:  # poisoned, or of another version of this program: as good as not there
            continue
