"""An authorizer of the origin's HTTP API: lets through what CloudFront sends, which alone knows the key."""

from __future__ import annotations

import hmac
import os
from typing import Any

import boto3

_secrets = boto3.client("secretsmanager")
_keys = [_secrets.get_secret_value(SecretId=name)["SecretString"] for name in os.environ["ORIGIN_KEYS"].split(",")]


def handler(event: dict[str, Any], _context: object) -> dict[str, bool]:
    """Answer in the simple form of payload 2.0."""
    given = event["headers"].get("x-sonica-origin-key", "")
    return {"isAuthorized": any(hmac.compare_digest(given.encode(), key.encode()) for key in _keys)}
