"""Logs: a line of JSON each, ours and those of libraries, with the ids of the request and without secrets.

Every line has `timestamp` (ISO 8601, UTC), `level`, `logger` and `event`; one of a request has `request_id`, and
`trace_id` where there is one (`span_id` too if it is traced here); the one that ends a request has `method`, `route`,
`status`, `duration_ms`, the `outcome` and `cache` of a recognition (`degraded` if it is), and the `code` of a problem.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_REDACTED = "[redacted]"
_SECRET_NAMES = frozenset({"authorization", "cookie", "password", "secret", "token", "api_key", "key"})
# A key's secret after its prefix, which is no secret; a JWT; a credential in a header; a password in a URL.
_SECRETS = re.compile(
    r"(?P<kept>sk_[0-9a-f]{12}_)[A-Za-z0-9_-]+"
    r"|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?P<scheme>\b(?:Bearer|Basic) )[A-Za-z0-9+/=._~-]+"
    r"|(?P<user>://[^\s:/@]*:)[^\s/@]+(?=@)",
    re.IGNORECASE,
)


def configure_logging(level: str) -> None:
    """Send our logs and those of libraries to stderr: a line of JSON each, or readable ones on a terminal."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering()],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _rendering() -> list[structlog.typing.Processor]:
    if sys.stderr.isatty():
        return [_without_secrets, structlog.dev.ConsoleRenderer()]
    return [structlog.processors.format_exc_info, _without_secrets, structlog.processors.JSONRenderer()]


def _without_secrets(_: object, __: str, values: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take out what nobody meant to log: an error may quote the URL or the header that it is about."""
    for name, value in values.items():
        if name in _SECRET_NAMES:
            values[name] = _REDACTED
        elif isinstance(value, str):
            values[name] = _SECRETS.sub(_redacted, value)
    return values


def _redacted(secret: re.Match[str]) -> str:
    return (secret["kept"] or secret["scheme"] or secret["user"] or "") + _REDACTED
