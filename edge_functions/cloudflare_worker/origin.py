"""The origin behind the edge: each try has its deadline, and a failure that may pass is tried once more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edge_functions.cloudflare_worker.errors import OriginUnavailable
from edge_functions.cloudflare_worker.messages import Reply, RequestHead

TRIES = 2
# What proxies say for an origin that is away; Cloudflare's own are https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/
AWAY_STATUSES = frozenset({502, 503, 504, 520, 521, 522, 523, 524, 530})
_PASSED_ON = ("accept", "accept-language", "authorization", "user-agent")
_RELAYED = ("content-type", "retry-after", "cache-control", "allow", "www-authenticate")

# Posts a body to a path of the origin, with headers. Raises OriginTimeout, OriginUnavailable.
Post = Callable[[str, bytes, dict[str, str]], Awaitable[Reply]]


class Origin:
    """Recognizes what the edge cannot."""

    def __init__(self, post: Post) -> None:
        self._post = post

    async def recognize(self, body: bytes, content_type: str, head: RequestHead) -> Reply:
        """Return the origin's reply, as far as callers see it.

        Raises OriginTimeout, OriginUnavailable. An origin that says itself why it cannot answer is heard.
        """
        passed_on = {name: head.headers[name] for name in _PASSED_ON if name in head.headers}
        headers = passed_on | head.passed_on | ({"content-type": content_type} if content_type else {})
        for last in (False,) * (TRIES - 1) + (True,):
            reply = await self._tried(head.path, body, headers, last=last)
            if reply is not None:
                return Reply(
                    reply.status, reply.body, {name: reply.headers[name] for name in _RELAYED if name in reply.headers}
                )
        raise OriginUnavailable

    async def _tried(self, path: str, body: bytes, headers: dict[str, str], *, last: bool) -> Reply | None:
        """Return the reply of one try, None when the origin is away."""
        try:
            reply = await self._post(path, body, headers)
        except OriginUnavailable:
            return None
        away = reply.status in AWAY_STATUSES
        explained = reply.headers.get("content-type", "").startswith("application/problem+json")
        return None if away and not (last and explained) else reply
