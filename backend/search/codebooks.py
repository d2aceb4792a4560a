"""What compact vectors are told apart by, the same for every catalogue; scripts/train_codebooks.py makes it."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import DIMENSIONS, FINGERPRINT_VERSION

from backend.errors import IndexVersionMismatch

FILE = "codebooks.npz"
LISTS = 1024
CODE_BYTES = 32  # a byte for every four components
PARTS = (CODE_BYTES, 256, DIMENSIONS // CODE_BYTES)


@dataclass(frozen=True, slots=True, eq=False)
class Codebooks:
    """Centroids, (LISTS, 128), all of one length, and what a code's bytes stand for, PARTS; both rounded to bytes."""

    name: str
    centroids: NDArray[np.float32]
    leftovers: NDArray[np.float32]

    @classmethod
    def of(cls, content: bytes) -> Codebooks:
        """Read a file's content; raise IndexVersionMismatch when it is of another fingerprint version."""
        with np.load(io.BytesIO(content)) as arrays:
            if (version := int(arrays["fingerprint_version"])) != FINGERPRINT_VERSION:
                raise IndexVersionMismatch(
                    f"the compact index's codebooks are of fingerprint version {version}, this program makes version "
                    f"{FINGERPRINT_VERSION}; run scripts/train_codebooks.py, or set SONICA_INDEX_KIND=hnsw"
                )
            centroids, leftovers = (arrays[name].astype(np.float32) for name in ("centroids", "leftovers"))
        name = hashlib.sha256(content).hexdigest()[:8]
        return cls(name, centroids.reshape(LISTS, DIMENSIONS), leftovers.reshape(PARTS))

    @classmethod
    @cache
    def shipped(cls) -> Codebooks:
        """Return those of this program."""
        return cls.of(resources.files("backend.search").joinpath(FILE).read_bytes())


def to_file(centroids: NDArray[np.floating], leftovers: NDArray[np.floating]) -> bytes:
    """Return what `Codebooks.of` reads, for this program's fingerprint version."""
    rounded = {"centroids": centroids, "leftovers": leftovers}
    arrays = {name: np.rint(values).clip(-127, 127).astype(np.int8) for name, values in rounded.items()}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, fingerprint_version=np.int32(FINGERPRINT_VERSION), **arrays)
    return file.getvalue()
