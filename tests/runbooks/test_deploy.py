"""A new server takes over from an old one: no request fails, none is lost."""

from __future__ import annotations

import threading

import httpx

from tests.runbooks.conftest import PATIENCE_SECONDS, Region, recognized, wait_until
from tests.runbooks.runbook import Runbook

BOOK = Runbook.read("deploy")


def test_no_request_fails_when_a_new_server_takes_over(region: Region) -> None:
    """A balancer sends to the old server until it says that it stops, then to the new one."""
    region.sonica.settings["SONICA_SHUTDOWN_NOTICE_SECONDS"] = "2"
    environment = region.environment | {"BACKUP": str(region.folder / "before.sonica"), "CLIP": str(region.clip(1))}
    answers: list[int] = []
    clip = region.clip(2).read_bytes()
    over = threading.Event()

    def ask() -> None:
        urls = [old_url]
        while not over.is_set():
            if httpx.get(f"{urls[-1]}/readyz", timeout=PATIENCE_SECONDS).status_code == 503:
                urls.append(new_urls[0])
            over.wait(0.1)
            answers.append(httpx.post(f"{urls[-1]}/v1/recognize", content=clip, timeout=PATIENCE_SECONDS).status_code)

    new_urls: list[str] = []
    with region.sonica.serving() as (old, old_url):
        asking = threading.Thread(target=ask)
        asking.start()
        said = BOOK.run(0, environment)
        with region.sonica.serving() as (_, new_url):
            new_urls.append(new_url)
            try:
                BOOK.run(1, environment | {"NEW_URL": new_url, "OLD_PID": str(old.pid)})
                exit_code = old.wait(PATIENCE_SECONDS)
                done = len(answers)
                wait_until(lambda: len(answers) > done)
                found = recognized(new_url, region.clip(1))
            finally:
                over.set()
                asking.join()

    assert "The schema is up to date." in said
    assert exit_code == 0
    assert set(answers) == {200}
    assert [external_id for _, external_id, _, _ in found] == ["song-1"]
