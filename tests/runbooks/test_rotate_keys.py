"""Keys change under a server that runs: callers and bundles are believed all the while, then the old key is not."""

from __future__ import annotations

import httpx

from backend.cli.output import Exit
from tests.runbooks.conftest import PATIENCE_SECONDS, Region, recognized, wait_until
from tests.runbooks.runbook import Runbook

BOOK = Runbook.read("rotate_keys")


def status(url: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{url}/v1/songs", headers=headers, timeout=PATIENCE_SECONDS).status_code


def in_place(url: str) -> int:
    """Return the number of the bundle that a server answers from."""
    metrics = httpx.get(f"{url}/metrics", timeout=PATIENCE_SECONDS).text
    return int(float(metrics.partition("\nsonica_bundle_sequence ")[2].split()[0]))


def test_callers_go_on_when_their_key_is_rotated_and_the_old_one_ends(region: Region) -> None:
    region.sonica.settings["SONICA_AUTH"] = "on"
    region.command("users", "add", "someone")
    old = region.command("keys", "create", "someone")
    environment = region.environment | {"NAME": "someone", "PREFIX": old["prefix"]}
    with region.sonica.serving() as (_, url):
        before = recognized(url, region.clip(1), key=old["key"])
        new = BOOK.run(0, environment).strip()
        both = [status(url, key) for key in (old["key"], new)]
        listed = BOOK.run(1, environment)
        wait_until(lambda: status(url, old["key"]) == 401)
        after = recognized(url, region.clip(1), key=new)

    assert new.startswith("sk_")
    assert new != old["key"]
    assert both == [200, 200]
    assert old["prefix"] in listed
    assert after == before != []


def test_bundles_are_believed_all_the_while_when_their_key_is_rotated(
    region: Region, bundle_settings: dict[str, str]
) -> None:
    region.sonica.settings.update(bundle_settings)
    region.command("bundles", "publish")
    old = bundle_settings["SONICA_BUNDLE_PUBLIC_KEYS"]
    environment = region.environment | {"NEW_KEY": str(region.folder / "new.pem")}
    new = next(word for word in BOOK.run(2, environment).split() if len(word) == 44)
    both = f"{old},{new}"

    region.sonica.settings["SONICA_BUNDLE_PUBLIC_KEYS"] = both
    with region.sonica.serving() as (_, url):
        seen = in_place(url)
        BOOK.run(3, environment | {"SONICA_BUNDLE_PUBLIC_KEYS": both})
        wait_until(lambda: in_place(url) == 2)
        found = recognized(url, region.clip(1))
    region.sonica.settings["SONICA_BUNDLE_PUBLIC_KEYS"] = new
    verified = region.command("bundles", "verify")
    region.sonica.settings["SONICA_BUNDLE_PUBLIC_KEYS"] = old
    refused = region.command("bundles", "verify", exit_code=Exit.ERROR)

    assert seen == 1
    assert [external_id for _, external_id, _, _ in found] == ["song-1"]
    assert verified["sequence"] == 2
    assert refused["code"] == "bundle_refused"
