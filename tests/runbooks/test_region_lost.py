"""A region is lost with all that it had; another one is made of its backup, and answers as it did."""

from __future__ import annotations

from tests.acceptance.sonica_process import Sonica
from tests.runbooks.conftest import Region, recognized
from tests.runbooks.runbook import Runbook

BOOK = Runbook.read("region_lost")


def test_another_region_answers_as_the_lost_one_did_when_it_is_restored_from_its_backup(
    region: Region, bundle_settings: dict[str, str], empty_database_url: str
) -> None:
    """A song that was taken in after the backup is in the lost region's bundle, and must not be answered by it."""
    lost = region
    lost.sonica.settings.update(bundle_settings)
    backup = str(lost.folder / "elsewhere/backup.sonica")
    with lost.sonica.serving() as (_, url):
        before = [recognized(url, lost.clip(seed)) for seed in (1, 2)]
    lost.command("backup", backup)
    lost.command("songs", "delete", "song-3", "--yes")  # after the backup: it is there again
    lost.command("bundles", "publish")
    settings = bundle_settings | {"SONICA_DATABASE_URL": empty_database_url}
    new = Region(Sonica(lost.folder / "new/data", settings), lost.folder)
    environment = new.environment | {"BACKUP": backup, "CLIP": str(new.clip(1))}

    BOOK.run(0, environment)
    BOOK.run(1, environment)
    with new.sonica.serving() as (_, url):
        after = [recognized(url, new.clip(seed)) for seed in (1, 2)]
        back = recognized(url, new.clip(3))
        said = BOOK.run(2, environment | {"NEW_URL": url})

    assert after == before
    assert [external_id for _, external_id, _, _ in back] == ["song-3"]
    assert "song-1" in said or "Title 1" in said
    assert new.command("bundles", "show")["revision"] == 3
