from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from backend.observability import Metrics, configure_logging


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


def test_metrics_are_apart_when_there_are_two_apps() -> None:
    one, other = Metrics(), Metrics()
    one.describe_index(songs=3, segments=40, size_bytes=5_000)

    assert b"sonica_index_songs 3.0" in one.exposition()
    assert b"sonica_index_songs 0.0" in other.exposition()
