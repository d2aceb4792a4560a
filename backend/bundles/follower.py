"""Keeps an index at the bundle that is published: fetched, checked, opened beside the one in place, then swapped in.

Whatever is wrong with a bundle leaves the index as it is; `problem` says what.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from sonica_fingerprint import FINGERPRINT_VERSION

from backend.bundles.deltas import read_delta
from backend.bundles.downloads import Downloads
from backend.bundles.manifest import BundleManifest, Pointer
from backend.bundles.signatures import PublicKeys, unseal
from backend.bundles.store import BundleStore, StoredBundle
from backend.errors import BundleRefused, IndexVersionMismatch, SonicaError, UnavailableError
from backend.models import Change
from backend.ports import ChangeLog
from backend.search.faiss_index import FaissIndex

LOOKS_SPARED_MAX = 128  # between tries of a refused bundle, about an hour: a try may download all of it
_IN_PLACE = "in-place.json"  # the sealed manifest: what a start without the store begins with, and what is older
_log = structlog.stdlib.get_logger("sonica.bundles")


class BundleFollower:
    """Follows what a channel publishes. `open` comes first, then `refresh` now and then."""

    def __init__(
        self,
        index: FaissIndex,
        changes: ChangeLog,
        folder: Path,
        *,
        open_store: Callable[[], BundleStore],
        threads: int,
    ) -> None:
        """folder: of this machine's copies. threads: parts that are downloaded at a time."""
        self._index = index
        self._changes = changes
        self._folder = folder
        self._downloads = Downloads(folder / "files", threads=threads)
        self._open_store = open_store
        self._store: BundleStore | None = None
        self._refreshing = asyncio.Lock()
        self._newest: StoredBundle | None = None  # that was ever in place here
        self._refused = _Refused()
        self.in_place: BundleManifest | None = None
        self.problem: str | None = None  # why what is published is not in place
        self.failures = 0  # looks that ended so

    async def open(self, *, trusted: PublicKeys) -> bool:
        """Load what is published, else what was in place here before; say whether there was one or the other.

        Raises IndexVersionMismatch when what is published is of another fingerprint version, and nothing was here.
        """
        self._newest = await asyncio.to_thread(self._remembered, trusted)
        try:
            await self._refresh()
        except Exception as error:
            self._note(error)
            if self._newest is not None:
                with suppress(SonicaError, OSError, RuntimeError):
                    await self._open_held(self._newest)
            if self.in_place is None and isinstance(error, IndexVersionMismatch):
                raise
        return self.in_place is not None

    async def refresh(self) -> bool:
        """Look at what is published, and load it if it is another; say whether it was loaded. Raises nothing."""
        try:
            return await self._refresh()
        except Exception as error:  # also what FAISS says of a file: what is in place answers on
            self._note(error)
            return False

    def disconnect(self) -> None:
        """Forget the connections to the store; the next look opens new ones."""
        self._store = None

    def measures(self) -> dict[str, Any]:
        """Say what is in place, in numbers."""
        known = self.in_place
        return {
            "sequence": known.sequence if known else 0,
            "revision": known.revision if known else 0,
            "created_timestamp_seconds": known.created_at.timestamp() if known else 0,
            "problem": self.problem is not None,
            "failures": self.failures,
        }

    # --- a look ------------------------------------------------------------------------------------------------------

    async def _refresh(self) -> bool:
        async with self._refreshing:
            pointer = await asyncio.to_thread(self._pointer)
            if self.in_place is not None and self._newest is not None and pointer.sha256 == _hash(self._newest):
                self.problem = None
                return False
            if self._refused.spares(pointer):
                return False
            try:
                await self._load(pointer)
            except (BundleRefused, IndexVersionMismatch):
                self._refused.add(pointer)
                raise
            self.problem, self._refused = None, _Refused()
            return True

    def _pointer(self) -> Pointer:
        self._store = self._store or self._open_store()
        current = self._store.current()
        if current is None:
            raise BundleRefused(f"nothing is published in the channel {self._store.channel}")
        return current.pointer

    async def _load(self, pointer: Pointer) -> None:
        assert self._store is not None
        bundle = await asyncio.to_thread(self._store.pointed, pointer)
        self._check(bundle)
        await self._check_catalogue(bundle.manifest)
        files = list(bundle.manifest.all_files())
        places = await asyncio.to_thread(self._downloads.fetch, self._store, files)
        if self._goes_on(bundle.manifest):
            await self._apply_deltas(self._index, bundle.manifest, places)
        else:
            await self._swap_in(bundle.manifest, places)
        self.in_place, self._newest = bundle.manifest, bundle
        await asyncio.to_thread(self._remember, bundle)
        await asyncio.to_thread(self._downloads.keep_only, files)
        _log.info("bundle_loaded", sequence=bundle.manifest.sequence, revision=bundle.manifest.revision)

    async def _open_held(self, bundle: StoredBundle) -> None:
        places = await asyncio.to_thread(self._downloads.held, list(bundle.manifest.all_files()))
        self._check(bundle)
        if places is not None:
            await self._swap_in(bundle.manifest, places)
            self.in_place = bundle.manifest
            _log.warning("bundle_of_before_loaded", sequence=bundle.manifest.sequence)

    def _note(self, error: Exception) -> None:
        self.problem = error.detail if isinstance(error, SonicaError) else repr(error)
        self.failures += 1
        in_place = self.in_place.sequence if self.in_place else None
        _log.warning("bundle_not_loaded", why=self.problem, in_place=in_place)

    # --- checks ------------------------------------------------------------------------------------------------------

    def _check(self, bundle: StoredBundle) -> None:
        manifest, kind = bundle.manifest, self._index.status().kind
        if manifest.fingerprint_version != FINGERPRINT_VERSION:
            raise IndexVersionMismatch(
                f"the published index is of fingerprint version {manifest.fingerprint_version}, this program makes "
                f"version {FINGERPRINT_VERSION}; publish one of this program's by `sonica bundles publish`"
            )
        if manifest.kind != kind:
            raise BundleRefused(
                f"the bundle's vectors are kept as {manifest.kind}, this program reads {kind}: see SONICA_INDEX_KIND, "
                "or publish one of this program's by `sonica bundles publish`"
            )
        if self._newest is None or bundle.sealed == self._newest.sealed:
            return
        newest = self._newest.manifest.sequence
        if manifest.sequence <= newest:
            raise BundleRefused(
                f"bundle {manifest.sequence} is pointed to, and {newest} has been in place: to go back, "
                "`sonica bundles rollback` publishes an earlier one under a new number"
            )

    async def _check_catalogue(self, manifest: BundleManifest) -> None:
        """Raise BundleRefused for what the change log does not lead on from: it would be thrown away at once."""
        try:
            name, revision = await self._changes.name(), await self._changes.revision()
        except UnavailableError:  # the signature has to do; the next catching up will see
            return
        if manifest.catalogue != name:
            raise BundleRefused("the bundle is of another catalogue than the database")
        if manifest.revision > revision:
            raise BundleRefused(
                f"the bundle is of revision {manifest.revision}, the database of {revision}: it was restored to an "
                "earlier day; publish a new one by `sonica bundles publish --force`"
            )

    # --- taking one --------------------------------------------------------------------------------------------------

    def _goes_on(self, manifest: BundleManifest) -> bool:
        """Say whether it is what is in place, and deltas more."""
        known = self.in_place
        return (
            known is not None
            and manifest.restores is None
            and manifest.files == known.files
            and manifest.deltas[: len(known.deltas)] == known.deltas
        )

    async def _swap_in(self, manifest: BundleManifest, places: Mapping[str, Path]) -> None:
        other = await asyncio.to_thread(
            self._index.beside, places, catalogue=manifest.catalogue, revision=manifest.base_revision
        )
        other.caught_up_at = manifest.created_at.timestamp()
        await self._apply_deltas(other, manifest, places)
        with suppress(UnavailableError):  # the server catches up as soon as the database is back
            await other.catch_up()
        await self._index.take(other)

    async def _apply_deltas(self, index: FaissIndex, manifest: BundleManifest, places: Mapping[str, Path]) -> None:
        for delta in manifest.deltas:
            await index.apply(_changes(places[delta.file.name]), revision=delta.revision)

    # --- memory ------------------------------------------------------------------------------------------------------

    def _remembered(self, trusted: PublicKeys) -> StoredBundle | None:
        try:
            sealed = (self._folder / _IN_PLACE).read_bytes()
            return StoredBundle("", sealed, unseal(sealed, trusted))
        except (OSError, BundleRefused):
            return None

    def _remember(self, bundle: StoredBundle) -> None:
        path = self._folder / _IN_PLACE
        partial = path.with_suffix(".partial")
        partial.write_bytes(bundle.sealed)
        partial.replace(path)


async def _changes(path: Path) -> AsyncIterator[Change]:
    changes = read_delta(path)
    while (change := await asyncio.to_thread(next, changes, None)) is not None:
        yield change


class _Refused:
    """What was refused is tried again after 2, 4, 8 ... looks."""

    def __init__(self) -> None:
        self._pointer: Pointer | None = None
        self._times = self._spared = 0

    def add(self, pointer: Pointer) -> None:
        self._times = self._times + 1 if pointer == self._pointer else 1
        self._pointer, self._spared = pointer, 0

    def spares(self, pointer: Pointer) -> bool:
        self._spared += 1
        return pointer == self._pointer and self._spared < min(2**self._times, LOOKS_SPARED_MAX)


def _hash(bundle: StoredBundle) -> str:
    return hashlib.sha256(bundle.sealed).hexdigest()
