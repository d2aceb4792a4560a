"""A song is taken down: no server, no cache, no bundle has it any more."""

from __future__ import annotations

from pathlib import Path

import httpx
from sonica_fingerprint.bundle import read_bundle

from tests.redis_server import RedisProcess
from tests.runbooks.conftest import Region, recognized, wait_until
from tests.runbooks.runbook import Runbook

BOOK = Runbook.read("catalogue_takedown")


def hot_songs(region: Region, folder: Path) -> set[str]:
    """Return the external ids in the hot bundle that is published."""
    fetched = region.command("bundles", "fetch", str(folder), "--channel", "hot")
    bodies = [Path(file).read_bytes() for file in fetched["files"] if not file.endswith(".json")]
    bundle = read_bundle(max(bodies, key=len))
    return {song["external_id"] for song in bundle.details["songs"]}


def test_song_is_gone_everywhere_when_it_is_taken_down(
    region: Region, bundle_settings: dict[str, str], redis_process: RedisProcess, tmp_path: Path
) -> None:
    region.sonica.settings.update(bundle_settings | {"SONICA_REDIS_URL": redis_process.url})
    region.command("bundles", "publish")
    region.command("bundles", "publish", "--hot", "500")
    environment = region.environment | {"SONG": "song-2", "BACKUP": str(tmp_path / "without.sonica")}
    with region.sonica.serving() as (_, url), region.sonica.serving() as (_, other_url):
        servers = (url, other_url)
        before = [recognized(each, region.clip(2)) for each in servers for _ in range(2)]  # from the caches, too
        song_id = before[0][0][0]

        BOOK.run(0, environment)
        wait_until(lambda: not any(recognized(each, region.clip(2)) for each in servers))
        BOOK.run(1, environment)
        BOOK.run(2, environment)

        gone = [httpx.get(f"{each}/v1/songs/{song_id}").status_code for each in servers]
        others = recognized(url, region.clip(1))

    published = region.command("bundles", "show")
    backed_up = region.command("restore", environment["BACKUP"], "--check")
    assert {found[0][1] for found in before} == {"song-2"}
    assert gone == [404, 404]
    assert [external_id for _, external_id, _, _ in others] == ["song-1"]
    assert hot_songs(region, tmp_path / "hot") == {"song-1", "song-3"}
    assert published["revision"] == 4
    assert backed_up["rows"]["fingerprints"] == 2
