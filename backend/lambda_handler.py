"""The origin on AWS Lambda: the same app on one event loop, its parts opened once and kept between invocations.

Between invocations the process is frozen: nothing runs behind the requests' backs. So the index catches up before a
request, and history is written after it. With SnapStart the parts are opened before the snapshot is taken, without
their connections, which open again at their next use.
"""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import FastAPI
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from snapshot_restore_py import (  # type: ignore[import-untyped,unused-ignore]
    register_after_restore,
    register_before_snapshot,
)
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.api.problems import MEDIA_TYPE, problem_response
from backend.app import create_app
from backend.composition import Origin, open_servers_origin
from backend.errors import InvalidRequest, SonicaError, UnavailableError
from backend.settings import Settings

if TYPE_CHECKING:
    from mangum.types import LambdaContext, LambdaEvent

    from backend.observability.tracing import Tracing

_WAITING_SECONDS_MAX = 1.0  # for the database before an answer, and after it
_PASSES = 5  # of the loop, to see that a connection was lost in the frost: last words, end, clean-up, and two to spare
_log = structlog.stdlib.get_logger("sonica.lambda")


class Function:
    """What AWS calls: takes the events of HTTP APIs (payload 2.0), of function URLs and of load balancers."""

    def __init__(self, settings: Settings) -> None:
        """Raises InvalidRequest for settings that cannot be meant."""
        _check(settings)
        settings = _with_room(settings)
        self._loop = asyncio.new_event_loop()  # the only one: connections and locks belong to that of their first use
        asyncio.set_event_loop(self._loop)  # Mangum takes it from here
        app = create_app(settings)
        self._origin = KeptOrigin(app, settings)
        self._tracing: Tracing | None = app.state.tracing
        app.user_middleware.insert(1, Middleware(_WithOrigin, origin=self._origin))  # 0 gives each request its id
        self._serve = Mangum(app, lifespan="off", text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE])
        self._cold = True
        logging.getLogger("mangum").setLevel(logging.WARNING)  # its line for each request repeats ours
        register_before_snapshot(self._before_snapshot)
        register_after_restore(self._after_restore)

    def __call__(self, event: LambdaEvent, context: LambdaContext) -> dict[str, Any]:
        """Return what the event's sender takes for the response."""
        cold, self._cold = self._cold, False
        with structlog.contextvars.bound_contextvars(aws_request_id=context.aws_request_id, cold_start=cold):
            answer = self._serve(event, context)
            if self._tracing is not None:
                self._tracing.flush()  # what is left waits in the frost, maybe for ever
            return answer

    def _before_snapshot(self) -> None:
        self._loop.run_until_complete(self._origin.prepare())

    def _after_restore(self) -> None:
        random.seed()  # all that are restored from one snapshot would draw the same numbers
        self._loop.run_until_complete(self._origin.resume())


class KeptOrigin:
    """The origin, opened at its first use and never closed."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._opened = AsyncExitStack()
        self._origin: Origin | None = None
        self._catching_up: asyncio.Task[None] | None = None
        # By the clock on the wall: others may stand still while the process is frozen.
        self._looked_at = self._bundles_looked_at = 0.0

    async def prepare(self) -> None:
        """Open everything but connections."""
        origin = await self._open()
        await _write_history(origin)
        await origin.disconnect()

    async def resume(self) -> None:
        """Take up what `prepare` left."""
        origin = await self._open()
        origin.reconnect()
        self._looked_at = 0.0
        await self.up_to_date()

    async def up_to_date(self) -> Origin:
        """Return the origin with the catalogue's changes, if it was looked at long ago.

        A slow database is waited for only so long. Raises whatever keeps the origin from opening.
        """
        origin = await self._open()
        for _ in range(_PASSES):
            await asyncio.sleep(0)
        if time.time() - self._looked_at >= self._settings.index_poll_seconds:
            if self._catching_up is None or self._catching_up.done():
                self._catching_up = asyncio.create_task(self._catch_up(origin))
            # No cancellation: a change half applied would be applied twice. It goes on in the next invocation.
            await asyncio.wait([self._catching_up], timeout=_WAITING_SECONDS_MAX)
        return origin

    async def _open(self) -> Origin:
        if self._origin is None:
            self._origin = await self._opened.enter_async_context(open_servers_origin(self._settings))
            self._app.state.origin = self._origin
            self._looked_at = self._bundles_looked_at = time.time()
        return self._origin

    async def _catch_up(self, origin: Origin) -> None:
        try:
            await origin.index.catch_up()
        except Exception as error:  # an outage of the database ends; the next request will see
            _log.warning("index_cannot_catch_up", error=repr(error))
        self._looked_at = time.time()
        if origin.bundles is None or self._looked_at - self._bundles_looked_at < self._settings.bundle_poll_seconds:
            return
        self._bundles_looked_at = self._looked_at
        await origin.bundles.refresh()  # as long as it takes: requests are answered meanwhile


class _WithOrigin:
    """Pure ASGI middleware: sees to the origin before and after each request, or says why there is none."""

    def __init__(self, app: ASGIApp, *, origin: KeptOrigin) -> None:
        self._app = app
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _set_client(scope)
        try:
            origin = await self._origin.up_to_date()
        except SonicaError as error:
            _log.error("origin_cannot_open", error=repr(error))
            await problem_response(error, scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)
        await _write_history(origin)


async def _write_history(origin: Origin) -> None:
    if origin.accounts is None:
        return
    try:
        async with asyncio.timeout(_WAITING_SECONDS_MAX):
            await origin.accounts.recorder.flush()
    except (UnavailableError, TimeoutError) as error:
        _log.warning("history_waits", error=repr(error))


def _set_client(scope: Scope) -> None:
    """Name the address that a load balancer wrote down itself, the last one, where Mangum names the whole list."""
    if "elb" in scope["aws.event"]["requestContext"]:
        scope["client"] = (scope["client"][0].rpartition(",")[2].strip(), 0)


def _with_room(settings: Settings) -> Settings:
    """Have bundles kept in the one folder that can be written."""
    if settings.bundle_url is None or settings.bundle_dir is not None:
        return settings
    return settings.model_copy(update={"bundle_dir": Path(tempfile.gettempdir()) / "sonica-bundles"})


def _check(settings: Settings) -> None:
    if settings.auth == "off" and not settings.lambda_unguarded:
        raise InvalidRequest(
            "SONICA_AUTH=off would serve whoever can reach this function: set SONICA_AUTH=on, or "
            "SONICA_LAMBDA_UNGUARDED=true where IAM or a network guards it"
        )
    if settings.embeds_database:
        raise InvalidRequest(
            "SONICA_DATABASE_URL and SONICA_DATABASE_SECRET are unset: there is no embedded database on Lambda"
        )


handler = Function(Settings())  # type: ignore[call-arg]  # from the environment
