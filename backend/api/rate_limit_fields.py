"""The fields that tell a caller of its quotas, after draft-ietf-httpapi-ratelimit-headers-11 (May 2026)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.cache.quotas import Standing


def rate_limit_fields(standings: Iterable[Standing]) -> dict[str, str]:
    """Return `RateLimit-Policy` (q: quota, w: window) and `RateLimit` (r: remaining, t: until the window ends).

    Both are lists of structured fields (RFC 9651), an item a policy; seconds and requests are whole numbers.
    """
    policies, limits = [], []
    for standing in standings:
        policies.append(f'"{standing.policy}";q={standing.quota};w={standing.window_seconds}')
        limits.append(f'"{standing.policy}";r={standing.remaining};t={standing.reset_seconds}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(limits)}
