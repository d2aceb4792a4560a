"""A channel's bundles in a store of objects: files by their hashes, signed manifests, and `current`, which points.

PREFIX/files/SHA256             written first, never changed
PREFIX/manifests/SEQUENCE-HASH  written next, never changed
PREFIX/current                  written last, and only over the one that was read (BUNDLES.md)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from backend.bundles.manifest import BundleFile, BundleManifest, Channel, Pointer
from backend.bundles.objects import Listed, Objects, open_objects
from backend.bundles.signatures import SEALED_BYTES_MAX, PublicKeys, read_public_keys, unseal
from backend.errors import BundleNotFound, BundleRefused, InvalidRequest, ObjectTooLarge
from backend.settings import Settings

PART_BYTES = 16 * 1024 * 1024  # read at a time; a second at 130 Mbit/s
POINTER_BYTES_MAX = 100_000  # a hundred names of 33 bytes, and more


@dataclass(frozen=True, slots=True)
class Current:
    """What `current` said when it was read."""

    pointer: Pointer
    tag: str


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle: one that its signature holds for, unless it came by `claimed`."""

    name: str  # of its manifest
    sealed: bytes
    manifest: BundleManifest


class BundleStore:
    """The bundles of one channel. Every method raises UnavailableError when the store does not answer."""

    def __init__(self, objects: Objects, channel: Channel, *, trusted: PublicKeys) -> None:
        """trusted: who may sign; by none, signatures are not asked for."""
        self._objects = objects
        self._trusted = trusted
        self.channel = channel

    # --- reading -----------------------------------------------------------------------------------------------------

    def current(self) -> Current | None:
        """Return what is published; raises BundleRefused for a pointer that is none."""
        try:
            found = self._objects.read(self._key("current"), bytes_max=POINTER_BYTES_MAX)
            if found is None:
                return None
            return Current(Pointer.model_validate_json(found[0]), found[1])
        except (ValidationError, ObjectTooLarge):
            raise BundleRefused(f"{self._key('current')} says no bundle to take: delete it, and publish anew") from None

    def pointed(self, pointer: Pointer) -> StoredBundle:
        """Return the bundle to take; raises BundleRefused, BundleNotFound."""
        bundle = self.bundle(pointer.manifest)
        if hashlib.sha256(bundle.sealed).hexdigest() != pointer.sha256:
            raise BundleRefused(f"the manifest {bundle.name} is not the one that is pointed to")
        if bundle.manifest.sequence != pointer.sequence:
            raise BundleRefused(f"the manifest {bundle.name} has the number {bundle.manifest.sequence}")
        return bundle

    def bundle(self, name: str) -> StoredBundle:
        """Return a bundle; raises BundleRefused for one that no trusted key signed, BundleNotFound."""
        return self._bundle(name, self._trusted)

    def claimed(self, name: str) -> StoredBundle:
        """Return what a bundle says of itself, whoever signed it: to be shown, not to be used. Raises as `bundle`."""
        return self._bundle(name, {})

    def _bundle(self, name: str, trusted: PublicKeys) -> StoredBundle:
        sealed = self._sealed(name)
        manifest = unseal(sealed, trusted)
        if manifest.channel != self.channel:
            raise BundleRefused(f"the manifest {name} is of the channel {manifest.channel}, not {self.channel}")
        return StoredBundle(name, sealed, manifest)

    def named_files(self, name: str) -> frozenset[str]:
        """Return the hashes of a bundle's files, whoever signed it; raises BundleRefused, BundleNotFound."""
        manifest = unseal(self._sealed(name), {})
        return frozenset(file.sha256 for file in manifest.all_files())

    def check_size(self, file: BundleFile) -> None:
        """Raise BundleRefused unless a file is there with as many bytes as it should have."""
        size = self._objects.size(self._file_key(file))
        if size != file.bytes:
            found = "is missing" if size is None else f"has {size:,} bytes in place of {file.bytes:,}"
            raise BundleRefused(f"the file {file.name} ({file.sha256[:16]}) {found}")

    def check_content(self, file: BundleFile) -> None:
        """Raise BundleRefused unless all of a file is what it should be."""
        self.check_size(file)
        digest = hashlib.sha256()
        for start in range(0, file.bytes, PART_BYTES):
            digest.update(self.read_range(file, start, min(start + PART_BYTES, file.bytes)))
        if digest.hexdigest() != file.sha256:
            raise BundleRefused(f"the file {file.name} is not the one of the manifest: its hash is another")

    def read_range(self, file: BundleFile, start: int, end: int) -> bytes:
        """Return a part of a file that `check_size` has seen; raises ObjectNotFound."""
        return self._objects.read_range(self._file_key(file), start, end)

    def manifests(self) -> Iterator[Listed]:
        """Yield all manifests, also those that are not kept; keys are names."""
        return self._listed("manifests/")

    def files(self) -> Iterator[Listed]:
        """Yield all files; keys are hashes."""
        return self._listed("files/")

    # --- writing -----------------------------------------------------------------------------------------------------

    def write_file(self, file: BundleFile, path: Path) -> None:
        """Write a file; one of the same hash gets a new date."""
        self._objects.write_file(self._file_key(file), path)

    def write_manifest(self, sequence: int, sealed: bytes) -> str:
        """Write a sealed manifest; return its name, which no other one has."""
        name = f"{sequence:016d}-{hashlib.sha256(sealed).hexdigest()[:16]}"
        self._objects.write(self._key(f"manifests/{name}"), sealed)
        return name

    def point(self, pointer: Pointer, *, instead_of: Current | None) -> bool:
        """Publish; say whether `current` was still what it was."""
        tag = instead_of.tag if instead_of else None
        if self._objects.write_if(self._key("current"), pointer.model_dump_json().encode(), tag=tag):
            return True
        found = self.current()  # an answer that was lost is asked for again, and then refused
        return found is not None and found.pointer == pointer

    def delete_manifest(self, name: str) -> None:
        """Delete a manifest that nobody points to."""
        self._objects.delete(self._key(f"manifests/{name}"))

    def delete_file_before(self, sha256: str, modified_at: float) -> bool:
        """Delete a file that no manifest names, unless it was written again meanwhile; say whether it was deleted."""
        key = self._key(f"files/{sha256}")
        if any(found.modified_at >= modified_at for found in self._objects.listed(key)):
            return False
        self._objects.delete(key)
        return True

    def _sealed(self, name: str) -> bytes:
        try:
            found = self._objects.read(self._key(f"manifests/{name}"), bytes_max=SEALED_BYTES_MAX)
        except ObjectTooLarge as error:
            raise BundleRefused(f"the manifest {name} is none: {error.detail}") from error
        if found is None:
            raise BundleNotFound(f"there is no manifest {name} in the channel {self.channel}")
        return found[0]

    def _listed(self, folder: str) -> Iterator[Listed]:
        prefix = self._key(folder)
        for listed in self._objects.listed(prefix):
            yield Listed(listed.key.removeprefix(prefix), listed.bytes, listed.modified_at)

    def _file_key(self, file: BundleFile) -> str:
        return self._key(f"files/{file.sha256}")

    def _key(self, name: str) -> str:
        return f"{self.channel}/{name}"


def open_store(settings: Settings, channel: Channel) -> BundleStore:
    """Return a channel of SONICA_BUNDLE_URL; raises InvalidRequest where nothing says who may publish there."""
    if settings.bundle_url is None:
        raise InvalidRequest("SONICA_BUNDLE_URL is unset: say where bundles are, as s3://bucket/prefix or a folder")
    trusted = read_public_keys(settings.bundle_public_keys)
    if not trusted and settings.bundle_url.startswith("s3:"):
        raise InvalidRequest(
            "SONICA_BUNDLE_PUBLIC_KEYS is unset: a bundle from elsewhere is believed by its signature alone; "
            "`sonica bundles keygen` makes a key"
        )
    return BundleStore(open_objects(settings.bundle_url, settings), channel, trusted=trusted)
