"""The hot index that a node answers from: what is published is fetched, checked, opened and swapped in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sonica_fingerprint import FINGERPRINT_VERSION, Fingerprint, FingerprintError
from sonica_fingerprint.hot_index import HotIndex

from backend.bundles.downloads import Downloads
from backend.bundles.manifest import BundleManifest
from backend.bundles.signatures import PublicKeys, read_public_keys, unseal
from backend.bundles.store import BundleStore, StoredBundle, open_store
from backend.errors import BundleRefused, IndexVersionMismatch, SonicaError
from backend.settings import Settings

_IN_PLACE = "in-place.json"  # the sealed manifest: what a start without the store begins with, and what is older
_log = structlog.stdlib.get_logger("sonica.edge_node")


class HotSongs:
    """The newest hot index that is in order. `open` comes first, then `refresh` now and then; neither raises."""

    def __init__(
        self, folder: Path, *, open_store: Callable[[], BundleStore], trusted: PublicKeys, threads: int
    ) -> None:
        """folder: of this machine's copies. threads: parts that are downloaded at a time."""
        self._folder = folder
        self._open_store = open_store
        self._trusted = trusted
        self._downloads = Downloads(folder / "files", threads=threads)
        self._index: HotIndex | None = None
        self.in_place: BundleManifest | None = None
        self.problem: str | None = None  # why what is published is not in place

    @classmethod
    def from_settings(cls, settings: Settings) -> HotSongs:
        """Follow the channel `hot` of SONICA_BUNDLE_URL; raises InvalidRequest for settings that cannot be meant."""
        open_store(settings, "hot")
        return cls(
            (settings.bundle_dir or settings.data_dir / "bundles") / "hot",
            open_store=partial(open_store, settings, "hot"),
            trusted=read_public_keys(settings.bundle_public_keys),
            threads=settings.bundle_downloads_max,
        )

    @property
    def version(self) -> str | None:
        """The catalogue state that answers come from, None without a bundle."""
        return None if self._index is None else self._index.version

    async def open(self) -> None:
        """Load what was in place here before, then what is published."""
        with suppress(SonicaError, FingerprintError, OSError):
            await asyncio.to_thread(self._take_held)
        await self.refresh()

    async def refresh(self) -> bool:
        """Look at what is published, and load it if it is another; say whether it was loaded."""
        try:
            loaded = await asyncio.to_thread(self._refresh)
        except Exception as error:  # whatever it is: what is in place answers on
            self.problem = error.detail if isinstance(error, SonicaError) else repr(error)
            _log.warning("bundle_not_loaded", why=self.problem, in_place=self.in_place and self.in_place.sequence)
            return False
        self.problem = None
        return loaded

    async def recognize(self, query: Fingerprint) -> dict[str, Any] | None:
        """Return status, reason and matches; None without a bundle, and for a query that is too long for it."""
        index = self._index
        return None if index is None else await asyncio.to_thread(index.recognize, query)

    def _refresh(self) -> bool:
        store = self._open_store()
        current = store.current()
        if current is None:
            raise BundleRefused("nothing is published in the channel hot: `sonica bundles publish --hot N`")
        if self.in_place is not None and current.pointer.sha256 == self._newest_hash():
            return False
        bundle = store.pointed(current.pointer)
        if self.in_place is not None and bundle.manifest.sequence <= self.in_place.sequence:
            raise BundleRefused(
                f"bundle {bundle.manifest.sequence} is pointed to, {self.in_place.sequence} is in place"
            )
        files = list(bundle.manifest.all_files())
        self._take(bundle, self._downloads.fetch(store, files))
        partial_file = self._folder / f"{_IN_PLACE}.partial"
        partial_file.write_bytes(bundle.sealed)
        partial_file.replace(self._folder / _IN_PLACE)
        self._downloads.keep_only(files)
        return True

    def _take_held(self) -> None:
        sealed = (self._folder / _IN_PLACE).read_bytes()
        manifest = unseal(sealed, self._trusted)
        places = self._downloads.held(list(manifest.all_files()))
        if places is not None:
            self._take(StoredBundle("", sealed, manifest), places)

    def _take(self, bundle: StoredBundle, places: dict[str, Path]) -> None:
        if bundle.manifest.fingerprint_version != FINGERPRINT_VERSION:
            raise IndexVersionMismatch(
                f"the hot bundle is of fingerprint version {bundle.manifest.fingerprint_version}, this program makes "
                f"version {FINGERPRINT_VERSION}"
            )
        self._index = HotIndex(places[bundle.manifest.files[0].name].read_bytes())  # it has but one
        self.in_place = bundle.manifest
        _log.info("bundle_loaded", sequence=bundle.manifest.sequence, songs=self._index.songs)

    def _newest_hash(self) -> str:
        try:
            return hashlib.sha256((self._folder / _IN_PLACE).read_bytes()).hexdigest()
        except OSError:
            return ""
