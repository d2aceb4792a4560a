"""A catalogue of a few songs, clips of them, and what the server says to those without load."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from load_testing.clients import Target
from load_testing.clips import Clip
from load_testing.service import Service, service
from load_testing.truth import Asked, find_truth
from measurement.product import run_sonica

from tests.music import RATE_HZ, make_music, write_song

SONGS = 6
SONG_SECONDS = 10.0
STRANGERS = (100, 101)  # music that is not in the catalogue
TIMEOUT_SECONDS = 60.0  # other tests may have the machine ...
SECONDS_MAX = 600.0  # ... so that loads are bounded by requests


@pytest.fixture(scope="session")
def catalogue() -> Iterator[Path]:
    """A data folder that nobody uses."""
    with tempfile.TemporaryDirectory(prefix="sonica-test-") as folder:
        for seed in range(SONGS):
            write_song(Path(folder) / "songs" / f"song-{seed}.wav", seed, SONG_SECONDS)
        run_sonica(["ingest", f"{folder}/songs"], data_dir=Path(folder) / "data")
        yield Path(folder) / "data"


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """Two of each song, and some of others."""
    places = [(seed, start) for seed in range(SONGS) for start in (1.0, 4.0)] + [(seed, 2.0) for seed in STRANGERS]
    return [clip_of(seed, start) for seed, start in places]


@pytest.fixture(scope="session")
def served(catalogue: Path) -> Iterator[Service]:
    """A server whom nobody changes."""
    lasting = {"SONICA_CACHE_TTL_SECONDS": "3600", "SONICA_CACHE_NO_MATCH_TTL_SECONDS": "3600"}
    with service(catalogue, lasting) as served:
        yield served


@pytest.fixture(scope="session")
def asked(served: Service, clips: list[Clip]) -> Asked:
    """The clips and their true answers."""
    return truth_of(served, clips)


def clip_of(seed: int, start_seconds: float, seconds: float = 5.0) -> Clip:
    """Cut a clip from a song."""
    start = int(start_seconds * RATE_HZ)
    samples = make_music(seed, SONG_SECONDS)[start : start + int(seconds * RATE_HZ)]
    return Clip.of(f"song-{seed}", samples)


def truth_of(served: Service, clips: list[Clip]) -> Asked:
    """Ask a server without load."""
    asked = asyncio.run(find_truth(target_of(served).connection(), clips, ["fingerprint", "audio"]))
    assert {bool(truth.song_ids) for truth in asked.truths} == {True, False}
    return asked


def target_of(served: Service) -> Target:
    """Return how to ask a server."""
    return Target(served.url, TIMEOUT_SECONDS)
