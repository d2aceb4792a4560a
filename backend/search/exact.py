"""Vectors compared one and all: what the other kinds are measured by, and all that a small catalogue needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import DIMENSIONS

from backend.search.hnsw import Neighbours

BLOCK = 1 << 14  # vectors that are looked at in one go: 8 MB as floats; a multiple of eight


class ExactVectors:
    """Grows by `add`, every vector at the ordinal of its turn. Searches may run side by side, but not beside an add."""

    kind = "exact"  # what `read` can read

    def __init__(self) -> None:
        self._table = np.empty((0, DIMENSIONS), np.int8)  # longer than what it holds, so that adding is cheap
        self._count = 0

    def add(self, vectors: NDArray[np.int8], *, threads: int) -> None:
        """Append vectors, shape (n, 128)."""
        end = self._count + len(vectors)
        if end > len(self._table):
            self._table = np.resize(self._table, (end + end // 8, DIMENSIONS))
        self._table[self._count : end] = vectors
        self._count = end

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
        quick: no different here.
        """
        found = np.full((len(queries), count), -np.inf, np.float32), np.full((len(queries), count), -1, np.int64)
        wanted = queries.astype(np.float32)
        for first in range(0, self._count, BLOCK):
            block = self._table[first : min(first + BLOCK, self._count)]
            products = wanted @ block.T.astype(np.float32)
            if dead is not None:
                products[:, _is_set(dead, first, len(block))] = -np.inf
            ordinals = np.broadcast_to(np.arange(first, first + len(block)), products.shape)
            found = _best(np.hstack([found[0], products]), np.hstack([found[1], ordinals]), count)
        return found[0], np.where(np.isfinite(found[0]), found[1], -1)

    nearest_exact = nearest

    def stored(self, first: int, count: int) -> NDArray[np.int8]:
        """Copy vectors out of the table, (count, 128)."""
        return self._table[first : first + count].copy()

    def gathered(self, ordinals: NDArray[np.int64]) -> NDArray[np.int8]:
        """Copy the vectors of these ordinals, (n, 128)."""
        return self._table[ordinals]

    @property
    def nbytes(self) -> int:
        """Bytes of vectors, in memory as on disk."""
        return self._count * DIMENSIONS

    def write(self, path: Path) -> None:
        """Write a file that `read` takes."""
        with path.open("wb") as file:
            np.save(file, self._table[: self._count], allow_pickle=False)

    def read(self, path: Path) -> None:
        """Replace the content by that of a file."""
        self._table = np.load(path, allow_pickle=False)
        self._count = len(self._table)


def _is_set(bits: NDArray[np.uint8], first: int, count: int) -> NDArray[np.bool_]:
    """Return the bits from a multiple of eight on; those beyond the last are not set."""
    flags = np.zeros(count, np.bool_)
    known = np.unpackbits(bits[first >> 3 : (first + count + 7) >> 3], bitorder="little")[:count]
    flags[: len(known)] = known
    return flags


def _best(products: NDArray[np.float32], ordinals: NDArray[np.int64], count: int) -> Neighbours:
    """Keep the best of each row, the best first."""
    if products.shape[1] > count:
        kept = np.argpartition(products, -count, axis=1)[:, -count:]
        products, ordinals = np.take_along_axis(products, kept, axis=1), np.take_along_axis(ordinals, kept, axis=1)
    order = np.argsort(-products, axis=1, kind="stable")
    return np.take_along_axis(products, order, axis=1), np.take_along_axis(ordinals, order, axis=1)
