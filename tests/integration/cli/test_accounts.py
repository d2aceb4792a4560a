"""`sonica users` and `sonica keys` over a real database, and a server that asks for them."""

from __future__ import annotations

import json
import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.integration.cli.conftest import Commands
from tests.integration.cli.test_processes import start
from tests.music import write_clip, write_song


def test_users_are_added_listed_changed_and_deleted(commands: Commands) -> None:
    (added,) = commands.lines("users", "add", "someone", "--json")
    commands.lines("users", "add", "boss", "--role", "admin", "--json")
    (changed,) = commands.lines("users", "role", "someone", "premium", "--json")

    assert (added["role"], changed["role"], changed["id"]) == ("free", "premium", added["id"])
    assert [(user["name"], user["role"]) for user in commands.lines("users", "list", "--jsonl")] == [
        ("someone", "premium"),
        ("boss", "admin"),
    ]
    (page,) = commands.lines("users", "list", "--limit", "1", "--json")
    assert page["next_after"] == added["id"]
    table = commands.run("users", "list").stdout
    assert "someone" in table
    assert "premium" in table

    (deleted,) = commands.lines("users", "delete", "--yes", "someone", "nobody", "--json", exit_code=4)
    assert deleted == {"deleted": ["someone"], "missing": ["nobody"]}
    assert len(commands.lines("users", "list", "--jsonl")) == 1
    assert "no user nobody" in commands.run("users", "delete", "-y", "nobody").stderr


def test_users_are_not_deleted_when_the_question_is_not_answered(commands: Commands) -> None:
    commands.run("users", "add", "someone")

    assert commands.run("users", "delete", "someone").exit_code != 0
    assert len(commands.lines("users", "list", "--jsonl")) == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (["users", "add", "someone"], 2, "invalid_request"),
        (["users", "role", "nobody", "admin"], 1, "user_not_found"),
        (["keys", "create", "nobody"], 1, "user_not_found"),
        (["keys", "create", "someone", "--scope", "songs:write"], 2, "invalid_request"),
        (["keys", "rotate", "sk_nothing"], 1, "key_not_found"),
        (["keys", "revoke", "sk_nothing"], 1, "key_not_found"),
    ],
)
def test_mistake_is_a_problem_with_its_exit_code(
    commands: Commands, arguments: list[str], exit_code: int, code: str
) -> None:
    commands.run("users", "add", "someone")

    (problem,) = commands.lines(*arguments, "--json", exit_code=exit_code)

    assert problem["code"] == code


def test_secret_is_shown_once_when_a_key_is_made(commands: Commands) -> None:
    commands.run("users", "add", "someone")
    made = commands.run("keys", "create", "someone", "--label", "phone")
    secret = made.stdout.strip()

    assert re.fullmatch(r"sk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", secret)
    assert secret not in made.stderr
    listed = commands.run("keys", "list").stdout + commands.run("keys", "list", "--json").stdout
    assert secret[:15] in listed
    assert secret[16:] not in listed
    (key,) = commands.lines("keys", "list", "--user", "someone", "--jsonl")
    assert (key["prefix"], key["label"], key["scopes"]) == (secret[:15], "phone", ["recognize", "songs:read"])
    lasts = datetime.fromisoformat(key["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=364) < lasts < timedelta(days=366)
    assert commands.lines("keys", "list", "--user", "other", "--jsonl") == []


def test_old_key_is_good_for_the_overlap_when_it_is_rotated(commands: Commands) -> None:
    commands.run("users", "add", "boss", "--role", "admin")
    (first,) = commands.lines("keys", "create", "boss", "--scope", "admin", "--days", "0", "--label", "x", "--json")
    (second,) = commands.lines("keys", "rotate", first["prefix"], "--overlap-hours", "2", "--json")
    assert (second["scopes"], second["expires_at"]) == (["admin"], None)

    old, new = commands.lines("keys", "list", "--jsonl")

    lasts = datetime.fromisoformat(old["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=1) < lasts <= timedelta(hours=2)
    assert (new["prefix"], new["label"], new["expires_at"]) == (second["prefix"], "x", None)
    commands.run("keys", "revoke", first["prefix"])
    (again,) = commands.lines("keys", "rotate", first["prefix"], "--json", exit_code=1)
    assert again["code"] == "key_not_found"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_server_does_not_start_when_it_would_serve_strangers_unasked(commands: Commands, host: str) -> None:
    result = commands.run("serve", "--host", host, "--port", "0", "--json")

    assert result.exit_code == 2
    assert "SONICA_AUTH=on" in json.loads(result.stdout)["detail"]


def test_server_asks_who_comes_and_the_client_says_so(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    write_song(commands.folder / "album/1.wav", 1)
    commands.run("ingest", commands.folder / "album")
    clip = write_clip(commands.folder / "clip.wav", 1, start_seconds=2)
    commands.run("users", "add", "someone")
    (key,) = commands.lines("keys", "create", "someone", "--json")
    monkeypatch.setenv("SONICA_AUTH", "on")

    with start("serve", "--host", "0.0.0.0", "--port", "0", "--json") as server:
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["url"].rpartition(":")[2]
        url = f"http://127.0.0.1:{port}"
        (refused,) = commands.lines("recognize", "--server", url, "--json", clip, exit_code=5)
        monkeypatch.setenv("SONICA_API_KEY", key["key"])
        (found,) = commands.lines("recognize", "--server", url, "--jsonl", clip)
        server.send_signal(signal.SIGTERM)
        _, logged = server.communicate(timeout=30)

    assert refused["code"] == "unauthenticated"
    assert found["status"] == "match"
    assert key["key"][16:] not in logged
    (used,) = commands.lines("keys", "list", "--jsonl")
    assert used["last_used_at"] is not None  # written at the latest when the server stopped


def test_forwarded_addresses_are_not_believed_when_nobody_said_so(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONICA_AUTH", "on")
    monkeypatch.setenv("SONICA_RATE_LIMIT_ADDRESS", "1")
    with start("serve", "--port", "0", "--json") as server:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        forged = [{"X-Forwarded-For": f"198.51.100.{number}"} for number in range(2)]
        statuses = [httpx.get(f"{url}/v1/me", headers=headers).status_code for headers in forged]
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)

    assert statuses == [401, 429]


def test_secret_is_not_told_when_a_setting_is_wrong(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONICA_API_KEY", "sk_private")
    monkeypatch.setenv("SONICA_TRUSTED_PROXIES", "nonsense")

    result = commands.run("users", "list")

    assert result.exit_code == 2
    assert "SONICA_TRUSTED_PROXIES" in result.stderr
    assert "sk_private" not in result.output


def test_database_of_before_has_accounts_when_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedded database migrates by itself."""
    monkeypatch.setenv("SONICA_DATA_DIR", str(tmp_path / "data"))
    commands = Commands(tmp_path)
    from backend.catalogue import migrations

    known = migrations.migrations()
    monkeypatch.setattr(migrations, "migrations", lambda: known[:1])
    assert commands.lines("songs", "list", "--jsonl") == []
    monkeypatch.setattr(migrations, "migrations", lambda: known)

    assert commands.lines("users", "add", "someone", "--json")[0]["name"] == "someone"
