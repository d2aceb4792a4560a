"""`sonica users`: who may ask a server that has SONICA_AUTH=on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from backend.cli.options import DataDir, Json, Jsonl, settings_from
from backend.cli.output import Exit, print_json, reporting, shown, stderr, stdout

if TYPE_CHECKING:
    from backend.catalogue.accounts import PostgresAccounts
    from backend.models import Role, User

T = TypeVar("T")
user_commands = typer.Typer(help="Add, list and delete users, and change their roles.", no_args_is_help=True)


class RoleName(StrEnum):
    """What a user may do, and how often."""

    FREE = "free"
    PREMIUM = "premium"
    ADMIN = "admin"


Name = Annotated[
    str, typer.Argument(help="The user's name; that of a token's user is ISSUER#SUBJECT.", show_default=False)
]


def with_accounts(data_dir: Path | None, act: Callable[[PostgresAccounts], Awaitable[T]]) -> T:
    """Do something with the users and keys."""

    async def run() -> T:
        from backend.composition import open_account_store

        async with open_account_store(settings_from(data_dir)) as accounts:
            return await act(accounts)

    return asyncio.run(run())


@user_commands.command()
def add(
    name: Name,
    role: Annotated[RoleName, typer.Option(help="What the user may do, and how often.")] = RoleName.FREE,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Add a user; `sonica keys create` makes a key for them."""
    with reporting(as_json=as_json):
        user = with_accounts(data_dir, lambda accounts: accounts.add_user(name, _role(role)))
        _print_user(user, "added", as_json=as_json)


@user_commands.command("list")
def list_users(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 1000,
    after: Annotated[int, typer.Option(min=0, help="Go on after the user of this id.")] = 0,
    data_dir: DataDir = None,
    as_json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """List users in the order of their ids."""
    with reporting(as_json=as_json or jsonl):
        found = with_accounts(data_dir, lambda accounts: accounts.users(after_id=after, limit=limit + 1))
        users, next_after = found[:limit], found[limit - 1].id if len(found) > limit else None
        if jsonl:
            for user in users:
                print_json(asdict(user))
        elif as_json:
            print_json({"items": [asdict(user) for user in users], "next_after": next_after})
        else:
            _print_table(users)
        if next_after is not None:
            stderr().print(f"There are more: --after {next_after}")


@user_commands.command()
def role(
    name: Name,
    to: Annotated[RoleName, typer.Argument(metavar="ROLE", help="free, premium or admin.", show_default=False)],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Give a user another role; servers follow within 10 seconds."""
    with reporting(as_json=as_json):
        user = with_accounts(data_dir, lambda accounts: accounts.set_role(name, _role(to)))
        _print_user(user, "changed", as_json=as_json)


@user_commands.command()
def delete(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of users.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Delete users with their keys, preferences and history; nothing brings them back."""

    async def delete_all(accounts: PostgresAccounts) -> list[bool]:
        return [await accounts.delete_user(name) for name in names]

    with reporting(as_json=as_json):
        if not yes:
            typer.confirm(f"Delete {len(names)} users and all that is theirs?", abort=True, err=True)
        done = dict(zip(names, with_accounts(data_dir, delete_all), strict=True))
        deleted, missing = ([name for name in done if done[name] is there] for there in (True, False))
        if as_json:
            print_json({"deleted": deleted, "missing": missing})
        else:
            for name in deleted:
                stdout().print(f"deleted {shown(name)}")
            for name in missing:
                stderr().print(f"[red]Error:[/] there is no user {shown(name)}")
        if missing:
            raise typer.Exit(Exit.SOME_FAILED if deleted else Exit.ERROR)


def _role(name: RoleName) -> Role:
    return name.value


def _print_user(user: User, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(user))
    else:
        stdout().print(f"{done} {shown(user.name)}, {user.role}")


def _print_table(users: Sequence[User]) -> None:
    from rich.table import Table

    table = Table("id", "name", "role", "since", box=None, header_style="bold")
    for user in users:
        table.add_row(str(user.id), shown(user.name), user.role, f"{user.created_at:%Y-%m-%d}")
    stdout().print(table)
