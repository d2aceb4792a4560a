"""Clients of AWS's services, and their errors as ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backend.errors import InvalidRequest, UnavailableError
from backend.settings import Settings

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError
except ImportError as error:
    raise InvalidRequest("objects, queues and secrets of AWS need boto3: pip install 'sonica[aws]'") from error

logging.getLogger("botocore.credentials").setLevel(logging.WARNING)  # a line for each client that finds some

_CONNECTIONS_MAX = 64  # downloads, uploads and heartbeats side by side; boto3's 10 would have them wait in silence
_CONNECT_SECONDS_MAX = 5.0
_READ_SECONDS_MAX = 30.0  # for the next bytes, not for all; longer than the longest poll of a queue, 20 s
_ATTEMPTS = 5


def open_client(service: str, settings: Settings) -> Any:  # noqa: ANN401 - boto3 makes its classes when it runs
    """Return a client that threads may share; whatever a setting leaves open boto3 looks up as it always does."""
    return boto3.client(
        service,
        endpoint_url=settings.aws_endpoint_url,
        region_name=settings.aws_region,
        config=Config(
            connect_timeout=_CONNECT_SECONDS_MAX,
            read_timeout=_READ_SECONDS_MAX,
            max_pool_connections=_CONNECTIONS_MAX,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            s3={"addressing_style": "path"} if settings.aws_endpoint_url else None,  # buckets have no host names there
        ),
    )


@contextmanager
def translated(unavailable: type[UnavailableError], what: str) -> Iterator[None]:
    """Raise `unavailable` for what goes wrong on the way to a service, and for what the service refuses.

    A refusal is one too: what is not allowed to this program, or wrongly set up, is put right without it.
    """
    try:
        yield
    except (ClientError, BotoCoreError, HTTPError) as error:
        raise unavailable(f"{what}: {error}") from error


def refusal(error: BaseException | None) -> str:
    """Return the code with which a service refused, such as `NoSuchKey`; blank when it did not answer at all."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
