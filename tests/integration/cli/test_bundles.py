"""`sonica bundles` over a real catalogue and a folder."""

from __future__ import annotations

import os
import stat

import pytest
from sonica_fingerprint.bundle import read_bundle

from tests.integration.cli.conftest import Commands
from tests.music import write_song


@pytest.fixture
def published(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Commands with keys, and a catalogue of six songs that is published."""
    (made,) = commands.lines("bundles", "keygen", commands.folder / "key.pem", "--json")
    monkeypatch.setenv("SONICA_BUNDLE_URL", str(commands.folder / "store"))
    monkeypatch.setenv("SONICA_BUNDLE_PRIVATE_KEY", made["private_key_file"])
    monkeypatch.setenv("SONICA_BUNDLE_PUBLIC_KEYS", made["public_key"])
    ingest(commands, *range(1, 7))
    commands.lines("bundles", "publish", "--json")
    return commands


def ingest(commands: Commands, *seeds: int) -> None:
    files = [write_song(commands.folder / f"{seed}.wav", seed, 12) for seed in seeds]
    commands.lines("ingest", *files, "--json")


def test_key_is_readable_by_its_owner_alone_and_never_overwritten(commands: Commands) -> None:
    file = commands.folder / "key.pem"
    result = commands.run("bundles", "keygen", file)
    assert len(result.stdout.strip()) == 44
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = file.read_text()
    assert written not in result.output
    assert commands.run("bundles", "keygen", file).exit_code == 6
    assert file.read_text() == written


def test_bundles_are_published_listed_checked_and_gone_back_from(published: Commands) -> None:
    (unchanged,) = published.lines("bundles", "publish", "--json")
    assert unchanged["bundle"] is None
    ingest(published, 7)
    (delta,) = published.lines("bundles", "publish", "--json")
    assert (delta["bundle"]["songs"], len(delta["bundle"]["deltas"])) == (7, 1)
    (whole,) = published.lines("bundles", "publish", "--whole", "--json")
    assert (whole["bundle"]["songs"], whole["bundle"]["deltas"]) == (7, [])
    (back,) = published.lines("bundles", "rollback", "1", "--json")
    assert (back["sequence"], back["restores"], back["songs"]) == (4, 1, 6)
    (listed,) = published.lines("bundles", "list", "--json")
    assert [item["sequence"] for item in listed["items"]] == [4, 3, 2]
    assert all(item["signed_by"] for item in listed["items"])
    (shown,) = published.lines("bundles", "show", "3", "--json")
    assert shown == listed["items"][1]
    assert "is whole, and signed by" in published.run("bundles", "verify").stdout
    assert published.run("bundles", "list").stdout.count("\n") == 4


def test_bundle_is_listed_and_not_gone_back_to_when_its_signer_is_not_trusted_any_more(
    published: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.environ["SONICA_BUNDLE_PUBLIC_KEYS"]
    (made,) = published.lines("bundles", "keygen", published.folder / "next.pem", "--json")
    monkeypatch.setenv("SONICA_BUNDLE_PUBLIC_KEYS", f"{before},{made['public_key']}")
    monkeypatch.setenv("SONICA_BUNDLE_PRIVATE_KEY", made["private_key_file"])
    published.lines("bundles", "publish", "--whole", "--json")
    monkeypatch.setenv("SONICA_BUNDLE_PUBLIC_KEYS", made["public_key"])

    (listed,) = published.lines("bundles", "list", "--json")
    table = published.run("bundles", "list").stdout.splitlines()
    refusals = [published.lines("bundles", "rollback", *number, "--json", exit_code=1)[0] for number in ([], ["1"])]
    (after,) = published.lines("bundles", "list", "--json")

    new, old = listed["items"]
    assert [(item["sequence"], item["songs"], item["trusted"]) for item in (new, old)] == [(2, 6, True), (1, 6, False)]
    assert new["signed_by"] != old["signed_by"]
    assert [("not trusted" in line) for line in table] == [False, False, True]
    assert f"{old['signed_by']}, not trusted" in table[2]
    assert {refusal["code"] for refusal in refusals} == {"bundle_refused"}
    assert after == listed


def test_damage_is_found_when_a_bundle_is_verified(published: Commands) -> None:
    file = max((published.folder / "store" / "hnsw" / "files").iterdir(), key=lambda path: path.stat().st_size)
    body = bytearray(file.read_bytes())
    body[100] ^= 1
    file.write_bytes(body)
    (problem,) = published.lines("bundles", "verify", "--json", exit_code=1)
    assert problem["code"] == "bundle_refused"


def test_hot_index_is_published_the_same_way_and_fetched(published: Commands) -> None:
    (first,) = published.lines("bundles", "publish", "--hot", "3", "--json")
    assert (first["bundle"]["channel"], first["bundle"]["songs"]) == ("hot", 3)
    (again,) = published.lines("bundles", "publish", "--hot", "3", "--json")
    assert again["bundle"] is None
    (fetched,) = published.lines("bundles", "fetch", published.folder / "out", "--channel", "hot", "--json")
    bundle = read_bundle((published.folder / "out" / "hot-index.bundle").read_bytes())
    assert bundle.songs == 3
    assert len(fetched["files"]) == 2
    (listed,) = published.lines("bundles", "list", "--json")
    assert [item["channel"] for item in listed["items"]] == ["hnsw"]


def test_servers_index_comes_from_the_bundle(published: Commands) -> None:
    (status,) = published.lines("index", "status", "--data-dir", published.folder / "other", "--json")
    assert status["songs"] == 6
    assert (published.folder / "other" / "bundles" / "hnsw" / "in-place.json").exists()


def test_private_key_is_needed_where_signatures_are_asked_for(
    published: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SONICA_BUNDLE_PRIVATE_KEY")
    result = published.run("bundles", "publish", "--whole")
    assert (result.exit_code, "SONICA_BUNDLE_PRIVATE_KEY" in result.stderr) == (2, True)
    monkeypatch.setenv("SONICA_BUNDLE_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----")
    result = published.run("bundles", "publish", "--whole")
    assert (result.exit_code, "no Ed25519 key" in result.stderr, "secret" in result.output) == (2, True, False)


def test_wrong_usage_is_told(published: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    assert published.run("bundles", "list", "--channel", "cold").exit_code == 2
    assert published.run("bundles", "show", "99").exit_code == 1
    assert published.run("bundles", "rollback").exit_code == 1
    monkeypatch.setenv("SONICA_BUNDLE_PUBLIC_KEYS", "no key")
    assert published.run("bundles", "list").exit_code == 2
    monkeypatch.delenv("SONICA_BUNDLE_URL")
    assert published.run("bundles", "list").exit_code == 2
