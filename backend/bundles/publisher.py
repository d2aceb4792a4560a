"""Publishes bundles: files first, the signed manifest next, `current` last and only over what was read before.

What `current` names is kept. So whoever published, went back or collected meanwhile is seen: `current` is another then,
the turn is lost, and what is to be written is thought over anew. A publisher that is killed leaves what nobody names.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.bundles.manifest import BundleDelta, BundleFile, BundleManifest, Facts, Pointer
from backend.bundles.signatures import seal
from backend.bundles.store import BundleStore, Current, StoredBundle
from backend.errors import BundleConflict, BundleNotFound, BundleRefused

TURNS_MAX = 8  # others may be faster so often


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a publisher goes by until `current` is another."""

    current: Current | None
    standing: StoredBundle | None  # None also where it cannot be believed, and need not be
    sequence: int  # of the bundle to come


_Draft = Callable[[_Turn], BundleManifest]


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept of a channel: so many bundles, and for so long what nobody names."""

    bundles: int
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class Collected:
    """What was deleted, because no bundle that is kept has it."""

    manifests: int = 0
    files: int = 0
    bytes: int = 0


class Publisher:
    """Writes one channel. Every method raises UnavailableError when the store does not answer."""

    def __init__(self, store: BundleStore, key: Ed25519PrivateKey | None, keeping: Keeping) -> None:
        """key: that signs; none makes bundles that only readers without keys believe."""
        self._store = store
        self._key = key
        self._keeping = keeping

    def standing(self) -> StoredBundle | None:
        """Return the bundle that is published; raises BundleRefused, BundleNotFound."""
        current = self._store.current()
        return self._store.pointed(current.pointer) if current else None

    def publish(self, facts: Facts, files: Mapping[str, Path], *, force: bool = False) -> StoredBundle:
        """Publish a whole index, whose files these are by name.

        force: also in place of a newer one, of one of another catalogue or of one that cannot be believed.
        Raises BundleConflict.
        """
        sources = {_described(name, path): path for name, path in files.items()}

        def draft(turn: _Turn) -> BundleManifest:
            if turn.standing is not None and not force:
                _check_newer(facts, turn.standing.manifest)
            return BundleManifest(
                **facts.model_dump(),
                channel=self._store.channel,
                sequence=turn.sequence,
                created_at=datetime.now(UTC),
                base_revision=facts.revision,
                files=tuple(sources),
            )

        return self._publish(draft, sources, force=force)

    def publish_delta(self, facts: Facts, delta: Path, changes: int, *, after: StoredBundle) -> StoredBundle:
        """Publish the changes since a bundle; raises BundleConflict when that one stands no longer."""
        file = _described(f"changes-{after.manifest.revision}-{facts.revision}.delta", delta)

        def draft(turn: _Turn) -> BundleManifest:
            if turn.standing is None or turn.standing.name != after.name:
                raise BundleConflict("another bundle was published meanwhile, which the delta does not fit")
            step = BundleDelta(
                after_revision=after.manifest.revision, revision=facts.revision, changes=changes, file=file
            )
            deltas = (*after.manifest.deltas, step)
            return _changed(after.manifest, turn, **facts.model_dump(), deltas=deltas, restores=None)

        return self._publish(draft, {file: delta})

    def roll_back(self, sequence: int | None = None) -> StoredBundle:
        """Publish an earlier bundle again, under a new number; unless named, the one before the standing one.

        Raises BundleNotFound for one that is not kept, BundleRefused for one that is not whole.
        """

        def draft(turn: _Turn) -> BundleManifest:
            target = self._store.bundle(self._kept(turn, sequence)).manifest
            for file in target.all_files():
                self._store.check_size(file)
            return _changed(target, turn, restores=target.sequence)

        return self._publish(draft, {}, force=True)

    def collect(self) -> Collected:
        """Delete what no kept bundle has, and what is older than the grace; raises BundleRefused."""
        current = self._store.current()
        if current is None:
            return Collected()
        oldest = time.time() - self._keeping.grace_seconds
        manifests = list(self._store.manifests())
        kept = {found.key for found in manifests if found.modified_at >= oldest} | set(current.pointer.kept)
        named = {sha256 for name in kept for sha256 in self._store.named_files(name)}
        gone = [found.key for found in manifests if found.key not in kept]
        for name in gone:
            self._store.delete_manifest(name)
        files = [found for found in self._store.files() if found.key not in named and found.modified_at < oldest]
        deleted = [found for found in files if self._store.delete_file_before(found.key, oldest)]
        return Collected(len(gone), len(deleted), sum(found.bytes for found in deleted))

    def _publish(self, draft: _Draft, sources: Mapping[BundleFile, Path], *, force: bool = False) -> StoredBundle:
        for _ in range(TURNS_MAX):
            turn = self._turn(force=force)
            manifest = draft(turn)
            for file, path in sources.items():
                if force or not self._holds(turn.standing, file):
                    self._store.write_file(file, path)
            published = self._write(manifest, turn.current)
            if published is not None:
                self._see_to(sources)
                return published
        raise BundleConflict(f"others published {TURNS_MAX} times meanwhile: try again")

    def _holds(self, standing: StoredBundle | None, file: BundleFile) -> bool:
        """Say whether a file need not be written: what no bundle names may be collected, and gets a new date."""
        if standing is None or file not in standing.manifest.all_files():
            return False
        try:
            self._store.check_size(file)
        except BundleRefused:
            return False
        return True

    def _write(self, manifest: BundleManifest, current: Current | None) -> StoredBundle | None:
        sealed = seal(manifest, self._key)
        name = self._store.write_manifest(manifest.sequence, sealed)
        kept = (name, *(current.pointer.kept if current else ()))[: self._keeping.bundles]
        pointer = Pointer(sequence=manifest.sequence, sha256=hashlib.sha256(sealed).hexdigest(), kept=kept)
        return StoredBundle(name, sealed, manifest) if self._store.point(pointer, instead_of=current) else None

    def _see_to(self, sources: Mapping[BundleFile, Path]) -> None:
        """Write again what was collected between its upload and the turn of `current`."""
        for file, path in sources.items():
            try:
                self._store.check_size(file)
            except BundleRefused:
                self._store.write_file(file, path)

    def _turn(self, *, force: bool) -> _Turn:
        current = self._store.current()
        standing = None
        try:
            standing = self._store.pointed(current.pointer) if current else None
        except (BundleRefused, BundleNotFound) as error:
            if not force:
                raise BundleRefused(f"{error.detail}; `sonica bundles publish --force` replaces it") from error
        return _Turn(current, standing, self._next_sequence(current))

    def _kept(self, turn: _Turn, sequence: int | None) -> str:
        """Return the name of a bundle that is kept; for None, of the one before the standing one."""
        if turn.current is None:
            raise BundleNotFound(f"nothing is published in the channel {self._store.channel}")
        pointer = turn.current.pointer
        kept = {int(name[:16]): name for name in pointer.kept}
        if sequence is None:
            restored = turn.standing.manifest.restores if turn.standing else None
            sequence = max((number for number in kept if number < (restored or pointer.sequence)), default=0)
        if sequence not in kept:
            numbers = ", ".join(map(str, sorted(kept)))
            raise BundleNotFound(f"there is no bundle {sequence or 'before'} to go back to; kept are {numbers}")
        return kept[sequence]

    def _next_sequence(self, current: Current | None) -> int:
        if current is not None:
            return current.pointer.sequence + 1
        # Where `current` was lost, readers still remember the last number.
        return max((int(found.key[:16]) for found in self._store.manifests()), default=0) + 1


def _check_newer(facts: Facts, standing: BundleManifest) -> None:
    if standing.catalogue != facts.catalogue:
        raise BundleConflict(
            "the published bundle is of another catalogue: publish below another prefix, or in its place with --force"
        )
    if standing.revision > facts.revision:
        raise BundleConflict(
            f"the published bundle is of revision {standing.revision}, newer than {facts.revision}; --force replaces it"
        )


def _described(name: str, path: Path) -> BundleFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return BundleFile(name=name, sha256=digest, bytes=path.stat().st_size)


def _changed(manifest: BundleManifest, turn: _Turn, **changed: object) -> BundleManifest:
    fields = {name: getattr(manifest, name) for name in BundleManifest.model_fields}
    fields |= {"sequence": turn.sequence, "created_at": datetime.now(UTC)}
    return BundleManifest.model_validate(fields | changed)
