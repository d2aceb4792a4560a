"""Back to the version before, over a database that a later one expanded; back to the index before."""

from __future__ import annotations

import pytest

from backend.catalogue.database import session
from tests.runbooks.conftest import Region, recognized, wait_until
from tests.runbooks.runbook import Runbook

BOOK = Runbook.read("roll_back")


@pytest.fixture
async def later_schema(database_url: str) -> None:
    """What a version that does not exist yet would have added."""
    async with session(database_url) as connection:
        await connection.execute("alter table songs add column mood text default 'calm'")
        await connection.execute("insert into schema_migrations (name) values ('9000_songs_mood')")


@pytest.mark.usefixtures("later_schema")
def test_version_before_serves_when_the_database_was_expanded_and_the_index_is_gone_back_to(
    region: Region, bundle_settings: dict[str, str]
) -> None:
    region.sonica.settings.update(bundle_settings)
    first = region.command("bundles", "publish")["bundle"]
    region.command("songs", "delete", "song-3", "--yes")
    region.command("bundles", "publish", "--whole")

    BOOK.run(0, region.environment)
    with region.sonica.serving() as (_, url):
        before = recognized(url, region.clip(1))
        said = BOOK.run(1, region.environment)
        wait_until(lambda: "bundle_loaded" in region.sonica.messages.read_text().partition("/v1/recognize")[2])
        after = recognized(url, region.clip(1))
        gone = recognized(url, region.clip(3))

    published = region.command("bundles", "show")
    assert [external_id for _, external_id, _, _ in before] == ["song-1"]
    assert after == before
    assert gone == []  # the catalogue says so, whatever the bundle holds
    assert published["restores"] == first["sequence"] < published["sequence"]
    assert "whole" in said
