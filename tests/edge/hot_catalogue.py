"""A small catalogue, its origin and its bundle: what the hot index is held against."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import Fingerprint, extract

from backend.api.schemas import RecognitionResource
from backend.audio.decoder import Decoder
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.models import CATALOGUE_THINNING, Recognition, Song
from backend.recognition.recognizer import RecognitionLimits, Recognizer
from backend.search.faiss_index import FaissIndex
from backend.search.hot_bundle import make_bundle
from tests.factories import make_new_song
from tests.music import make_music

SONG_SECONDS = 24
SONGS = range(1, 7)
SHARED_SONG = 6  # song 7 is the same music, cut elsewhere
CUT_SAMPLES = 50 * 1024  # a quarter of a stored step beside song 6
LIMITS = {"clip_seconds_max": 20.0, "candidates_max": 24, "false_accept_rate": 0.0001}  # all tests' music is alike


@dataclass(frozen=True, slots=True)
class HotCatalogue:
    """The origin, and a bundle of all of its songs."""

    recognizer: Recognizer
    index: FaissIndex
    songs: list[Song]
    bundle: bytes

    def bundle_of(self, song_ids: list[int]) -> bytes:
        """Bundle only these songs."""
        return make_bundle(self.index, [song for song in self.songs if song.id in song_ids], limits=LIMITS)

    def bundle_with(self, **limits: float) -> bytes:
        """Bundle all songs, with other limits."""
        return make_bundle(self.index, self.songs, limits={**LIMITS, **limits})

    async def origin_answer(self, query: Fingerprint) -> dict[str, Any]:
        """Return what POST /v1/recognize says, as far as the hot index says it too."""
        answer = RecognitionResource.of(await self.recognizer.recognize(query), request_id="").model_dump()
        return {name: answer[name] for name in ("status", "reason", "matches")}


class NoCache:
    """Implements RecognitionCache: every answer is computed."""

    async def get_or_compute(self, _: str, compute: Callable[[], Awaitable[Recognition]], **__: str) -> Recognition:
        return await compute()

    async def get(self, _: str, **__: str) -> Recognition | None:
        return None


async def open_hot_catalogue(folder: Path) -> HotCatalogue:
    """Put the songs into a catalogue in memory, index and bundle them."""
    catalogue = InMemoryCatalogue()
    for seed in SONGS:
        await _put(catalogue, seed, make_music(seed, SONG_SECONDS))
    await _put(catalogue, SHARED_SONG + 1, make_music(SHARED_SONG, SONG_SECONDS)[CUT_SAMPLES:])
    index = await FaissIndex.open(folder, catalogue, search_depth=256)
    recognizer = Recognizer(
        decoder=cast(Decoder, None),
        index=index,
        catalogue=catalogue,
        cache=NoCache(),
        limits=RecognitionLimits(int(LIMITS["candidates_max"]), LIMITS["false_accept_rate"]),
    )
    songs = await catalogue.page(after_id=0, limit=100, filters={})
    return HotCatalogue(recognizer, index, songs, make_bundle(index, songs, limits=LIMITS))


async def _put(catalogue: InMemoryCatalogue, seed: int, samples: NDArray[np.float32]) -> None:
    await catalogue.put(make_new_song(seed, fingerprint=extract(samples).thinned(CATALOGUE_THINNING)))
