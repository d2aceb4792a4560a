"""The parser of queries.sql and accounts.sql."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from backend.catalogue import accounts, history, postgres
from backend.catalogue.queries import ACCOUNT_QUERIES, QUERIES, parse


def test_statements_come_without_comments_when_parsed() -> None:
    text = "-- a file\n\n-- name: one\n-- why\nselect 1\n\n-- name: two\nselect 2,\n    3\n"

    assert parse(text) == {"one": "select 1", "two": "select 2,\n    3"}


@pytest.mark.parametrize("text", ["-- name: one\nselect 1\n-- name: one\nselect 2", "-- name: one\n-- why\n"])
def test_parse_refuses_when_a_name_comes_twice_or_has_no_statement(text: str) -> None:
    with pytest.raises(ValueError, match="one"):
        parse(text)


def test_every_statement_has_a_user_when_the_adapter_is_read() -> None:
    assert used_in(postgres) == set(QUERIES)
    assert used_in(accounts) | used_in(history) == set(ACCOUNT_QUERIES)


def used_in(adapter: ModuleType) -> set[str]:
    return set(re.findall(r'QUERIES\["(\w+)"\]', Path(str(adapter.__file__)).read_text(encoding="utf-8")))
