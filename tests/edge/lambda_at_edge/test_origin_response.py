from __future__ import annotations

from typing import Any

import pytest

from edge_functions.lambda_at_edge.origin_response import SECURITY, handler
from edge_functions.lambda_at_edge.settings import Settings
from tests.edge.lambda_at_edge.events import assert_cloudfront_takes, header_of, make_event, untouched


def answered(event: dict[str, Any], **settings: int) -> dict[str, Any]:
    before = untouched(event)
    answer = handler(event, None, settings=Settings(**settings))
    assert event == before
    assert_cloudfront_takes(answer, event, response=True)
    return answer


@pytest.mark.parametrize(
    ("status", "stated", "expected"),
    [
        ("200", "public, max-age=30", "public, max-age=30"),
        ("200", "public, max-age=86400", "public, max-age=300"),
        ("200", "Max-Age=12", "public, max-age=12"),
        ("200", "private, max-age=30", "private, max-age=30"),
        ("200", "no-store", "no-store"),
        ("200", "no-store, max-age=30", "no-store"),
        ("200", "s-max-age=30", "no-store"),
        ("200", None, "no-store"),
        ("304", "public, max-age=30", "public, max-age=30"),
        ("404", "public, max-age=5", "public, max-age=9"),
        ("404", None, "public, max-age=9"),
        ("422", "public, max-age=300", "no-store"),
        ("500", None, "no-store"),
        ("503", "public, max-age=300", "no-store"),
    ],
)
def test_match_is_cached_within_bounds_when_the_origin_answers(status: str, stated: str | None, expected: str) -> None:
    event = make_event("origin_response_match", response_status=status, response_headers={"cache-control": stated})

    answer = answered(event, match_seconds_max=300, missing_seconds=9)

    assert header_of(answer, "cache-control") == expected


def test_etag_stays_when_a_match_is_cached() -> None:
    assert (header_of(answered(make_event("origin_response_match")), "etag") or "").startswith('W/"')


def test_cache_headers_are_the_origins_when_a_clip_was_posted() -> None:
    assert header_of(answered(make_event("origin_response_post")), "cache-control") == "no-store"


@pytest.mark.parametrize("name", ["origin_response_match", "origin_response_post"])
def test_browsers_are_told_what_is_safe_when_anything_is_answered(name: str) -> None:
    answer = answered(make_event(name))

    assert {header: header_of(answer, header) for header in SECURITY} == SECURITY


def test_header_is_the_origins_when_it_has_one() -> None:
    event = make_event("origin_response_post", response_headers={"x-frame-options": "SAMEORIGIN"})

    assert header_of(answered(event), "x-frame-options") == "SAMEORIGIN"


def test_response_goes_on_untouched_when_it_is_not_understood() -> None:
    event = make_event("origin_response_match")
    event["Records"][0]["cf"]["response"]["headers"] = []

    assert handler(event, None) == event["Records"][0]["cf"]["response"]
