"""Ways to find the nearest vectors, each in the place of the product's own beneath its index, and their recall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import DIMENSIONS, EMBEDDING_SCALE

from backend.search.hnsw import HnswVectors, Neighbours
from measurement.distractors import Rows, unit
from measurement.squeezing import FITTED_MAX, sampled

faiss: Any = _faiss  # its stubs know a tenth of what it has

RESCORED = 100  # neighbours by PQ that are compared again by their bytes
TRAINED_PER_CELL = 32
_CELLS_PER_ROOT = 4
_COARSE_LINKS = 16
_BLOCK = 1 << 16


class Engine(Protocol):
    """What the product's index asks of its vectors."""

    def nearest(
        self, queries: Rows, *, count: int, dead: NDArray[np.uint8] | None = None, quick: bool = False
    ) -> Neighbours:
        """Return inner products and ordinals, each (queries, count)."""

    def gathered(self, ordinals: NDArray[np.int64]) -> Rows:
        """Return what verification compares with."""


@dataclass(frozen=True, slots=True)
class Hnsw:
    """The product's graph at a search depth."""

    vectors: HnswVectors
    depth: int

    def nearest(
        self, queries: Rows, *, count: int, dead: NDArray[np.uint8] | None = None, quick: bool = False
    ) -> Neighbours:
        """Search the graph."""
        self.vectors.search_depth = self.depth  # what is measured is beneath the port
        return self.vectors.nearest(queries, count=count, dead=dead)

    def gathered(self, ordinals: NDArray[np.int64]) -> Rows:
        """Return the bytes as they are."""
        return self.vectors.gathered(ordinals)


@dataclass(frozen=True, slots=True)
class Cells:
    """A coarse quantizer: 4 sqrt(n) centroids under HNSW."""

    centroids: Any
    count: int

    @classmethod
    def of(cls, table: Rows, *, seed: int) -> Cells:
        """Cluster a table's vectors by direction, from a sample."""
        count = max(1, round(_CELLS_PER_ROOT * math.sqrt(len(table))))
        sample = unit(sampled(table, TRAINED_PER_CELL * count, seed=seed))
        clusters = faiss.Kmeans(
            DIMENSIONS, count, niter=8, spherical=True, seed=seed, min_points_per_centroid=1,
            max_points_per_centroid=TRAINED_PER_CELL,
        )  # fmt: skip
        clusters.train(sample)
        cosines, _ = clusters.index.search(sample, 1)
        centroids = faiss.IndexHNSWFlat(DIMENSIONS, _COARSE_LINKS, faiss.METRIC_INNER_PRODUCT)
        # Shortened to what its members have in common, so that what PQ has left to encode is smallest.
        centroids.add(clusters.centroids * cosines.mean() * EMBEDDING_SCALE)
        return cls(centroids, count)


class IvfPq:
    """Product quantization within the cells of a coarse quantizer; what it finds is ranked anew by the bytes."""

    def __init__(self, table: Rows, cells: Cells, *, code_bytes: int, seed: int) -> None:
        self.probes = 1
        self._table = table
        self._cells = cells
        self._index = faiss.IndexIVFPQ(
            cells.centroids, DIMENSIONS, cells.count, code_bytes, 8, faiss.METRIC_INNER_PRODUCT
        )
        self._index.train(sampled(table, FITTED_MAX, seed=seed).astype(np.float32))
        for first in range(0, len(table), _BLOCK):
            self._index.add(table[first : first + _BLOCK].astype(np.float32))

    def nearest(
        self, queries: Rows, *, count: int, dead: NDArray[np.uint8] | None = None, quick: bool = False
    ) -> Neighbours:
        """Search the cells, then compare with the bytes; nothing here is ever dead."""
        faiss.omp_set_num_threads(1)
        coarse = faiss.SearchParametersHNSW(efSearch=2 * self.probes)
        parameters = faiss.SearchParametersIVF(nprobe=self.probes, quantizer_params=coarse)
        wanted = queries.astype(np.float32)
        _, ordinals = self._index.search(wanted, max(count, RESCORED), params=parameters)
        found = self._table[ordinals].astype(np.float32)
        products = np.where(ordinals < 0, -np.inf, (found @ wanted[:, :, None])[:, :, 0])
        order = np.argsort(-products, axis=1)[:, :count]
        return np.take_along_axis(products, order, axis=1), np.take_along_axis(ordinals, order, axis=1)

    def gathered(self, ordinals: NDArray[np.int64]) -> Rows:
        """Return the bytes as they are."""
        return self._table[ordinals]

    @property
    def nbytes(self) -> int:
        """Bytes of a file of it: cells, codes and ordinals, without the bytes that re-ranking reads."""
        written: list[int] = []
        faiss.write_index(self._index, faiss.PyCallbackIOWriter(lambda part: written.append(len(part))))
        return sum(written)


