"""The index of a server that takes its bundles from SONICA_BUNDLE_URL."""

from __future__ import annotations

import asyncio
from functools import partial

from backend.bundles.follower import BundleFollower
from backend.bundles.signatures import read_public_keys
from backend.bundles.store import open_store
from backend.ports import ChangeLog
from backend.search.faiss_index import FaissIndex, IndexKind
from backend.settings import Settings


async def open_bundled_index(
    settings: Settings, changes: ChangeLog, *, kind: IndexKind, alone: bool = False
) -> tuple[FaissIndex, BundleFollower]:
    """Open what is published, caught up from the change log; where nothing can be taken, make it as without bundles.

    alone: the log is away, what was published or saved has to do; the index's `caught_up_at` is 0 where there is none.
    Raises InvalidRequest for settings that cannot be meant, IndexVersionMismatch for a bundle of another program's.
    """
    await asyncio.to_thread(open_store, settings, kind)  # what is wrong with the settings ends the start
    index = FaissIndex(
        settings.data_dir / "index",
        changes,
        search_depth=settings.hnsw_search_depth,
        kind=kind,
        shard_segments=settings.index_shard_segments,
    )
    folder = (settings.bundle_dir or settings.data_dir / "bundles") / kind
    follower = BundleFollower(
        index,
        changes,
        folder,
        open_store=partial(open_store, settings, kind),
        threads=settings.bundle_downloads_max,
    )
    if not await follower.open(trusted=read_public_keys(settings.bundle_public_keys)):
        await asyncio.to_thread(index.load_snapshot)
        if not alone:
            await index.catch_up()
    return index, follower
