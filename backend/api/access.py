"""Who may do what, and how often: every request that is not public is somebody's, and counted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import Request, Security
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.accounts.identity import Identity
from backend.api.addresses import Network, client_address, read_networks
from backend.api.problems import problem_examples, problem_response
from backend.api.rate_limit_fields import rate_limit_fields
from backend.deadline import within
from backend.errors import (
    InsufficientScope,
    InvalidCredentials,
    IssuerUnavailable,
    SonicaError,
    TooManyRequests,
    Unauthenticated,
)
from backend.models import Recognition, Role
from backend.models import Scope as Permission
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.cache.quotas import Quotas, Standing
    from backend.composition import Accounts

_PUBLIC = re.compile(r"/livez|/readyz|/docs|/docs/errors|/openapi\.json|/static-offline-docs/[^/]+")
# The first that fits says which scope is needed, None any; what nothing fits needs `admin`, until it is put here.
_NEEDED: tuple[tuple[str, str, Permission | None], ...] = (
    (r"POST", r"(/v1)?/recognize", "recognize"),
    (r"GET", r"/v1/match/[^/]+", "recognize"),
    (r"GET", r"/v1/songs(/[^/]+)?", "songs:read"),
    (r"POST|PUT|PATCH|DELETE", r"/v1/songs(/[^/]+)?", "songs:write"),
    (r"GET|PUT|DELETE", r"/v1/me(/.+)?", None),
)
_CHALLENGES: Mapping[type[SonicaError], str] = {  # RFC 6750
    Unauthenticated: 'Bearer realm="sonica"',
    InvalidCredentials: 'Bearer realm="sonica", error="invalid_token"',
    InsufficientScope: 'Bearer realm="sonica", error="insufficient_scope"',
}


def needed_scope(method: str, path: str) -> Permission | None:
    """Return the scope that a request needs, None where any identity will do."""
    for methods, paths, scope in _NEEDED:
        if re.fullmatch(methods, method) and re.fullmatch(paths, path):
            return scope
    return "admin"


def remember(request: Request, recognition: Recognition) -> None:
    """Have a recognition counted, and recorded for whoever asked, if anybody is known to have."""
    request.state.recognition = recognition
    identity: Identity | None = getattr(request.state, "identity", None)
    if identity is not None:
        accounts: Accounts = request.app.state.origin.accounts
        accounts.recorder.recognized(identity.user.id, recognition)


def documented(settings: Settings) -> dict[str, Any]:
    """Return what `include_router` takes for the documentation to say that callers must say who they are."""
    if settings.auth == "off":
        return {}
    refusals = (Unauthenticated, InvalidCredentials, InsufficientScope, TooManyRequests, IssuerUnavailable)
    return {
        "dependencies": [Security(HTTPBearer(auto_error=False, description="An API key, `sk_...`, or a token."))],
        "responses": problem_examples(*refusals),
    }


def is_public(path: str) -> bool:
    """Say whether a path is open to everybody: health and documentation are, metrics are not."""
    return _PUBLIC.fullmatch(path) is not None


class Access:
    """Pure ASGI middleware: refuses before a body is read; leaves the identity in the request's state."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._proxies: Sequence[Network] = read_networks(settings.trusted_proxies)
        self._address_quota = settings.rate_limit_address
        self._wait_seconds = settings.database_wait_seconds
        self._quotas: Mapping[Role, int] = {
            "free": settings.rate_limit_free,
            "premium": settings.rate_limit_premium,
            "admin": settings.rate_limit_admin,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request if its sender may, else answer with a problem."""
        if scope["type"] == "websocket":  # there is none yet; none is to come unguarded
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http" or is_public(scope["path"]):
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._admit(scope, answer.fields)
        except SonicaError as error:
            if challenge := _CHALLENGES.get(type(error)):
                answer.fields["WWW-Authenticate"] = challenge
            await problem_response(error, scope)(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    async def _admit(self, scope: Scope, fields: dict[str, str]) -> None:
        accounts: Accounts = scope["app"].state.origin.accounts
        try:
            with within(self._wait_seconds):
                identity = await accounts.authenticator.identify(Headers(scope=scope).getlist("authorization"))
        except (Unauthenticated, InvalidCredentials):
            await self._count(accounts.quotas, scope, None, fields)
            raise
        if identity.key_id is not None:
            accounts.recorder.used(identity.key_id)
        await self._count(accounts.quotas, scope, identity, fields)
        needed = needed_scope(scope["method"], scope["path"])
        if not identity.allows(needed):
            raise InsufficientScope(f"This needs the scope {needed}.")
        scope["state"]["identity"] = identity

    async def _count(self, quotas: Quotas, scope: Scope, identity: Identity | None, fields: dict[str, str]) -> None:
        """Count the request for its user, and for its address unless the user is better known than that."""
        standings: list[Standing] = []
        if identity is not None:
            user = identity.user
            standings.append(await quotas.take("user", str(user.id), self._quotas[user.role]))
        if identity is None or identity.user.role == "free":
            address = client_address(scope, self._proxies)
            standings.append(await quotas.take("address", address, self._address_quota))
        fields.update(rate_limit_fields(standings))
        exceeded = [standing for standing in standings if not standing.granted]
        if exceeded:
            worst = max(exceeded, key=lambda standing: standing.reset_seconds)
            fields["Retry-After"] = str(worst.reset_seconds)
            scope["state"]["exceeded"] = worst.policy
            raise TooManyRequests(
                f"More than {worst.quota} requests in {worst.window_seconds} s from one {worst.policy}; "
                f"go on in {worst.reset_seconds} s."
            )


class _Answer:
    """Sends a response with more fields, and keeps it from caches that are not the caller's own."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.fields: dict[str, str] = {}

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Any = MutableHeaders(scope=message)
            headers.update(self.fields)
            headers["Cache-Control"] = headers.get("cache-control", "no-store").replace("public", "private")
            headers.add_vary_header("Authorization")
        await self._send(message)
