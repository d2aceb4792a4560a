"""Runbooks name the test that tries them, and commands that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from backend.cli.main import app
from backend.settings import Settings
from tests.runbooks.runbook import FOLDER, Runbook

ROOT = Path(__file__).parents[2]
BOOKS = [Runbook.read(path.stem) for path in sorted(FOLDER.glob("*.md"))]
USAGE_ERROR: Any = typer.BadParameter.__base__  # of the click that typer carries
WANTED = {
    "catalogue_takedown",
    "database_away",
    "deploy",
    "index_corrupt",
    "region_lost",
    "restore",
    "roll_back",
    "rotate_keys",
}


def sonica_commands(script: str) -> list[list[str]]:
    """Return the arguments of each `sonica` in a script."""
    parts = re.split(r"\n|\|\||&&|;", script)
    return [shlex.split(part.partition("sonica ")[2]) for part in parts if re.match(r"^(\s*\w+=\S+ )*\s*sonica ", part)]


def resolved(arguments: list[str]) -> None:
    """Find the command that the arguments name, and parse its options; raises USAGE_ERROR."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if arguments[0] not in command.commands:
            raise USAGE_ERROR(f"there is no {arguments[0]}")
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_context("sonica", list(arguments))


def test_there_is_a_runbook_for_all_that_goes_wrong() -> None:
    assert {book.name for book in BOOKS} >= WANTED


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.name)
def test_runbook_names_the_test_that_runs_every_step_of_it(book: Runbook) -> None:
    (named,) = set(re.findall(r"tests/runbooks/test_\w+\.py", book.text))
    test = (ROOT / named).read_text(encoding="utf-8")

    assert f'Runbook.read("{book.name}")' in test
    assert {int(step) for step in re.findall(r"\.run\((\d+)", test)} == set(range(len(book.steps)))


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.name)
def test_commands_of_a_runbook_are_there(book: Runbook) -> None:
    commands = [arguments for step in book.steps for arguments in sonica_commands(step)]
    for arguments in commands:
        resolved([argument.replace("$", "") for argument in arguments])
    assert commands


def test_command_that_is_not_there_is_found() -> None:
    for arguments in (["bundles", "publish", "--now"], ["backup"], ["repair"]):
        with pytest.raises(USAGE_ERROR):
            resolved(arguments)


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.name)
def test_runbook_names_settings_and_pages_that_are_there(book: Runbook) -> None:
    settings = {f"SONICA_{name.upper()}" for name in Settings.model_fields}
    links = re.findall(r"\]\(([\w./]+\.md)\)", book.text)

    assert set(re.findall(r"SONICA_[A-Z_]+", book.text)) <= settings
    assert [link for link in links if not (FOLDER / link).exists()] == []
