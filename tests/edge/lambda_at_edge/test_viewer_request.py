from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_functions.lambda_at_edge.settings import Settings
from edge_functions.lambda_at_edge.viewer_request import handler, token_flaw
from tests.edge.lambda_at_edge.events import (
    assert_cloudfront_takes,
    header_of,
    make_event,
    request_of,
    untouched,
)

NOW = 1_800_000_000.0
KEY = "ab" * 32


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def token(head: object = None, claims: object = None, signature: str = "c2ln") -> str:
    return ".".join([part(head or {"alg": "ES256", "typ": "JWT"}), part(claims or {"sub": "7"}), signature])


def answered(event: dict[str, Any], **settings: int) -> dict[str, Any]:
    before = untouched(event)
    answer = handler(event, None, settings=Settings(**settings))
    assert event == before
    assert_cloudfront_takes(answer, event)
    return answer


@pytest.mark.parametrize(
    ("uri", "normal"),
    [
        ("/recognize", "/v1/recognize"),
        ("/recognize/", "/v1/recognize"),
        ("//v1//recognize", "/v1/recognize"),
        ("/v1/songs/", "/v1/songs"),
        ("/docs", "/docs"),
        ("/", "/"),
        ("///", "/"),
    ],
)
def test_path_has_one_form_when_it_is_written_in_another(uri: str, normal: str) -> None:
    assert answered(make_event("viewer_request_post", uri=uri))["uri"] == normal


def test_cache_sees_one_request_when_a_match_is_asked_for_in_several_ways() -> None:
    uris = [f"/v1/match/{KEY}", f"/v1/match/{KEY.upper()}", f"/v1/match/{KEY}/"]
    requests = [
        answered(make_event("viewer_request_get", uri=uri, querystring=query, headers={"cookie": "a=b"}))
        for uri, query in zip(uris, ["", "utm_source=x", "include=candidates"], strict=True)
    ]

    assert {request["uri"] for request in requests} == {f"/v1/match/{KEY}"}
    assert {request["querystring"] for request in requests} == {""}
    assert all("cookie" not in request["headers"] for request in requests)


def test_query_is_kept_when_a_clip_is_posted() -> None:
    assert answered(make_event("viewer_request_post"))["querystring"] == "include=candidates"


def test_other_headers_are_kept_when_hop_headers_go() -> None:
    headers = {"te": "trailers", "x-sonica-size": "large", "traceparent": "00-a-b-01", "content-length": "10"}
    request = answered(make_event("viewer_request_post", headers=headers))

    assert "te" not in request["headers"]
    assert "x-sonica-size" not in request["headers"]
    assert header_of(request, "traceparent") == "00-a-b-01"


@pytest.mark.parametrize(
    ("length", "size"), [("100000", None), ("100001", "large"), (None, None), ("many", None), ("²", None)]
)
def test_clip_is_marked_when_it_is_larger_than_the_edge_reads(length: str | None, size: str | None) -> None:
    request = answered(make_event("viewer_request_post", headers={"content-length": length}))

    assert header_of(request, "x-sonica-size") == size


def test_clip_is_refused_when_it_is_larger_than_the_origin_takes() -> None:
    event = make_event("viewer_request_post", headers={"content-length": "10000001"})

    answer = answered(event)

    problem = json.loads(answer["body"])
    assert (answer["status"], problem["status"], problem["code"]) == ("413", 413, "clip_too_large")
    assert header_of(answer, "content-type") == "application/problem+json"
    assert header_of(answer, "cache-control") == "no-store"
    assert problem["request_id"] == event["Records"][0]["cf"]["config"]["requestId"]


def test_request_goes_on_when_nobody_authenticates() -> None:
    assert answered(make_event("viewer_request_get"))["method"] == "GET"


@pytest.mark.parametrize(
    "authorization", [f"Bearer {token()}", f"bearer  {token(claims={'exp': 9e9})}", "Bearer snc_live_0123456789abcdef"]
)
def test_request_goes_on_when_the_token_is_well_formed(authorization: str) -> None:
    request = answered(make_event("viewer_request_post", headers={"authorization": authorization}))

    assert header_of(request, "authorization") == authorization


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Basic dXNlcjpwYXNz",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer ..",
        f"Bearer {token()}.x",
        f"Bearer {token(signature='')}",
        f"Bearer {token(head={'alg': 'none'})}",
        f"Bearer {token(head={'alg': 'NONE'})}",
        f"Bearer {token(head={'typ': 'JWT'})}",
        f"Bearer {token(head=['alg'])}",
        f"Bearer {token(claims={'exp': 1})}",
        f"Bearer {token(claims={'exp': 'soon'})}",
        f"Bearer {token(claims={'exp': True})}",
        "Bearer " + "a" * 9000,
        "Bearer {}.{}.x".format(part([[]] * 3), "W1tb" * 500),
    ],
)
def test_request_is_refused_when_the_token_is_malformed(authorization: str) -> None:
    answer = answered(make_event("viewer_request_post", headers={"authorization": authorization}))

    assert (answer["status"], json.loads(answer["body"])["code"]) == ("401", "invalid_credentials")
    assert "invalid_token" in (header_of(answer, "www-authenticate") or "")


def test_token_holds_within_the_leeway_when_clocks_differ() -> None:
    authorization = f"Bearer {token(claims={'exp': NOW})}"

    assert token_flaw(authorization, now=NOW + 59, leeway_seconds=60) is None
    assert token_flaw(authorization, now=NOW + 61, leeway_seconds=60) == "The JSON Web Token has expired."


@given(st.text())
def test_token_is_judged_when_it_is_anything(text: str) -> None:
    flaw = token_flaw(f"Bearer {text}", now=time.time(), leeway_seconds=60)

    assert flaw is None or flaw.endswith(".")


@pytest.mark.parametrize("broken", [{"uri": None}, {"headers": []}, {"method": 3, "uri": 4}])
def test_request_goes_on_untouched_when_it_is_not_understood(broken: dict[str, Any]) -> None:
    event = make_event("viewer_request_post")
    request_of(event).update(broken)
    before = untouched(event)

    assert handler(event, None) == request_of(before)
