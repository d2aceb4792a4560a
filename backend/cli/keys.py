"""`sonica keys`: API keys; the secret of one is shown when it is made and never again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.options import DataDir, Json, Jsonl
from backend.cli.output import print_json, reporting, shown, stderr, stdout
from backend.cli.users import with_accounts

if TYPE_CHECKING:
    from backend.catalogue.accounts import PostgresAccounts
    from backend.models import ApiKey, NewApiKey

key_commands = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True)
_DAYS_MAX = 3650


class ScopeName(StrEnum):
    """What a key may be for."""

    RECOGNIZE = "recognize"
    SONGS_READ = "songs:read"
    SONGS_WRITE = "songs:write"
    ADMIN = "admin"


Prefix = Annotated[str, typer.Argument(metavar="PREFIX", help="The key's visible part, `sk_...`.", show_default=False)]


@key_commands.command()
def create(  # noqa: PLR0913  # a command's parameters are its options
    user: Annotated[str, typer.Argument(metavar="USER", help="Whose key it is.", show_default=False)],
    *,
    scope: Annotated[list[ScopeName], typer.Option(help="What it is for, repeatable; `admin` is for everything.")] = [  # noqa: B006
        ScopeName.RECOGNIZE,
        ScopeName.SONGS_READ,
    ],
    label: Annotated[str, typer.Option(help="What or who uses it.")] = "",
    days: Annotated[int, typer.Option(min=0, max=_DAYS_MAX, help="When it expires; 0: never.")] = 365,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it: this once, for only its hash is kept."""

    async def made(accounts: PostgresAccounts) -> tuple[NewApiKey, str]:
        from backend.accounts.keys import make_key

        owner = await accounts.user(user)
        expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
        key, secret = make_key(owner.role, [each.value for each in scope], label=label, expires_at=expires_at)
        await accounts.add_key(owner.id, key)
        return key, secret

    with reporting(as_json=as_json):
        _print_secret(*with_accounts(data_dir, made), as_json=as_json)


@key_commands.command("list")
def list_keys(
    user: Annotated[str | None, typer.Option(help="Of this user only.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """List keys by their prefixes, with those that are over."""
    with reporting(as_json=as_json or jsonl):
        keys = with_accounts(data_dir, lambda accounts: accounts.keys(user))
        if jsonl:
            for key in keys:
                print_json(_document(key))
        elif as_json:
            print_json({"items": [_document(key) for key in keys]})
        else:
            _print_table(keys)


@key_commands.command()
def rotate(
    prefix: Prefix,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=24 * _DAYS_MAX, help="How long the old key is still good.")
    ] = 24.0,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a key in place of another, which is good for a while yet; the new one lives as long as the old was to."""

    async def rotated(accounts: PostgresAccounts) -> tuple[NewApiKey, str]:
        from backend.accounts.keys import make_key
        from backend.errors import KeyNotFound

        old, now = await accounts.key(prefix), datetime.now(UTC)
        if old is None or (old.expires_at is not None and old.expires_at <= now):
            raise KeyNotFound(f"no API key that is still good has the prefix {prefix}")
        expires_at = None if old.expires_at is None else now + (old.expires_at - old.created_at)
        key, secret = make_key(old.user.role, old.scopes, label=old.label, expires_at=expires_at)
        await accounts.replace_key(old, key, until=now + timedelta(hours=overlap_hours))
        return key, secret

    with reporting(as_json=as_json):
        _print_secret(*with_accounts(data_dir, rotated), as_json=as_json)


@key_commands.command()
def revoke(prefix: Prefix, data_dir: DataDir = None, as_json: Json = False) -> None:
    """End a key now; servers follow within 10 seconds."""
    with reporting(as_json=as_json):
        with_accounts(data_dir, lambda accounts: accounts.expire_key(prefix, datetime.now(UTC)))
        if as_json:
            print_json({"revoked": prefix})
        else:
            stdout().print(f"revoked {shown(prefix)}")


def _print_secret(key: NewApiKey, secret: str, *, as_json: bool) -> None:
    if as_json:
        scopes = sorted(key.scopes)
        print_json({"key": secret, "prefix": key.prefix, "scopes": scopes, "expires_at": key.expires_at})
        return
    stdout().print(secret)
    stderr().print(f"This is the only time that it is shown. {key.prefix} names it from now on.")


def _document(key: ApiKey) -> dict[str, object]:
    return {
        "prefix": key.prefix,
        "user": key.user.name,
        "label": key.label,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }


def _print_table(keys: Sequence[ApiKey]) -> None:
    from rich.table import Table

    table = Table("prefix", "user", "label", "scopes", "expires", "last used", box=None, header_style="bold")
    for key in keys:
        times = (f"{time:%Y-%m-%d %H:%M}" if time else "never" for time in (key.expires_at, key.last_used_at))
        table.add_row(key.prefix, shown(key.user.name), shown(key.label), " ".join(sorted(key.scopes)), *times)
    stdout().print(table)
