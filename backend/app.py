"""The origin as a web application: what it is made of, from top to bottom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import structlog
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from backend.api import health, problems, recognize, songs
from backend.api.limits import Limits, RequestLimits
from backend.api.request_scope import RequestScope
from backend.composition import Origin, open_origin
from backend.observability import Metrics, configure_logging
from backend.settings import Settings

_log = structlog.stdlib.get_logger("sonica.app")
_DESCRIPTION = """Name the song that a few seconds of audio are from.

Every error is an `application/problem+json` (RFC 9457) with one of these codes:

"""


def create_app(
    settings: Settings,
    *,
    open_origin: Callable[[Settings], AbstractAsyncContextManager[Origin]] = open_origin,
) -> FastAPI:
    """Return the application; what it serves from is opened when it starts and closed when it stops."""
    configure_logging(settings.log_level)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_origin(settings) as origin:
            app.state.origin = origin
            async with following_catalogue(origin, poll_seconds=settings.index_poll_seconds):
                yield

    app = FastAPIOffline(  # /docs loads nothing from elsewhere
        redoc_url=None,
        title="Sonica",
        version=_version(),
        description=_DESCRIPTION + problems.errors_table(),
        lifespan=lifespan,
    )
    app.state.metrics = metrics = Metrics()
    for room in (recognize, songs, health, problems):
        app.include_router(room.router)
    problems.answer_with_problems(app)
    limits = Limits.from_settings(settings, recognition_paths=recognize.PATHS)
    app.add_middleware(RequestLimits, limits=limits)
    app.add_middleware(RequestScope, metrics=metrics)  # the last one added is the outermost
    return app


@asynccontextmanager
async def following_catalogue(origin: Origin, *, poll_seconds: float) -> AsyncIterator[None]:
    """Keep the index up with the catalogue's changes; save it in the end."""
    stopping = asyncio.Event()
    following = asyncio.create_task(_follow(origin, poll_seconds=poll_seconds, stopping=stopping))
    try:
        yield
    finally:
        stopping.set()  # no cancellation: a change half applied must not be saved
        await following
        await asyncio.to_thread(origin.index.save)


async def _follow(origin: Origin, *, poll_seconds: float, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        try:
            await origin.index.catch_up()
        except Exception as error:  # an outage of the database ends; the next poll will see
            _log.warning("index_cannot_catch_up", error=repr(error), retry_seconds=poll_seconds)
        await _wait(stopping, seconds_max=poll_seconds)


async def _wait(event: asyncio.Event, *, seconds_max: float) -> None:
    try:
        async with asyncio.timeout(seconds_max):
            await event.wait()
    except TimeoutError:
        return


def _version() -> str:
    try:
        return version("sonica")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"
