"""Publishes an index: by the changes since the bundle that stands, where those are few, else whole."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sonica_fingerprint import DIMENSIONS, FINGERPRINT_VERSION
from sonica_fingerprint.bundle import read_bundle

from backend.bundles.deltas import DeltaWriter
from backend.bundles.manifest import BundleManifest, Facts
from backend.bundles.publisher import Publisher
from backend.bundles.store import StoredBundle
from backend.errors import BundleConflict
from backend.ports import ChangeLog
from backend.search.faiss_index import FaissIndex
from backend.search.index import IndexStatus

DELTAS_SHARE_MAX = 0.25  # of all segments: readers add those of deltas one by one
TURNS_MAX = 3  # others may publish as often while a delta is made

HOT_FILE = "hot-index.bundle"

_FILE = "delta"
_SEGMENT_BYTES = DIMENSIONS + 1  # of a fingerprint in the wire format


@dataclass(frozen=True, slots=True)
class Plan:
    """How an index is to be published."""

    whole: bool = False  # also where a delta would do, or nothing has changed
    force: bool = False  # whatever stands there
    deltas_max: int = 0


async def publish_index(index: FaissIndex, changes: ChangeLog, publisher: Publisher, plan: Plan) -> StoredBundle | None:
    """Publish what the index holds; return the bundle, None where the one that stands is the same.

    Raises BundleConflict where a newer one stands, BundleRefused for one that cannot be believed.
    """
    with tempfile.TemporaryDirectory(prefix="sonica-bundle-") as folder:
        for _ in range(TURNS_MAX):
            standing = None if plan.whole or plan.force else await asyncio.to_thread(publisher.standing)
            facts = _facts(index, index.status())
            if standing is not None and _same(standing.manifest, facts):
                return None
            if standing is None or not _may_grow(standing.manifest, facts, plan):
                break
            delta = await _write_delta(Path(folder) / _FILE, changes, standing.manifest, facts)
            if delta is None:
                break
            try:
                return await asyncio.to_thread(
                    publisher.publish_delta, facts, Path(folder) / _FILE, delta.changes, after=standing
                )
            except BundleConflict:
                continue  # another one stands there now
        return await asyncio.to_thread(_publish_whole, index, publisher, Path(folder), plan)


def publish_hot(body: bytes, *, catalogue: str, revision: int, publisher: Publisher, plan: Plan) -> StoredBundle | None:
    """Publish a bundle of the hot index; return None where the one that stands is the same. Blocks.

    catalogue, revision: of the index that it was made of. Raises BundleConflict, BundleRefused.
    """
    hot = read_bundle(body)
    facts = Facts(
        kind="hot",
        fingerprint_version=FINGERPRINT_VERSION,
        catalogue=catalogue,
        revision=revision,
        songs=hot.songs,
        segments=hot.segments,
    )
    standing = None if plan.whole or plan.force else publisher.standing()
    if standing is not None and standing.manifest.files[0].sha256 == hashlib.sha256(body).hexdigest():
        return None
    with tempfile.TemporaryDirectory(prefix="sonica-bundle-") as folder:
        path = Path(folder) / HOT_FILE
        path.write_bytes(body)
        return publisher.publish(facts, {HOT_FILE: path}, force=plan.force)


def _publish_whole(index: FaissIndex, publisher: Publisher, folder: Path, plan: Plan) -> StoredBundle:
    content = folder / "whole"
    content.mkdir()
    facts = _facts(index, index.export(content))
    return publisher.publish(facts, {path.name: path for path in content.iterdir()}, force=plan.force)


async def _write_delta(path: Path, changes: ChangeLog, base: BundleManifest, facts: Facts) -> DeltaWriter | None:
    """Write the changes since; None where they are too many for a delta."""
    bytes_max = DELTAS_SHARE_MAX * base.segments * _SEGMENT_BYTES - sum(delta.file.bytes for delta in base.deltas)
    with DeltaWriter(path) as delta:
        async for change in changes.changes(after_revision=base.revision):
            if change.revision > facts.revision:  # the index has not seen it
                break
            await asyncio.to_thread(delta.add, change)
            if delta.bytes > bytes_max:
                return None
    return delta


def _facts(index: FaissIndex, status: IndexStatus) -> Facts:
    return Facts(
        kind=status.kind,
        fingerprint_version=status.fingerprint_version,
        catalogue=index.catalogue,
        revision=status.revision,
        songs=status.songs,
        segments=status.segments - status.dead_segments,
    )


def _of_one_line(standing: BundleManifest, facts: Facts) -> bool:
    line = ("kind", "fingerprint_version", "catalogue")
    return all(getattr(standing, name) == getattr(facts, name) for name in line)


def _same(standing: BundleManifest, facts: Facts) -> bool:
    return _of_one_line(standing, facts) and standing.revision == facts.revision


def _may_grow(standing: BundleManifest, facts: Facts, plan: Plan) -> bool:
    return (
        _of_one_line(standing, facts) and standing.revision < facts.revision and len(standing.deltas) < plan.deltas_max
    )
