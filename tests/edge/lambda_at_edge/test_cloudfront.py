from __future__ import annotations

import pytest

from edge_functions.lambda_at_edge.cloudfront import header, with_header, without_headers
from tests.edge.lambda_at_edge.events import NAMES, make_event, request_of


@pytest.mark.parametrize("name", NAMES)
def test_headers_are_read_by_their_names_when_an_event_is_of_any_kind(name: str) -> None:
    assert header(request_of(make_event(name)), "host") is not None
    assert header(request_of(make_event(name)), "x-missing") is None


def test_several_headers_become_one_when_they_have_one_name() -> None:
    request = request_of(make_event("viewer_request_get"))
    request["headers"]["accept"] = [{"key": "Accept", "value": "a"}, {"key": "Accept", "value": "b"}]

    assert header(request, "accept") == "a, b"


@pytest.mark.parametrize("name", ["content-length", "via", "connection", "x-edge-location", "x-amz-cf-id", "host"])
def test_header_is_refused_when_cloudfront_would_answer_502(name: str) -> None:
    request = request_of(make_event("viewer_request_get"))

    with pytest.raises(ValueError, match="502"):
        with_header(request, name, "x")
    with pytest.raises(ValueError, match="502"):
        without_headers(request, [name])
