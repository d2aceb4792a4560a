"""An index over a folder of songs without a database, for measurements that fork."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from sonica_fingerprint import Fingerprint, extract
from training.corpus import read

from backend.models import CATALOGUE_THINNING, Change
from backend.search.faiss_index import FaissIndex
from backend.settings import Settings

SONG_SECONDS_MAX = 3 * 3600


@dataclass(frozen=True)
class FixedCatalogue:
    """A change log over fingerprints; song n+1 is path n."""

    fingerprints: list[Fingerprint]

    async def name(self) -> str:
        """Return its only name."""
        return "fixed"

    async def revision(self) -> int:
        """Return the newest revision."""
        return len(self.fingerprints)

    async def changes(self, *, after_revision: int) -> AsyncIterator[Change]:
        """Yield one change a song."""
        for number in range(after_revision, len(self.fingerprints)):
            yield Change(number + 1, number + 1, self.fingerprints[number])


def index_of(paths: list[Path]) -> FaissIndex:
    """Fingerprint the songs and index them as the product does; song n+1 is path n."""
    shown = track(paths, "catalogue", console=Console(stderr=True))
    prints = [extract(read(path, 0, SONG_SECONDS_MAX).astype(np.float32)).thinned(CATALOGUE_THINNING) for path in shown]
    catalogue, depth = FixedCatalogue(prints), Settings().hnsw_search_depth
    return asyncio.run(FaissIndex.open(Path("unused"), catalogue, search_depth=depth, fresh=True))
