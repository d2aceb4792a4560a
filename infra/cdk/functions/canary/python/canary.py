"""The canary: asks as a listener would, by the public name, and raises where a listener would be disappointed."""

from __future__ import annotations

import json
import os
import random
import urllib.request
from typing import Any

import boto3

_SECONDS_MAX = 20
_RATE_HZ = 16_000
_CLIP_SECONDS = 3


def handler(_event: object, _context: object) -> str:
    """What CloudWatch Synthetics calls: raises for whatever is wrong."""
    secrets = boto3.client("secretsmanager")
    key = secrets.get_secret_value(SecretId=os.environ["CANARY_KEY"])["SecretString"]
    check(os.environ["SONICA_URL"], key)
    return "heard"


def check(url: str, key: str) -> None:
    """Ask whether the origin is ready and knows songs, and have noise recognized, which is none of them."""
    ready = _answer(f"{url}/readyz")
    if not ready["songs"]:
        raise RuntimeError("the origin knows no song")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": f"audio/L16;rate={_RATE_HZ};channels=1"}
    said = _answer(f"{url}/v1/recognize", noise(), headers)
    if said["status"] != "no_match":
        raise RuntimeError(f"noise is recognized as {said}")


def noise() -> bytes:
    """Return another clip at each call, so that no cache answers: every step of a recognition is taken."""
    return random.randbytes(2 * _RATE_HZ * _CLIP_SECONDS)  # noqa: S311  for no secret


def _answer(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(url, data=body, headers=headers or {})  # noqa: S310  of our own settings
    with urllib.request.urlopen(request, timeout=_SECONDS_MAX) as response:  # noqa: S310
        answer: dict[str, Any] = json.load(response)
        return answer
