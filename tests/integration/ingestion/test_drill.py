"""Workers as processes that are killed at random: every song is in once, the bad ones are dead letters."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ingest_drill import Plan, drill


async def test_every_song_is_in_exactly_once_when_workers_are_killed_at_random(
    database_url: str, tmp_path: Path
) -> None:
    plan = Plan(songs=200, workers=2, kills=4, kill_seconds=2.0, seconds_max=300)
    seen = await asyncio.to_thread(drill, plan, database_url, tmp_path)
    assert seen["faults"] == []
    assert (seen["songs"], seen["in_catalogue"]) == (200, 200)
    assert seen["dead_letters"] >= seen["poison"] > 0
    assert seen["killed"] > 0
    assert set(seen["exit_codes"]) == {0}
