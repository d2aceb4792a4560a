from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.sonica_process import Sonica
from tests.music import write_song


@pytest.fixture(scope="session")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real service, a process of its own, that knows songs 0 to 2."""
    folder = tmp_path_factory.mktemp("service")
    for seed in range(3):
        write_song(folder / f"album/song-{seed}.wav", seed, seconds=12)
    sonica = Sonica(folder / "data")
    sonica.run("ingest", str(folder / "album"), "--jsonl")
    with sonica.serving() as (_, url):
        yield url
