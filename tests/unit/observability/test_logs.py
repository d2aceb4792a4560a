from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from backend.observability.logs import configure_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_logs_are_json_when_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")

    with structlog.contextvars.bound_contextvars(request_id="abc"):
        structlog.stdlib.get_logger("sonica.test").info("ours", songs=2)
        logging.getLogger("uvicorn.error").warning("of %s", "a library")
        logging.getLogger("uvicorn.error").debug("too quiet")

    ours, foreign = map(json.loads, capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["songs"], ours["level"], ours["logger"]) == ("ours", 2, "info", "sonica.test")
    assert (foreign["event"], foreign["level"]) == ("of a library", "warning")
    assert ours["request_id"] == foreign["request_id"] == "abc"


def test_each_error_is_one_line_when_it_has_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")

    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError:
        structlog.stdlib.get_logger("sonica.test").exception("failed")

    (line,) = capsys.readouterr().err.splitlines()
    assert "ZeroDivisionError: oops" in json.loads(line)["exception"]


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("Authorization: Bearer abc.DEF-123", "Authorization: Bearer [redacted]"),
        ("sk_0123456789ab_" + "Zz-_9" * 9 + " is revoked", "sk_0123456789ab_[redacted] is revoked"),
        ("token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln is old", "token [redacted] is old"),
        ("postgresql://sonica:pass:word@db:5432/x is away", "postgresql://sonica:[redacted]@db:5432/x is away"),
        ("redis://:hush@cache:6379 is away", "redis://:[redacted]@cache:6379 is away"),
        ("https://example.com/a@b?c=d is no secret", "https://example.com/a@b?c=d is no secret"),
    ],
)
def test_secrets_are_taken_out_when_a_line_quotes_them(
    told: str, kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO")

    structlog.stdlib.get_logger("sonica.test").info(told, error=told, authorization=told)
    logging.getLogger("a.library").info(told)

    ours, foreign = map(json.loads, capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["error"], foreign["event"]) == (kept, kept, kept)
    assert ours["authorization"] == "[redacted]"


def test_secrets_are_taken_out_when_a_traceback_quotes_them(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")

    try:
        raise ConnectionError("redis://:hush@cache:6379")
    except ConnectionError:
        structlog.stdlib.get_logger("sonica.test").exception("failed")

    assert "hush" not in capsys.readouterr().err
