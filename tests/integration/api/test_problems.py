from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.api.problems import error_tree
from backend.composition import Origin
from backend.errors import SonicaError
from backend.observability.logs import configure_logging
from backend.settings import Settings
from tests.origins import open_in_memory_origin, serving

PROBLEM_KEYS = {"type", "title", "status", "detail", "instance", "code", "request_id"}


class BrokenCatalogue:
    """A catalogue with a programming error."""

    async def songs(self, song_ids: list[int]) -> dict[int, Any]:
        raise ZeroDivisionError("secret detail")


@asynccontextmanager
async def open_broken_origin(settings: Settings) -> AsyncIterator[Origin]:
    async with open_in_memory_origin(settings) as origin:
        yield replace(origin, catalogue=BrokenCatalogue())


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/recognize", 405, "method_not_allowed"),
        ("GET", "/v1/songs/one", 422, "invalid_request"),
        ("POST", "/v1/recognize?include=everything", 422, "invalid_request"),
        ("GET", "/v1/songs/7", 404, "song_not_found"),
    ],
)
async def test_framework_errors_are_problems_when_a_request_is_wrong(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    response = await client.request(method, path)

    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem.keys() >= PROBLEM_KEYS
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["type"] == f"/docs/errors#{code}"


async def test_allowed_methods_are_told_when_the_method_is_wrong(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/recognize")).headers["allow"] == "POST"


async def test_nothing_leaks_when_an_unexpected_error_happens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path, open_origin=open_broken_origin) as client:
        response = await client.get("/v1/songs/1", headers={"X-Request-ID": "abc"})

    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert response.headers["x-request-id"] == "abc"
    assert "secret" not in response.text
    assert "ZeroDivisionError: secret detail" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["", "a b", "ä", "x" * 129, "<script>"])
async def test_request_id_is_made_when_the_given_one_is_not_fit(client: httpx.AsyncClient, given: str) -> None:
    response = await client.get("/livez", headers={"X-Request-ID": given.encode()})

    assert response.headers["x-request-id"] != given
    assert len(response.headers["x-request-id"]) == 32


TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_trace_is_echoed_and_logged_when_the_caller_is_in_one(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO")  # to the stderr of this very test
    traceparent = f"00-{TRACE_ID}-00f067aa0ba902b7-01"

    response = await client.get("/livez", headers={"traceparent": traceparent})

    assert response.headers["traceparent"] == traceparent
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["trace_id"] for line in logged if line["event"] == "request"] == [TRACE_ID]


@pytest.mark.parametrize(
    "given",
    [
        "",
        TRACE_ID,
        f"ff-{TRACE_ID}-00f067aa0ba902b7-01",
        f"00-{TRACE_ID.upper()}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID}-00f067aa0ba902b7-01-more",
    ],
)
async def test_trace_is_passed_over_when_it_is_not_valid(client: httpx.AsyncClient, given: str) -> None:
    response = await client.get("/livez", headers={"traceparent": given})

    assert (response.status_code, "traceparent" in response.headers) == (200, False)


@pytest.mark.parametrize("error", list(error_tree()), ids=lambda error: error.code)
async def test_code_is_documented_when_an_error_has_one(client: httpx.AsyncClient, error: type[SonicaError]) -> None:
    description = (await client.get("/openapi.json")).json()["info"]["description"]
    page = (await client.get("/docs/errors")).text

    assert f"| `{error.code}` | {error.status} |" in description
    assert f'id="{error.code}"' in page


def test_each_code_has_one_status_when_errors_share_it() -> None:
    codes = [error.code for error in error_tree()]

    assert len(codes) == len(set(codes))


async def test_every_operation_shows_its_problems_when_the_api_is_described(client: httpx.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()

    assert described["openapi"].startswith("3.1")
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert response["content"].keys() == {"application/problem+json"}
                    examples = response["content"]["application/problem+json"]["examples"]
                    assert examples, (path, method, status)
                    assert all(example["value"]["status"] == int(status) for example in examples.values())
    recognize = described["paths"]["/v1/recognize"]["post"]
    assert {"413", "415", "422", "500", "503"} <= recognize["responses"].keys()
    assert "multipart/form-data" in recognize["requestBody"]["content"]
