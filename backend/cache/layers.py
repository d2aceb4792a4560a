"""One kind of value in layers, the fastest first: memory over Redis, or either alone."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from backend.cache.kept import Codec, Kept

T = TypeVar("T")
Counts = Counter[tuple[str, str, str]]  # by layer, kind of value, and one of hit, stale, miss, error


class Layer(Protocol):
    """Keeps values by key for a time. It never raises: what it cannot do, it leaves undone."""

    name: str

    async def get_many(self, keys: Sequence[str], codec: Codec[Any]) -> dict[str, Kept[Any]] | None:
        """Return what is kept of these, fresh or stale; None when the layer does not answer."""

    async def put_many(self, values: Mapping[str, Kept[Any]], codec: Codec[Any]) -> None:
        """Keep these, but for those whose keys have just been forgotten."""

    async def forget(self, keys: Sequence[str]) -> None:
        """Keep these no longer, nor, for some seconds, what somebody fetched before."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A kept value, the layer that it is from, and whether it still holds."""

    value: T
    layer: str
    fresh: bool


class Layered(Generic[T]):
    """Values of one kind; a look-up goes down until it finds a fresh one, which is copied into the layers above."""

    def __init__(
        self,
        kind: str,
        layers: Sequence[Layer],
        codec: Codec[T],
        *,
        counts: Counts,
        timer: Callable[[], float] = time.time,
    ) -> None:
        """kind: the first word of the keys; counts: shared by all kinds."""
        self._kind = kind
        self._layers = tuple(layers)
        self._codec = codec
        self._counts = counts
        self._timer = timer

    async def get(self, key: str, *, holds: Callable[[T], bool] | None = None) -> Found[T] | None:
        """Return a fresh value, else a stale one, else None; `holds` says of a value that it is not stale yet."""
        return (await self.get_many([key], holds=holds)).get(key)

    async def get_many(self, keys: Sequence[str], *, holds: Callable[[T], bool] | None = None) -> dict[str, Found[T]]:
        """Return a fresh value for each key, else a stale one; those without are left out."""
        found: dict[str, Found[T]] = {}
        now = self._timer()
        for depth, layer in enumerate(self._layers):
            wanted = [key for key in keys if key not in found or not found[key].fresh]
            if not wanted:
                break
            answer = await layer.get_many(wanted, self._codec)
            fresh: dict[str, Kept[T]] = {}
            for key in wanted:
                kept = (answer or {}).get(key)
                if kept is not None and kept.fresh_until > now and (holds is None or holds(kept.value)):
                    fresh[key] = kept
                if kept is not None and (key in fresh or key not in found):
                    found[key] = Found(kept.value, layer.name, key in fresh)
                self._count(layer, _outcome(answer, kept, fresh=key in fresh))
            await self._put(self._layers[:depth], fresh)
        return found

    async def put(self, key: str, value: T, *, ttl_seconds: float = math.inf) -> None:
        """Keep a value, for no longer than each layer keeps anything."""
        await self.put_many({key: value}, ttl_seconds=ttl_seconds)

    async def put_many(self, values: Mapping[str, T], *, ttl_seconds: float = math.inf) -> None:
        """Keep some values at once."""
        fresh_until = self._timer() + ttl_seconds
        await self._put(self._layers, {key: Kept(value, fresh_until) for key, value in values.items()})

    async def forget(self, keys: Sequence[str]) -> None:
        """Have every layer, and the memory of every process, keep these no longer."""
        for layer in self._layers:
            await layer.forget(keys)

    def __bool__(self) -> bool:
        """Whether anything can be kept."""
        return bool(self._layers)

    async def _put(self, layers: Sequence[Layer], values: Mapping[str, Kept[T]]) -> None:
        for layer in layers if values else ():
            await layer.put_many(values, self._codec)

    def _count(self, layer: Layer, outcome: str) -> None:
        self._counts[layer.name, self._kind, outcome] += 1


def _outcome(answer: dict[str, Kept[Any]] | None, kept: Kept[Any] | None, *, fresh: bool) -> str:
    if answer is None:
        return "error"
    if kept is None:
        return "miss"
    return "hit" if fresh else "stale"
