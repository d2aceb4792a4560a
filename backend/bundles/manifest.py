"""What a bundle holds: a document that is signed, names every file by its hash, and has a number that only grows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Channel: TypeAlias = Literal["hnsw", "compact", "exact", "hot"]  # what a bundle replaces: the newest one of its channel
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**53)]  # that JavaScript reads exactly, too


class Document(BaseModel):
    """Read strictly: what is not understood is not believed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class BundleFile(Document):
    """A file of a bundle; it is kept under its hash."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    sha256: Sha256
    bytes: Count


class BundleDelta(Document):
    """The catalogue's changes behind one revision up to another (deltas.py)."""

    after_revision: Count
    revision: Count
    changes: Count  # one for each song that was touched
    file: BundleFile


class Facts(Document):
    """What is known of an index before it is published."""

    kind: str = Field(min_length=1, max_length=64)  # how its vectors are kept; of another kind, its files are useless
    fingerprint_version: Count
    catalogue: str = Field(min_length=1, max_length=128)  # the change log's name
    revision: Count
    songs: Count
    segments: Count  # that are searched


class BundleManifest(Facts):
    """A bundle: the files of a whole index, and the deltas since."""

    format: Literal[1] = 1
    channel: Channel
    sequence: int = Field(ge=1, lt=2**53)
    created_at: AwareDatetime
    base_revision: Count  # of the files without the deltas
    files: tuple[BundleFile, ...] = Field(min_length=1)
    deltas: tuple[BundleDelta, ...] = ()
    restores: int | None = None  # the number of the bundle that was gone back to

    @model_validator(mode="after")
    def _is_one_piece(self) -> BundleManifest:
        revisions = [self.base_revision, *(delta.revision for delta in self.deltas)]
        if [delta.after_revision for delta in self.deltas] != revisions[:-1] or revisions[-1] != self.revision:
            raise ValueError("the deltas do not lead from the base to the revision")
        if any(after >= revision for after, revision in pairwise(revisions)):
            raise ValueError("a delta leads nowhere")
        names = [file.name for file in self.all_files()]
        if len(set(names)) != len(names):
            raise ValueError("two files have one name")
        return self

    def all_files(self) -> Iterator[BundleFile]:
        """Yield the files, and those of the deltas."""
        yield from self.files
        yield from (delta.file for delta in self.deltas)


class Pointer(Document):
    """What `current` says: the bundle to take, and all that are kept, by the names of their manifests, newest first.

    It is not signed: who changes it can hide bundles, not make one, nor bring an older one back.
    """

    sequence: int = Field(ge=1, lt=2**53)
    sha256: Sha256  # of the manifest as it is signed
    kept: tuple[Annotated[str, Field(pattern=r"^[0-9]{16}-[0-9a-f]{16}$")], ...] = Field(min_length=1)

    @property
    def manifest(self) -> str:
        """The name of the manifest of the bundle to take."""
        return self.kept[0]
