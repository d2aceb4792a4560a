"""What is told of a request once it is answered: one line in the log, and its metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from fastapi import APIRouter
from starlette.routing import Route
from starlette.types import Scope

from backend.accounts.identity import Identity
from backend.models import Recognition
from backend.observability.metrics import Metrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERRORS = 500
_log = structlog.stdlib.get_logger("sonica.http")


class RequestReport:
    """Reports what the rooms on the request's way left in its state: identity, recognition, problem, exceeded."""

    def __init__(self, metrics: Metrics, *, routers: Iterable[APIRouter], recognition_paths: frozenset[str]) -> None:
        """routers: whose routes name requests that were refused before they got to theirs."""
        self._metrics = metrics
        self._routes: Sequence[Route] = [
            route for router in routers for route in router.routes if isinstance(route, Route)
        ]
        self._recognition_paths = recognition_paths

    @contextmanager
    def under_way(self, scope: Scope) -> Iterator[None]:
        """Count the request while it is served."""
        with self._metrics.under_way(recognition=self._recognizes(scope)).track_inprogress():
            yield

    def answered(self, scope: Scope, status: int, *, seconds: float) -> dict[str, Any]:
        """Log and count the answer; return what the log says of it."""
        facts = {
            "method": scope["method"],
            "route": self._route(scope),
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            **_findings(scope["state"]),
        }
        self._count(scope, facts, seconds=seconds)
        (_log.warning if status >= _SERVER_ERRORS else _log.info)("request", **facts)
        return facts

    def _count(self, scope: Scope, facts: dict[str, Any], *, seconds: float) -> None:
        metrics, state, route = self._metrics, scope["state"], facts["route"]
        method = scope["method"] if scope["method"] in _METHODS else "other"  # a caller may make up any
        metrics.observe_request(method=method, route=route, status=facts["status"], seconds=seconds)
        identity: Identity | None = state.get("identity")
        metrics.observe_caller(identity.user.role if identity else "none")
        if recognition := state.get("recognition"):
            metrics.observe_recognition(recognition)
        if code := state.get("problem"):
            metrics.observe_problem(route=route, code=code)
            if self._recognizes(scope):
                metrics.observe_failure(code)
        if policy := state.get("exceeded"):
            metrics.observe_exceeded(policy)

    def _recognizes(self, scope: Scope) -> bool:
        return scope["method"] == "POST" and scope["path"] in self._recognition_paths

    def _route(self, scope: Scope) -> str:
        """Return the template of the path, `unrouted` where there is none: labels must stay few."""
        taken: str | None = getattr(scope.get("route"), "path", None)
        if taken is not None:
            return taken
        return next((route.path for route in self._routes if route.path_regex.match(scope["path"])), "unrouted")


def _findings(state: dict[str, Any]) -> dict[str, str | bool]:
    recognition: Recognition | None = state.get("recognition")
    found: dict[str, str | bool] = {}
    if recognition:
        found = {"outcome": recognition.status, "cache": recognition.cache}
    if recognition and recognition.degraded:
        found["degraded"] = True
    return found | ({"code": state["problem"]} if "problem" in state else {})
