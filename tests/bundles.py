"""Bundles for tests: a small catalogue, an index of it, and where they are published."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

from sonica_fingerprint import Fingerprint, extract

from backend.bundles.follower import BundleFollower
from backend.bundles.objects import FolderObjects, Objects
from backend.bundles.publisher import Keeping, Publisher
from backend.bundles.publishing import Plan, publish_index
from backend.bundles.signatures import new_private_key, public_text, read_private_key, read_public_keys
from backend.bundles.store import BundleStore, StoredBundle
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.models import Candidate
from backend.search.faiss_index import FaissIndex, IndexKind
from tests.factories import make_new_song
from tests.music import make_music

SONG_SECONDS = 12
DAY = 86_400.0
WHOLE = Plan(whole=True)
SIGNER, STRANGER = (read_private_key(new_private_key()) for _ in range(2))
TRUSTED = read_public_keys(public_text(SIGNER))


class Place:
    """Where bundles are published; `faults` are called before each access, with its name and key."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.faulty = FaultyObjects(objects)

    def store(self, *, channel="hnsw", trusted=TRUSTED):
        return BundleStore(self.faulty, channel, trusted=trusted)

    def publisher(self, *, key=SIGNER, kept=3, grace_seconds=DAY, channel="hnsw", trusted=TRUSTED) -> Publisher:
        return Publisher(self.store(channel=channel, trusted=trusted), key, Keeping(kept, grace_seconds))

    def listed(self) -> list[str]:
        return [found.key for found in self.objects.listed("hnsw/")]

    def change(self, key: str, change) -> None:
        body, _ = self.objects.read(key, bytes_max=10**9)
        self.objects.write(key, change(body))

    def file_key(self, bundle: StoredBundle, number: int = 0) -> str:
        return f"hnsw/files/{bundle.manifest.files[number].sha256}"


class FaultyObjects:
    """Implements Objects over others; `before` is called with each access."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.before = lambda name, key: None

    def __getattr__(self, name):
        method = getattr(self._objects, name)

        def called(key, *arguments, **named):
            self.before(name, key)
            return method(key, *arguments, **named)

        return called


def folder_place(folder: Path) -> Place:
    return Place(FolderObjects(folder))


@cache
def music(seed: int) -> Fingerprint:
    return extract(make_music(seed, SONG_SECONDS)).thinned(4)


async def put_songs(catalogue: InMemoryCatalogue, *seeds: int) -> None:
    for seed in seeds:
        await catalogue.put(make_new_song(seed, fingerprint=music(seed)))


async def open_index(catalogue: InMemoryCatalogue, folder: Path, *, kind: IndexKind = "hnsw") -> FaissIndex:
    return await FaissIndex.open(folder, catalogue, search_depth=96, kind=kind)


async def publish(index: FaissIndex, catalogue: InMemoryCatalogue, publisher: Publisher, plan: Plan = WHOLE):
    await index.catch_up()
    return await publish_index(index, catalogue, publisher, plan)


def empty_index(catalogue: InMemoryCatalogue, folder: Path, *, kind: IndexKind = "hnsw") -> FaissIndex:
    return FaissIndex(folder / "index", catalogue, search_depth=96, kind=kind)


def follower_of(place: Place, index: FaissIndex, catalogue: InMemoryCatalogue, folder: Path, **store) -> BundleFollower:
    return BundleFollower(index, catalogue, folder / "bundles", open_store=lambda: place.store(**store), threads=2)


async def found(index: FaissIndex, seed: int, *, start: float = 3.2) -> list[Candidate]:
    clip = make_music(seed, SONG_SECONDS)[int(start * 16_000) :][: 4 * 16_000]
    return await asyncio.to_thread(index.search, extract(clip), limit=8)


async def best(index: FaissIndex, seed: int) -> int | None:
    candidates = await found(index, seed)
    return candidates[0].song_id if candidates else None
