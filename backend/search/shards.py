"""Vectors in shards: a full one is never written to again, one that has mostly gone is given up alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import DIMENSIONS

from backend.search.compact import CompactVectors
from backend.search.exact import ExactVectors
from backend.search.hnsw import HnswVectors, Neighbours

FIRST = "segments.faiss"  # the first shard's file; the others have a number

Vectors: TypeAlias = HnswVectors | CompactVectors | ExactVectors


class Shards:
    """Vectors by ordinal, as one; a search asks every shard and keeps the best of all answers."""

    def __init__(self, new: Callable[[], Vectors], *, size: int | None) -> None:
        """size: vectors a shard; None for a single one without end."""
        self._new = new
        self._size = size
        self._shards: list[Vectors | None] = [new()]  # None where one was given up
        self._starts = [0, 0]  # the ordinal that each begins with, and the next one
        self._files: dict[int, int] = {}  # of a full shard, the file that it was written to, by its inode

    @property
    def kind(self) -> str:
        """What `read` can read."""
        return self._last.kind

    @property
    def held(self) -> int:
        """How many vectors there are, without those given up."""
        return sum(end - start for start, end, _ in self._kept())

    @property
    def nbytes(self) -> int:
        """Bytes of all shards in memory."""
        return sum(shard.nbytes for _, _, shard in self._kept())

    @property
    def starts(self) -> Sequence[int]:
        """The ordinal that each shard begins with, for `read`; those given up count down from -1."""
        shards = zip(self._starts, self._shards, strict=False)
        return [-1 - start if shard is None else start for start, shard in shards]

    def add(self, vectors: NDArray[np.int8], *, threads: int) -> None:
        """Append vectors, shape (n, 128)."""
        while len(vectors):
            if (room := self._room()) == 0:
                self._shards.append(self._new())
                self._starts.append(self._starts[-1])
                room = self._room()
            self._last.add(vectors[:room], threads=threads)
            self._starts[-1] += len(vectors[:room])
            vectors = vectors[room:]

    def nearest(
        self,
        queries: NDArray[np.int8],
        *,
        count: int,
        dead: NDArray[np.uint8] | None = None,
        quick: bool = False,
    ) -> Neighbours:
        """Return inner products and ordinals, each (queries, count); ordinal -1 where there are fewer.

        dead: bits of the ordinals to pass over, which would take the places of those that count.
        quick: see HnswVectors; other kinds have one way alone.
        """
        found = [
            (start, *shard.nearest(queries, count=count, dead=_from(dead, start), quick=quick))
            for start, _, shard in self._kept()
        ]
        return _best(found, count)

    def nearest_exact(
        self, queries: NDArray[np.int8], *, count: int, dead: NDArray[np.uint8] | None = None
    ) -> Neighbours:
        """Return what `nearest` would if it looked at every vector: the yardstick of its recall."""
        found = [
            (start, *shard.nearest_exact(queries, count=count, dead=_from(dead, start)))
            for start, _, shard in self._kept()
        ]
        return _best(found, count)

    def stored(self, first: int, count: int) -> NDArray[np.int8]:
        """Copy vectors out, (count, 128)."""
        return self.gathered(np.arange(first, first + count))

    def gathered(self, ordinals: NDArray[np.int64]) -> NDArray[np.int8]:
        """Copy the vectors of these ordinals, (n, 128); of those given up they are nothing."""
        vectors = np.zeros((len(ordinals), DIMENSIONS), np.int8)
        for start, end, shard in self._kept():
            here = (ordinals >= start) & (ordinals < end)
            if here.all():
                return shard.gathered(ordinals - start)
            if here.any():
                vectors[here] = shard.gathered(ordinals[here] - start)
        return vectors

    # --- shards ------------------------------------------------------------------------------------------------------

    def full(self) -> list[tuple[int, int, int]]:
        """Return number, first ordinal and end of each shard that is never written to again, and was not given up."""
        bounds = list(pairwise(self._starts))[:-1]
        return [(number, *bound) for number, bound in enumerate(bounds) if self._shards[number] is not None]

    def give_up(self, number: int) -> None:
        """Forget a full shard, all of whose vectors are dead."""
        self._shards[number] = None

    def outgrown(self) -> list[int]:
        """Return the numbers of the shards that would be found in faster if they were grouped anew."""
        return [
            number for number, shard in enumerate(self._shards) if isinstance(shard, CompactVectors) and shard.outgrown
        ]

    def regrouped(self, number: int) -> CompactVectors:
        """Return an outgrown shard grouped anew."""
        shard = self._shards[number]
        assert isinstance(shard, CompactVectors)
        return shard.regrouped()

    def put(self, number: int, shard: Vectors) -> None:
        """Have a shard take the place of one with the same vectors."""
        self._shards[number] = shard

    def write(self, folder: Path, *, previous: Path | None = None) -> None:
        """Write the files that `read` takes; previous: where they may be already, for full shards are linked."""
        for number, shard in enumerate(self._shards):
            if shard is None:
                continue
            path = folder / _name(number)
            before = previous / path.name if previous else None
            if before and before.exists() and before.stat().st_ino == self._files.get(number):
                os.link(before, path)
                continue
            shard.write(path)
            if number + 1 < len(self._shards):
                self._files[number] = path.stat().st_ino

    def read(self, files: Mapping[str, Path], *, starts: Sequence[int], total: int) -> None:
        """Replace the content by that of files, by name; starts: as they were when these were written."""
        self._shards, self._files = [], {}
        self._starts = [max(start, -1 - start) for start in starts] + [total]
        for number, start in enumerate(starts):
            shard = None if start < 0 else self._new()
            if shard is not None:
                path = files[_name(number)]
                shard.read(path)
                if number + 1 < len(starts):
                    self._files[number] = path.stat().st_ino
            self._shards.append(shard)

    @property
    def _last(self) -> Vectors:
        last = self._shards[-1]
        assert last is not None  # only full ones are given up
        return last

    def _room(self) -> int:
        """Return how many vectors the last shard still takes; the next one begins with a whole byte of `dead`."""
        held = self._starts[-1] - self._starts[-2]
        return 1 << 62 if self._size is None else max(self._size - held, -held % 8)

    def _kept(self) -> Iterator[tuple[int, int, Vectors]]:
        for (start, end), shard in zip(pairwise(self._starts), self._shards, strict=True):
            if shard is not None:
                yield start, end, shard


def _name(number: int) -> str:
    return f"segments-{number}.faiss" if number else FIRST


def _from(dead: NDArray[np.uint8] | None, start: int) -> NDArray[np.uint8] | None:
    return None if dead is None or start >> 3 >= len(dead) else dead[start >> 3 :]


def _best(found: Sequence[tuple[int, NDArray[np.float32], NDArray[np.int64]]], count: int) -> Neighbours:
    if len(found) == 1 and found[0][0] == 0:
        return found[0][1:]
    products = np.hstack([np.where(ordinals < 0, -np.inf, products) for _, products, ordinals in found])
    everything = np.hstack([np.where(ordinals < 0, -1, ordinals + start) for start, _, ordinals in found])
    order = np.argsort(-products, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(products, order, axis=1), np.take_along_axis(everything, order, axis=1)
