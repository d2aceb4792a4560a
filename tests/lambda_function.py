"""The origin as a Lambda function, run by AWS's runtime client, and the events that AWS would send it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl

from edge_benchmarks.runtime_api import Function, running

ROOT = Path(__file__).parents[1]
HANDLER = "backend.lambda_handler.handler"
ADDRESS = "203.0.113.9"

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, before a service of AWS makes an event of it."""

    path: str
    method: str = "GET"
    body: bytes = b""
    headers: dict[str, str] | None = None
    query: str = ""


def http_api_event(request: Request, *, domain: str = "abc.execute-api.eu-west-1.amazonaws.com") -> Event:
    """Return the event of an HTTP API with payload format 2.0.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    forwarded = {"host": domain, "x-forwarded-for": ADDRESS, "x-forwarded-port": "443", "x-forwarded-proto": "https"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": {**forwarded, **{name.lower(): value for name, value in (request.headers or {}).items()}},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": domain,
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": ADDRESS,
                "userAgent": "curl",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1773342238000,
        },
        **({"body": base64.b64encode(request.body).decode()} if request.body else {}),
        "isBase64Encoded": bool(request.body),
    }


def function_url_event(request: Request) -> Event:
    """Return the event of a function URL, which is that of an HTTP API."""
    return http_api_event(request, domain="abc.lambda-url.eu-west-1.on.aws")


def load_balancer_event(request: Request, *, forwarded_for: str = ADDRESS) -> Event:
    """Return the event of an Application Load Balancer.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
    """
    forwarded = {"host": "lb.elb.amazonaws.com", "x-forwarded-for": forwarded_for, "x-forwarded-port": "443"}
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/a/b"}},
        "httpMethod": request.method,
        "path": request.path,
        "queryStringParameters": dict(parse_qsl(request.query)),
        "headers": {**forwarded, **{name.lower(): value for name, value in (request.headers or {}).items()}},
        "body": base64.b64encode(request.body).decode(),
        "isBase64Encoded": bool(request.body),
    }


EVENTS: dict[str, Callable[[Request], Event]] = {
    "http_api": http_api_event,
    "function_url": function_url_event,
    "load_balancer": load_balancer_event,
}


def content_of(answer: Event) -> dict[str, Any]:
    """Return the JSON of an answer, which needs no base64."""
    assert not answer["isBase64Encoded"]
    content: dict[str, Any] = json.loads(answer["body"])
    return content


@contextmanager
def origin_function(
    data_dir: Path,
    database_url: str | None,
    *,
    snap_start: bool = False,
    messages: IO[bytes] | None = None,
    environment: dict[str, str] | None = None,
    **settings: str,
) -> Iterator[Function]:
    """Run the origin's function; settings: names without SONICA_, in lower case; environment: more of it."""
    given = {"data_dir": str(data_dir), "auth": "on", **({"database_url": database_url} if database_url else {})}
    variables = {f"SONICA_{name.upper()}": value for name, value in {**given, **settings}.items()}
    variables |= environment or {}
    with running(ROOT, HANDLER, settings=variables, snap_start=snap_start, messages=messages) as function:
        yield function