@dataclass
class Exhaustive:
    """Compares with every vector of a table, for all queries at once: ask it only what it has been prepared for."""

    table: Rows
    threads: int = 1
    _found: dict[bytes, Neighbours] = field(default_factory=dict)

    def prepare(self, queries: Sequence[Rows], *, count: int) -> None:
        """Answer all these queries in one pass over the table."""
        ends = np.cumsum([len(rows) for rows in queries])[:-1]
        products, ordinals = nearest_exact(np.concatenate(queries), self.table, count=count, threads=self.threads)
        for rows, *found in zip(queries, np.split(products, ends), np.split(ordinals, ends), strict=True):
            self._found[rows.tobytes()] = (found[0], found[1])

    def nearest(
        self, queries: Rows, *, count: int, dead: NDArray[np.uint8] | None = None, quick: bool = False
    ) -> Neighbours:
        """Return what was prepared."""
        products, ordinals = self._found[queries.tobytes()]
        return products[:, :count], ordinals[:, :count]

    def gathered(self, ordinals: NDArray[np.int64]) -> Rows:
        """Return the table's rows."""
        return self.table[ordinals]


@dataclass
class Recorder:
    """Notes what is asked, and names the first vector for everything."""

    stored_by: Engine
    asked: list[Rows] = field(default_factory=list)

    def nearest(
        self, queries: Rows, *, count: int, dead: NDArray[np.uint8] | None = None, quick: bool = False
    ) -> Neighbours:
        """Note the queries."""
        self.asked.append(queries.copy())
        shape = (len(queries), count)
        return np.zeros(shape, np.float32), np.zeros(shape, np.int64)

    def gathered(self, ordinals: NDArray[np.int64]) -> Rows:
        """Return another engine's rows."""
        return self.stored_by.gathered(ordinals)


def nearest_exact(queries: Rows, table: Rows, *, count: int, threads: int = 1) -> Neighbours:
    """Return the `count` largest inner products and their ordinals, each (queries, count)."""
    faiss.omp_set_num_threads(threads)
    wanted = queries.astype(np.float32)
    products = np.full((len(queries), count), -np.inf, np.float32)
    ordinals = np.full((len(queries), count), -1, np.int64)
    for first in range(0, len(table), _BLOCK):
        block = table[first : first + _BLOCK].astype(np.float32)
        more, there = faiss.knn(wanted, block, count, metric=faiss.METRIC_INNER_PRODUCT)
        both = np.concatenate([products, more], axis=1)
        owners = np.concatenate([ordinals, np.where(there < 0, -1, there + first)], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, :count]
        products, ordinals = np.take_along_axis(both, order, axis=1), np.take_along_axis(owners, order, axis=1)
    return products, ordinals


def recall(found: NDArray[np.floating], exact: NDArray[np.floating], count: int) -> float:
    """Share of the exact `count` nearest that were found, by their inner products: of equals, any one counts.

    found, exact: inner products of bytes, (queries, >= count), the largest first; integers, but for rounding.
    """
    return float(np.mean(found[:, :count] > exact[:, count - 1 : count] - 0.5))
