"""Formats that a catalogue's vectors can be squeezed into, and what is left of the vectors afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import faiss as _faiss
import numpy as np
from sonica_fingerprint import DIMENSIONS, EMBEDDING_SCALE, Fingerprint

from measurement.distractors import Rows, as_rows, rows_of, unit

faiss: Any = _faiss  # its stubs know a tenth of what it has

FITTED_MAX = 20_000  # vectors that a format learns from: 78 for each of a sub-quantizer's centroids
_BLOCK = 1 << 16
Squeeze = Callable[[Rows], Rows]


@dataclass(frozen=True, slots=True)
class Format:
    """A way to store a vector's first dimensions.

    codec: FAISS's name of it (np: centroids in no order, for ordering them would take 99 % of the time); None for the
    bytes as they are (float32 can hold no more than these); "signs" for a bit a dimension, on the query's side too:
    inner products of signs rank as Hamming distances do.
    """

    name: str
    dimensions: int
    bytes_per_vector: int
    codec: str | None

    def fitted(self, sample: Rows) -> Squeeze:
        """Learn the format from vectors of the catalogue; return what stores rows and reads them back."""
        if self.codec is None:
            return self._first
        if self.codec == "signs":
            return self._signs
        faiss.omp_set_num_threads(1)  # on a busy machine its threads wait for each other
        codec = faiss.index_factory(self.dimensions, self.codec)
        codec.train(self._first(sample)[:, : self.dimensions].astype(np.float32))

        def squeeze(rows: Rows) -> Rows:
            squeezed = np.zeros_like(rows)
            for at in range(0, len(rows), _BLOCK):
                block = self._first(rows[at : at + _BLOCK])[:, : self.dimensions].astype(np.float32)
                decoded = codec.sa_decode(codec.sa_encode(block))
                squeezed[at : at + _BLOCK, : self.dimensions] = np.rint(decoded).clip(-127, 127)
            return squeezed

        return squeeze

    def of_query(self, rows: Rows) -> Rows:
        """Return a query's rows as they are compared with stored ones: at hand in full, but for signs."""
        return self._signs(rows) if self.codec == "signs" else self._first(rows)

    def _first(self, rows: Rows) -> Rows:
        """Keep the first dimensions at full length; the others are zero."""
        if self.dimensions == DIMENSIONS:
            return rows
        kept = np.zeros_like(rows)
        kept[:, : self.dimensions] = as_rows(unit(rows[:, : self.dimensions]))
        return kept

    def _signs(self, rows: Rows) -> Rows:
        kept = np.zeros_like(rows)
        size = round(EMBEDDING_SCALE / np.sqrt(self.dimensions))
        kept[:, : self.dimensions] = np.where(rows[:, : self.dimensions] < 0, -size, size)
        return kept


def formats(dimensions: int) -> list[Format]:
    """Return all formats of so many dimensions, the largest first."""
    half, quarter = dimensions // 2, dimensions // 4
    suffix = "" if dimensions == DIMENSIONS else f" of {dimensions}"
    return [
        Format(f"float32{suffix}", dimensions, 4 * dimensions, None),
        Format(f"SQ8{suffix}", dimensions, dimensions, None),
        Format(f"SQ4{suffix}", dimensions, half, "SQ4"),
        Format(f"PQ{half}{suffix}", dimensions, half, f"PQ{half}np"),
        Format(f"PQ{quarter}{suffix}", dimensions, quarter, f"PQ{quarter}np"),
        Format(f"binary{suffix}", dimensions, dimensions // 8, "signs"),
    ]


FORMATS = (*formats(DIMENSIONS), *formats(DIMENSIONS // 2))


def squeezed(fingerprint: Fingerprint, squeeze: Squeeze) -> Fingerprint:
    """Squeeze all segments of a fingerprint."""
    return replace(fingerprint, embeddings=squeeze(rows_of(fingerprint)).tobytes())


def sampled(table: Rows, count: int, *, seed: int) -> Rows:
    """Draw rows without drawing one twice; all if there are fewer."""
    if len(table) <= count:
        return table
    return table[np.sort(np.random.default_rng(seed).choice(len(table), count, replace=False))]
