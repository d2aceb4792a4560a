"""Vectors of four bits a component under an HNSW graph (Malkov & Yashunin 2018); with compact.py the home of FAISS.

A component of a unit vector in 128 dimensions is spread over +-32 of the 127 that a byte has, and half a byte tells it
well enough: the cosine between a vector and what is kept of it is .994.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import DIMENSIONS

faiss: Any = _faiss  # its stubs know a tenth of what it has

LINKS = 7  # M: 14 links at the bottom, 56 of the 137 bytes a segment; README has the recall
LEVEL = 10  # between neighbouring values of the sixteen, -75 to 75: least error for unit vectors times EMBEDDING_SCALE
BUILD_DEPTH = 100  # efConstruction
QUICK_SHARE = 0.125  # of the search depth, for the first look
CROWD_MAX = 4.0  # times the search depth, where many songs were removed or replaced

_HALVES = np.arange(256)[:, None] >> np.array([0, 4]) & 15
_VALUES = ((2 * _HALVES - 15) * LEVEL // 2).astype(np.int8)  # (256, 2): what the two halves of a byte stand for
_PAIRS = _VALUES.view(np.int16)[:, 0]  # (256,): both as one number, looked up ten times as fast

Neighbours: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64]]


class HnswVectors:
    """Grows by `add`, every vector at the ordinal of its turn. Searches may run side by side, but not beside an add."""

    kind = "hnsw"  # what `read` can read

    def __init__(self, *, search_depth: int) -> None:
        """search_depth: efSearch, how many vectors a search keeps in sight."""
        quantizer = faiss.ScalarQuantizer.QT_4bit_uniform
        self._index: Any = faiss.IndexHNSWSQ(DIMENSIONS, quantizer, LINKS, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = BUILD_DEPTH
        starts = np.array([[-8 * LEVEL], [7 * LEVEL]], np.float32)  # of the lowest and of the highest of the sixteen
        self._index.train(np.repeat(starts, DIMENSIONS, axis=1))  # the same for every catalogue: nothing is learnt
        self._storage = faiss.downcast_index(self._index.storage)
        self.search_depth = search_depth

    def add(self, vectors: NDArray[np.int8], *, threads: int) -> None:
        """Append vectors, shape (n, 128)."""
        faiss.omp_set_num_threads(threads)  # of the calling thread's OpenMP alone
        self._index.add(vectors.astype(np.float32))

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
        quick: look at an eighth as many vectors, which finds what is plain to see.
        """
        faiss.omp_set_num_threads(1)  # many requests share the cores; a query's threads would only wait for each other
        selector, crowd = (None, 1.0) if dead is None else (all_but(dead), self._crowd(dead))
        depth = max(count, round(self.search_depth * crowd * (QUICK_SHARE if quick else 1)))
        parameters = faiss.SearchParametersHNSW(efSearch=depth, sel=selector)
        products, ordinals = self._index.search(queries.astype(np.float32), count, params=parameters)
        return products, ordinals

    def nearest_exact(
        self, queries: NDArray[np.int8], *, count: int, dead: NDArray[np.uint8] | None = None
    ) -> Neighbours:
        """Return what `nearest` would if it looked at every vector: the yardstick of its recall."""
        parameters = None if dead is None else faiss.SearchParameters(sel=all_but(dead))
        products, ordinals = self._storage.search(queries.astype(np.float32), count, params=parameters)
        return products, ordinals

    def stored(self, first: int, count: int) -> NDArray[np.int8]:
        """Copy vectors out of the graph's own table, (count, 128): no second copy of the catalogue is kept."""
        return _decoded(self.codes(first, count))

    def gathered(self, ordinals: NDArray[np.int64]) -> NDArray[np.int8]:
        """Copy the vectors of these ordinals, (n, 128)."""
        return _decoded(self._table()[ordinals])

    def codes(self, first: int, count: int) -> NDArray[np.uint8]:
        """Show vectors as they are kept, (count, 64), a component in each half of a byte, the low one first."""
        return self._table()[first : first + count]

    @property
    def nbytes(self) -> int:
        """Bytes of vectors and links, in memory as on disk."""
        graph = self._index.hnsw
        links = 4 * graph.neighbors.size() + 8 * graph.offsets.size() + 4 * graph.levels.size()
        return int(self._storage.codes.size() + links)

    def write(self, path: Path) -> None:
        """Write a file that `read` takes."""
        faiss.write_index(self._index, str(path))

    def read(self, path: Path) -> None:
        """Replace the content by that of a file."""
        self._index = faiss.read_index(str(path))
        self._storage = faiss.downcast_index(self._index.storage)

    def _crowd(self, dead: NDArray[np.uint8]) -> float:
        """Say how many vectors a search meets for each that counts: the dead are in the way, and must be seen past."""
        total = self._index.ntotal
        return min(CROWD_MAX, float(total / max(1, total - int(np.bitwise_count(dead).sum()))))

    def _table(self) -> NDArray[np.uint8]:
        codes = self._storage.codes  # looked up each time: an add may move it
        table: NDArray[np.uint8] = faiss.rev_swig_ptr(codes.data(), codes.size()).reshape(-1, DIMENSIONS // 2)
        return table


def to_half_bytes(vectors: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return vectors, (n, 128), as they are kept here, (n, 64): the low half of a byte goes before the high one."""
    levels = (np.floor_divide(vectors, LEVEL, dtype=np.int16) + 8).clip(0, 15).astype(np.uint8)
    codes: NDArray[np.uint8] = np.bitwise_or(levels[:, ::2], levels[:, 1::2] * 16)
    return codes


def _decoded(codes: NDArray[np.uint8]) -> NDArray[np.int8]:
    vectors: NDArray[np.int8] = _PAIRS.take(codes).view(np.int8)
    return vectors


def all_but(dead: NDArray[np.uint8]) -> Any:  # noqa: ANN401 - FAISS's selectors have no Python type
    """Select every ordinal whose bit is not set."""
    return faiss.IDSelectorNot(faiss.IDSelectorBitmap(dead))
