"""The origin behind a node: asked by fingerprint, within the deadline, left alone while it keeps failing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from backend.breaker import Breaker
from backend.deadline import seconds_left
from backend.errors import OriginUnavailable
from backend.settings import Settings

FAILURES_MAX = 3  # in a row, then the origin is left alone ...
RETRY_SECONDS = 1.0  # ... for this long
_PASSED_ON = ("accept", "accept-language", "authorization", "content-type", "traceparent", "user-agent", "x-request-id")
_RELAYED = ("content-type", "retry-after", "cache-control", "allow", "www-authenticate")
_AWAY = 500  # and beyond; what it says below that is for the caller


@dataclass(frozen=True, slots=True)
class Reply:
    """What the origin answered, as far as callers see it."""

    status: int
    body: bytes
    headers: dict[str, str]


class Origin:
    """Recognizes what a node cannot."""

    def __init__(self, url: str, *, seconds_max: float, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """transport: in place of the network, for tests."""
        # Redirects are not followed: callers' keys go to the address that was set, and to no other.
        self._client = httpx.AsyncClient(base_url=url.rstrip("/"), follow_redirects=False, transport=transport)
        self._seconds_max = seconds_max
        self._breaker = Breaker(failures_max=FAILURES_MAX, retry_seconds=RETRY_SECONDS)

    @classmethod
    def from_settings(cls, settings: Settings) -> Origin | None:
        """Return the origin of SONICA_ORIGIN_URL, None without one."""
        return cls(settings.origin_url, seconds_max=settings.origin_seconds_max) if settings.origin_url else None

    @property
    def left_alone(self) -> bool:
        """Whether requests are kept away from it now."""
        return self._breaker.open

    async def recognize(self, body: bytes, query: str, headers: Mapping[str, str]) -> Reply:
        """Post a body to /v1/recognize; raises OriginUnavailable when no answer comes in time."""
        if not self._breaker.allows():
            raise OriginUnavailable
        passed_on = {name: headers[name] for name in _PASSED_ON if name in headers}
        try:
            answer = await self._client.post(
                "/v1/recognize" + (f"?{query}" if query else ""),
                content=body,
                headers=passed_on,
                timeout=seconds_left(self._seconds_max),
            )
        except httpx.HTTPError as error:
            self._breaker.failed()
            raise OriginUnavailable(f"the origin does not answer: {type(error).__name__}") from error
        if answer.status_code >= _AWAY:
            self._breaker.failed()
            raise OriginUnavailable(f"the origin answers {answer.status_code}")
        self._breaker.succeeded()
        relayed = {name: answer.headers[name] for name in _RELAYED if name in answer.headers}
        return Reply(answer.status_code, answer.content, relayed)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
