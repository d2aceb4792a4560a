"""Every error that the edge answers itself, each with its HTTP status and stable code.

EdgeError               500 internal_error      something went wrong at the edge
├── RateLimited         429 rate_limited        this client asks too often
├── OriginUnavailable   503 origin_unavailable  the origin cannot be reached, and the edge does not know the song
├── OriginTimeout       504 origin_timeout      the origin did not answer within its deadline
└── OriginMalformed     502 origin_malformed    the origin's answer is not one
"""

from typing import ClassVar


class EdgeError(Exception):
    """Something went wrong at the edge."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry_after_seconds: ClassVar[int | None] = None

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.retry_after = retry_after_seconds or type(self).retry_after_seconds
        super().__init__(self.detail)


class RateLimited(EdgeError):
    """This client asks too often."""

    status = 429
    code = "rate_limited"


class OriginUnavailable(EdgeError):
    """The origin cannot be reached, and the edge does not know the song by itself."""

    status = 503
    code = "origin_unavailable"
    retry_after_seconds = 2


class OriginTimeout(EdgeError):
    """The origin did not answer within its deadline."""

    status = 504
    code = "origin_timeout"
    retry_after_seconds = 2


class OriginMalformed(EdgeError):
    """The origin's answer is not one."""

    status = 502
    code = "origin_malformed"
