"""Small JSON values of any kind, such as a user's preferences."""

from __future__ import annotations

import json

from pydantic import JsonValue

from backend.cache.kept import Codec
from backend.cache.layers import Layered

TEXTS: Codec[str] = Codec(str, version="1")


class JsonCache:
    """Keeps what was read from elsewhere: `put` what was read, `forget` what was written."""

    def __init__(self, texts: Layered[str]) -> None:
        self._texts = texts

    async def get(self, key: str) -> JsonValue:
        """Return a copy of the kept value; None when there is none, so None itself cannot be kept."""
        found = await self._texts.get(key)
        try:
            value: JsonValue = json.loads(found.value) if found is not None and found.fresh else None
        except ValueError:  # poisoned
            return None
        return value

    async def put(self, key: str, value: JsonValue, ttl_seconds: float) -> None:
        """Keep a value for up to ttl_seconds; not if its key was forgotten within the last ten seconds.

        So what was read before a change and is put after it does no harm. key: its first word is its kind.
        """
        await self._texts.put(key, json.dumps(value, ensure_ascii=False), ttl_seconds=ttl_seconds)

    async def forget(self, key: str) -> None:
        """Have all processes read the value anew: call it after each change."""
        await self._texts.forget([key])
