"""The parser of queries.sql."""

import re
from pathlib import Path

import pytest

from backend.catalogue import postgres
from backend.catalogue.queries import QUERIES, parse


def test_statements_come_without_comments_when_parsed() -> None:
    text = "-- a file\n\n-- name: one\n-- why\nselect 1\n\n-- name: two\nselect 2,\n    3\n"

    assert parse(text) == {"one": "select 1", "two": "select 2,\n    3"}


@pytest.mark.parametrize("text", ["-- name: one\nselect 1\n-- name: one\nselect 2", "-- name: one\n-- why\n"])
def test_parse_refuses_when_a_name_comes_twice_or_has_no_statement(text: str) -> None:
    with pytest.raises(ValueError, match="one"):
        parse(text)


def test_every_statement_has_a_user_when_the_adapter_is_read() -> None:
    used = re.findall(r'QUERIES\["(\w+)"\]', Path(postgres.__file__).read_text(encoding="utf-8"))

    assert set(used) == set(QUERIES)
