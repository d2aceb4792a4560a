"""Vectors of 32 bytes in 1,024 lists: a third of the graph's size, for some of its accuracy (Jégou et al. 2011).

A vector is kept as its list's centroid and, by product quantisation, what that leaves over: the cosine between a vector
and what is kept of it is .96.
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

faiss: Any = _faiss  # its stubs know a tenth of what it has

PROBES = 256  # lists that a query looks into, nearest first, as long as it has not compared with enough:
SCANNED_PER_ROOT = 32  # so many vectors times the square root of all; README has the recall
LIST_BYTES = 2  # of the number of a vector's list, in front of its code
ID_BYTES = 8  # of a vector's ordinal in its list

_List: TypeAlias = tuple[NDArray[np.int64], NDArray[np.uint8]]


class CompactVectors:
    """Grows by `add`, every vector at the ordinal of its turn. Searches may run side by side, but not beside an add."""

    def __init__(self) -> None:
        codebooks = Codebooks.shipped()  # the same for every catalogue: nothing is learnt
        self.kind = f"compact {codebooks.name}"  # what `read` can read: other codebooks are another kind
        self._centroids: Any = faiss.IndexFlatIP(DIMENSIONS)
        self._centroids.add(codebooks.centroids)
        inner_product = faiss.METRIC_INNER_PRODUCT
        self._index: Any = faiss.IndexIVFPQ(self._centroids, DIMENSIONS, LISTS, CODE_BYTES, 8, inner_product)
        faiss.copy_array_to_vector(codebooks.leftovers.ravel(), self._index.pq.centroids)
        self._index.is_trained = True
        self._lists = np.empty(0, np.uint16)  # each ordinal's; longer than what it holds, so that adding is cheap
        self._shown: dict[int, _List] = {}  # until the next add, which may move them

    def add(self, vectors: NDArray[np.int8], *, threads: int) -> None:
        """Append vectors, shape (n, 128)."""
        faiss.omp_set_num_threads(threads)  # of the calling thread's OpenMP alone
        rows = np.ascontiguousarray(vectors, np.float32)
        lists = self._centroids.assign(rows, 1)
        first, end = self._index.ntotal, self._index.ntotal + len(rows)
        if end > len(self._lists):
            self._lists = np.resize(self._lists, end + end // 8)
        self._lists[first:end] = lists[:, 0]
        self._shown.clear()
        self._index.add_core(len(rows), faiss.swig_ptr(rows), None, faiss.swig_ptr(lists))

    def nearest(self, queries: NDArray[np.int8], *, count: int, dead: NDArray[np.uint8] | None = None) -> Neighbours:
        """Return inner products and ordinals, each (queries, count); ordinal -1 where there are fewer.

        dead: bits of the ordinals to pass over, which would take the places of those that count.
        """
        faiss.omp_set_num_threads(1)  # many requests share the cores; a query's threads would only wait for each other
        enough = round(SCANNED_PER_ROOT * math.sqrt(self._index.ntotal))
        return self._search(queries, count, dead, {"nprobe": PROBES, "max_codes": enough})

    def nearest_exact(
        self, queries: NDArray[np.int8], *, count: int, dead: NDArray[np.uint8] | None = None
    ) -> Neighbours:
        """Return what `nearest` would if it looked at every vector: the yardstick of its recall."""
        return self._search(queries, count, dead, {"nprobe": LISTS})

    def stored(self, first: int, count: int) -> NDArray[np.int8]:
        """Return vectors as the codes tell them, (count, 128), as long as those that were added."""
        if count == 0:
            return np.empty((0, DIMENSIONS), np.int8)
        rows = self._index.sa_decode(self._listed_codes(first, count))
        rows *= EMBEDDING_SCALE / np.linalg.norm(rows, axis=1, keepdims=True)
        vectors: NDArray[np.int8] = np.rint(rows).clip(-127, 127).astype(np.int8)
        return vectors

    @property
    def nbytes(self) -> int:
        """Bytes of codes, lists and ordinals in memory; a file lacks the ordinals."""
        return int(self._index.ntotal) * (CODE_BYTES + LIST_BYTES + ID_BYTES)

    def write(self, path: Path) -> None:
        """Write a file that `read` takes: for each ordinal the number of its list, and its code."""
        table = np.empty((self._index.ntotal, LIST_BYTES + CODE_BYTES), np.uint8)
        table[:, :LIST_BYTES] = _as_bytes(self._lists[: len(table)])
        for number in range(LISTS):
            ordinals, codes = self._list(number)
            table[ordinals, LIST_BYTES:] = codes
        with path.open("wb") as file:
            np.save(file, table, allow_pickle=False)

    def read(self, path: Path) -> None:
        """Replace the content by that of a file."""
        table: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
        self._shown.clear()
        self._index.reset()
        self._lists = table[:, :LIST_BYTES].copy().view("<u2")[:, 0].astype(np.uint16)
        by_list = np.argsort(self._lists, kind="stable")
        bounds = np.searchsorted(self._lists[by_list], np.arange(LISTS + 1))
        for number, (start, end) in enumerate(pairwise(bounds)):
            ordinals = by_list[start:end].astype(np.int64)
            codes = np.ascontiguousarray(table[ordinals, LIST_BYTES:])
            self._index.invlists.add_entries(number, len(codes), faiss.swig_ptr(ordinals), faiss.swig_ptr(codes))
        self._index.ntotal = len(table)

    def _search(
        self, queries: NDArray[np.int8], count: int, dead: NDArray[np.uint8] | None, parameters: dict[str, Any]
    ) -> Neighbours:
        chosen = {} if dead is None else {"sel": all_but(dead)}
        parameters = faiss.SearchParametersIVF(**parameters, **chosen)
        products, ordinals = self._index.search(queries.astype(np.float32), count, params=parameters)
        return products, ordinals

    def _listed_codes(self, first: int, count: int) -> NDArray[np.uint8]:
        """Look up codes of neighbouring ordinals, each behind the number of its list, as FAISS decodes them."""
        lists = self._lists[first : first + count]
        found = np.empty((count, LIST_BYTES + CODE_BYTES), np.uint8)
        found[:, :LIST_BYTES] = _as_bytes(lists)
        for row, number in enumerate(lists.tolist()):
            ordinals, codes = self._shown.get(number) or self._list(number)
            found[row, LIST_BYTES:] = codes[ordinals.searchsorted(first + row)]
        return found

    def _list(self, number: int) -> _List:
        """Show a list's ordinals, ascending, and their codes, (n, 32), in FAISS's own memory."""
        lists, length = self._index.invlists, self._index.get_list_size(number)
        ordinals, codes = np.empty(0, np.int64), np.empty(0, np.uint8)
        if length:
            ordinals = faiss.rev_swig_ptr(lists.get_ids(number), length)
            codes = faiss.rev_swig_ptr(lists.get_codes(number), length * CODE_BYTES)
        self._shown[number] = shown = (ordinals, codes.reshape(length, CODE_BYTES))
        return shown


def _as_bytes(lists: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return lists.astype("<u2").view(np.uint8).reshape(-1, LIST_BYTES)
