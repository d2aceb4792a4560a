"""The syntax of draft-ietf-httpapi-ratelimit-headers-11: lists of structured fields (RFC 9651)."""

from __future__ import annotations

import re

from backend.api.rate_limit_fields import rate_limit_fields
from backend.cache.quotas import Standing

_INTEGER = r"(0|[1-9][0-9]{0,14})"
_ITEM = rf'"[a-z]+"(;[a-z]+={_INTEGER})+'
_LIST = re.compile(rf"{_ITEM}(, {_ITEM})*")


def test_fields_are_lists_of_items_with_whole_numbers() -> None:
    fields = rate_limit_fields(
        [
            Standing("user", quota=100, window_seconds=900, remaining=99, reset_seconds=900, granted=True),
            Standing("address", quota=1000, window_seconds=900, remaining=0, reset_seconds=12, granted=False),
        ]
    )

    assert fields == {
        "RateLimit-Policy": '"user";q=100;w=900, "address";q=1000;w=900',
        "RateLimit": '"user";r=99;t=900, "address";r=0;t=12',
    }
    assert all(_LIST.fullmatch(value) for value in fields.values())
