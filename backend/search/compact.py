"""Vectors of 32 bytes in lists: a third of the graph's size, for some of its accuracy (Jégou et al. 2011).

A vector is kept as the nearest of 1,024 centroids and, by product quantisation, what that leaves over: the cosine
between a vector and what is kept of it is .96. A centroid's vectors are in one list or, once there are many, several.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import DIMENSIONS, EMBEDDING_SCALE

from backend.search.codebooks import CODE_BYTES, LISTS, Codebooks
from backend.search.hnsw import Neighbours, all_but
from backend.search.lists import Lists, splits_for

faiss: Any = _faiss  # its stubs know a tenth of what it has

PROBES = 256  # lists that a query looks into, nearest first, as long as it has not compared with enough:
SCANNED_PER_ROOT = 32  # so many vectors times the square root of all; README has the recall
SCANNED_MAX = 60_000  # and no more: 50 ms for the 16 segments of a query are to be enough; docs/scale.md has the recall
LIST_BYTES = 2  # of the number of a vector's centroid, in front of its code
ID_BYTES = 8  # of a vector's ordinal in its list

_List: TypeAlias = tuple[NDArray[np.int64], NDArray[np.uint8]]


class CompactVectors:
    """Grows by `add`, every vector at the ordinal of its turn. Searches may run side by side, but not beside an add."""

    def __init__(self, *, splits: int = 1) -> None:
        """splits: lists a centroid; files do not tell of them."""
        codebooks = Codebooks.shipped()  # the same for every catalogue: what is kept of a vector is not learnt
        self.kind = f"compact {codebooks.name}"  # what `read` can read: other codebooks are another kind
        self._numbers: NDArray[np.uint16]  # each ordinal's list; longer than what it holds, so that adding is cheap
        self._group(splits)

    def add(self, vectors: NDArray[np.int8], *, threads: int) -> None:
        """Append vectors, shape (n, 128)."""
        faiss.omp_set_num_threads(threads)  # of the calling thread's OpenMP alone
        rows = np.ascontiguousarray(vectors, np.float32)
        numbers = self._lists.of(rows)
        first, end = self._index.ntotal, self._index.ntotal + len(rows)
        if end > len(self._numbers):
            self._numbers = np.resize(self._numbers, end + end // 8)
        self._numbers[first:end] = numbers
        self._shown.clear()
        self._index.add_core(len(rows), faiss.swig_ptr(rows), None, faiss.swig_ptr(numbers))

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
        faiss.omp_set_num_threads(1)  # many requests share the cores; a query's threads would only wait for each other
        enough = min(round(SCANNED_PER_ROOT * math.sqrt(self._index.ntotal)), SCANNED_MAX)
        return self._search(queries, self._lists.near(queries, PROBES), count, dead, enough=enough)

    def nearest_exact(
        self, queries: NDArray[np.int8], *, count: int, dead: NDArray[np.uint8] | None = None
    ) -> Neighbours:
        """Return what `nearest` would if it looked at every vector: the yardstick of its recall."""
        everywhere = np.tile(np.arange(self._lists.count), (len(queries), 1))
        return self._search(queries, everywhere, count, dead, enough=0)

    def stored(self, first: int, count: int) -> NDArray[np.int8]:
        """Return vectors as the codes tell them, (count, 128), as long as those that were added."""
        return self.gathered(np.arange(first, first + count))

    def gathered(self, ordinals: NDArray[np.int64]) -> NDArray[np.int8]:
        """Return the vectors of these ordinals as `stored` does, (n, 128)."""
        if len(ordinals) == 0:
            return np.empty((0, DIMENSIONS), np.int8)
        numbers = self._numbers[ordinals]
        codes = np.empty((len(ordinals), CODE_BYTES), np.uint8)
        for row, (number, ordinal) in enumerate(zip(numbers.tolist(), ordinals.tolist(), strict=True)):
            listed, listed_codes = self._shown.get(number) or self._list(number)
            codes[row] = listed_codes[listed.searchsorted(ordinal)]
        rows = self._lists.decoded(self._centroids_of(numbers), codes)
        rows *= EMBEDDING_SCALE / np.linalg.norm(rows, axis=1, keepdims=True)
        vectors: NDArray[np.int8] = np.rint(rows).clip(-127, 127).astype(np.int8)
        return vectors

    @property
    def nbytes(self) -> int:
        """Bytes of codes, lists and ordinals in memory; a file lacks the ordinals."""
        return int(self._index.ntotal) * (CODE_BYTES + LIST_BYTES + ID_BYTES)

    @property
    def outgrown(self) -> bool:
        """Whether the lists have become so long that searches look into too few."""
        return splits_for(self._index.ntotal) > self._lists.splits

    def regrouped(self) -> CompactVectors:
        """Return the same vectors in as many lists as they need; takes a second a million."""
        other = CompactVectors(splits=splits_for(self._index.ntotal))
        other._numbers = np.empty_like(self._numbers)
        for centroid in range(LISTS):
            other._fill(centroid, *self._of_centroid(centroid))
        other._filled(self._index.ntotal)
        return other

    def write(self, path: Path) -> None:
        """Write a file that `read` takes: for each ordinal the number of its centroid, and its code."""
        table = np.empty((self._index.ntotal, LIST_BYTES + CODE_BYTES), np.uint8)
        table[:, :LIST_BYTES] = _as_bytes(self._centroids_of(self._numbers[: len(table)]))
        for number in range(self._lists.count):
            ordinals, codes = self._list(number)
            table[ordinals, LIST_BYTES:] = codes
        with path.open("wb") as file:
            np.save(file, table, allow_pickle=False)

    def read(self, path: Path) -> None:
        """Replace the content by that of a file."""
        table: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
        self._group(splits_for(len(table)))
        self._numbers = np.empty(len(table), np.uint16)
        centroids = table[:, :LIST_BYTES].copy().view("<u2")[:, 0].astype(np.uint16)
        by_centroid = np.argsort(centroids, kind="stable")
        bounds = np.searchsorted(centroids[by_centroid], np.arange(LISTS + 1))
        for centroid, (start, end) in enumerate(pairwise(bounds)):
            ordinals = by_centroid[start:end].astype(np.int64)
            self._fill(centroid, ordinals, np.ascontiguousarray(table[ordinals, LIST_BYTES:]))
        self._filled(len(table))

    # --- lists -------------------------------------------------------------------------------------------------------

    def _group(self, splits: int) -> None:
        """Start with empty lists."""
        codebooks = Codebooks.shipped()
        self._lists = Lists(codebooks, splits=splits)
        inner_product = faiss.METRIC_INNER_PRODUCT
        self._index: Any = faiss.IndexIVFPQ(
            self._lists.quantizer, DIMENSIONS, self._lists.count, CODE_BYTES, 8, inner_product
        )
        faiss.copy_array_to_vector(codebooks.leftovers.ravel(), self._index.pq.centroids)
        self._index.is_trained = True
        self._numbers = np.empty(
            0, np.uint16
        )  # each ordinal's list; longer than what it holds, so that adding is cheap
        self._shown: dict[int, _List] = {}  # until the next add, which may move them

    def _fill(self, centroid: int, ordinals: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        """Put all vectors of a centroid, ascending by ordinal, into its lists, which are told apart by them."""
        numbers = self._lists.learn(centroid, codes)
        self._numbers[ordinals] = numbers
        for number in np.unique(numbers):
            chosen = numbers == number
            ids, bytes_ = ordinals[chosen], np.ascontiguousarray(codes[chosen])
            self._index.invlists.add_entries(int(number), len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(bytes_))

    def _filled(self, count: int) -> None:
        self._lists.learnt()
        self._index.ntotal = count

    def _centroids_of(self, numbers: NDArray[np.uint16]) -> NDArray[np.uint16]:
        centroids: NDArray[np.uint16] = numbers // self._lists.splits
        return centroids

    def _of_centroid(self, centroid: int) -> _List:
        """Return the ordinals, ascending, and the codes of a centroid."""
        splits = self._lists.splits
        ordinals, codes = zip(*map(self._list, range(centroid * splits, (centroid + 1) * splits)), strict=True)
        merged = np.concatenate(ordinals)
        order = np.argsort(merged, kind="stable")
        return merged[order], np.concatenate(codes)[order]

    def _list(self, number: int) -> _List:
        """Show a list's ordinals, ascending, and their codes, (n, 32), in FAISS's own memory."""
        lists, length = self._index.invlists, self._index.get_list_size(number)
        ordinals, codes = np.empty(0, np.int64), np.empty(0, np.uint8)
        if length:
            ordinals = faiss.rev_swig_ptr(lists.get_ids(number), length)
            codes = faiss.rev_swig_ptr(lists.get_codes(number), length * CODE_BYTES)
        self._shown[number] = shown = (ordinals, codes.reshape(length, CODE_BYTES))
        return shown

    # --- search ------------------------------------------------------------------------------------------------------

    def _search(
        self,
        queries: NDArray[np.int8],
        numbers: NDArray[np.int64],
        count: int,
        dead: NDArray[np.uint8] | None,
        *,
        enough: int,
    ) -> Neighbours:
        """Look into lists, (queries, n), until `enough` vectors were compared with; 0 for all."""
        chosen = {} if dead is None else {"sel": all_but(dead)}
        parameters = faiss.SearchParametersIVF(nprobe=numbers.shape[1], max_codes=enough, **chosen)
        wanted, numbers = queries.astype(np.float32), np.ascontiguousarray(numbers, np.int64)
        known = np.zeros(numbers.shape, np.float32)  # FAISS computes it itself
        products = np.empty((len(queries), count), np.float32)
        ordinals = np.empty((len(queries), count), np.int64)
        pointers = map(faiss.swig_ptr, (numbers, known, products, ordinals))
        self._index.search_preassigned_c(len(wanted), faiss.swig_ptr(wanted), count, *pointers, False, parameters)
        return products, ordinals


def _as_bytes(centroids: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return centroids.astype("<u2").view(np.uint8).reshape(-1, LIST_BYTES)
