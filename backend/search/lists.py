"""The lists that compact vectors are in: one a centroid, or several, so that a query can leave most of them out."""

from __future__ import annotations

from typing import Any

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import DIMENSIONS

from backend.search.codebooks import LISTS, Codebooks

faiss: Any = _faiss  # its stubs know a tenth of what it has

LENGTH_MAX = 2_048  # vectors a list, on average: what is longer takes longer to look into than to find
SPLITS_STEP = 4  # lists that take the place of one, so that a catalogue that grows is seldom grouped anew
SPLITS_MAX = 64  # lists a centroid: their numbers are two bytes
LEARNT_FROM = 64  # vectors a list
ROUNDS = 6  # of k-means
LINKS = 16  # of the graph over all lists
BLOCK = 1 << 10  # vectors that are told apart at a time


def splits_for(vectors: int) -> int:
    """Return how many lists a centroid should have."""
    splits = 1
    while vectors > LISTS * splits * LENGTH_MAX and splits < SPLITS_MAX:
        splits *= SPLITS_STEP
    return splits


class Lists:
    """Numbered from 0 on, those of a centroid in a row; which of them a vector is in is learnt from the vectors."""

    def __init__(self, codebooks: Codebooks, *, splits: int) -> None:
        self.splits = splits
        self.count = LISTS * splits
        self._codebooks = codebooks
        self._centroids: Any = faiss.IndexFlatIP(DIMENSIONS)
        self._centroids.add(codebooks.centroids)
        ones = codebooks.centroids / np.linalg.norm(codebooks.centroids, axis=1, keepdims=True)
        self._directions = np.repeat(ones[:, None], splits, axis=1)
        self._graph: Any = self._centroids
        self._numbers = np.arange(LISTS) * splits  # of the lists in the graph: all that have vectors, or may have
        self._split = np.zeros(LISTS, np.bool_)  # whether a centroid has several lists: else its first one has all
        # What a list's vectors are encoded against: its centroid, whatever the list.
        self.quantizer: Any = self._centroids
        if splits > 1:
            self.quantizer = faiss.IndexFlatIP(DIMENSIONS)
            self.quantizer.add(np.repeat(codebooks.centroids, splits, axis=0))

    def of(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the number of each row's list, (n,)."""
        centroids: NDArray[np.int64] = self._centroids.assign(rows, 1)[:, 0]
        if self.splits == 1:
            return centroids
        numbers = centroids * self.splits
        for first in range(0, len(rows), BLOCK):
            block = slice(first, first + BLOCK)
            numbers[block] += _alike(rows[block], self._directions[centroids[block]])
        return numbers

    def near(self, queries: NDArray[np.int8], count: int) -> NDArray[np.int64]:
        """Return the numbers of the lists that queries look into, (queries, count), the nearest first."""
        count = min(count, len(self._numbers))
        parameters = None if self.splits == 1 else faiss.SearchParametersHNSW(efSearch=count + count // 4)
        _, found = self._graph.search(queries.astype(np.float32), count, params=parameters)
        return np.where(found < 0, -1, self._numbers[found])

    def decoded(self, centroids: NDArray[np.uint16], codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what codes tell of vectors, (n, 128)."""
        leftovers = self._codebooks.leftovers
        parts = leftovers[np.arange(len(leftovers)), codes]
        rows: NDArray[np.float32] = self._codebooks.centroids[centroids] + parts.reshape(-1, DIMENSIONS)
        return rows

    def learn(self, centroid: int, codes: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Tell a centroid's vectors apart; return the number of each one's list."""
        numbers = np.full(len(codes), centroid * self.splits, np.int64)
        if self.splits == 1 or len(codes) < self.splits:
            return numbers
        rows = self.decoded(np.full(len(codes), centroid, np.uint16), codes)
        faiss.omp_set_num_threads(1)  # so few vectors that threads would only wait for each other
        clusters = faiss.Kmeans(
            DIMENSIONS, self.splits, niter=ROUNDS, spherical=True, seed=1, min_points_per_centroid=1,
            max_points_per_centroid=LEARNT_FROM,
        )  # fmt: skip
        clusters.train(rows[:: max(1, len(rows) // (LEARNT_FROM * self.splits))])
        self._directions[centroid], self._split[centroid] = clusters.centroids, True
        numbers += (rows @ clusters.centroids.T).argmax(axis=1)
        return numbers

    def learnt(self) -> None:
        """Have queries find the lists that `learn` told apart."""
        if self.splits > 1:
            used = np.repeat(self._split, self.splits)
            used[:: self.splits] = True
            self._numbers = np.flatnonzero(used)
            self._graph = faiss.IndexHNSWFlat(DIMENSIONS, LINKS, faiss.METRIC_INNER_PRODUCT)
            self._graph.add(self._directions.reshape(-1, DIMENSIONS)[used])


def _alike(rows: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.int64]:
    products: NDArray[np.float32] = np.einsum("nd,nkd->nk", rows, directions)
    alike: NDArray[np.int64] = products.argmax(axis=1)
    return alike
