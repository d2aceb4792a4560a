"""The origin as a web application: what it is made of, from top to bottom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import structlog
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from backend.api import health, match, me, problems, recognize, songs
from backend.api.access import Access, documented
from backend.api.limits import Limits, RequestLimits
from backend.api.request_report import RequestReport
from backend.api.request_scope import RequestScope
from backend.bundles.follower import BundleFollower
from backend.composition import Origin, open_servers_origin
from backend.observability.logs import configure_logging
from backend.observability.metrics import Metrics
from backend.observability.tracing import Tracing
from backend.settings import Settings

_log = structlog.stdlib.get_logger("sonica.app")
_DESCRIPTION = """Name the song that a few seconds of audio are from.

Whoever can, sends the audio's fingerprint: a tenth of the bytes or less, which nobody can play. The clients do where
they have the kernel, and send the audio where not: `sonica recognize --server`, `sonica_fingerprint.client` in Python
(the standard library and nothing else), `wasm/browser/sonica-client.mjs` in JavaScript.

Every error is an `application/problem+json` (RFC 9457) with one of these codes:

"""


def create_app(
    settings: Settings,
    *,
    open_origin: Callable[[Settings], AbstractAsyncContextManager[Origin]] = open_servers_origin,
) -> FastAPI:
    """Return the application; what it serves from is opened when it starts and closed when it stops."""
    configure_logging(settings.log_level)
    tracing = Tracing.from_settings(settings, version=_version())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_origin(settings) as origin:
            app.state.origin = origin
            async with (
                following_catalogue(origin, poll_seconds=settings.index_poll_seconds) as caught_up,
                following_bundles(origin, poll_seconds=settings.bundle_poll_seconds),
                warming_cache(origin, once=caught_up),
            ):
                yield
        if tracing is not None:
            await asyncio.to_thread(tracing.close)

    app = FastAPIOffline(  # /docs loads nothing from elsewhere
        redoc_url=None,
        title="Sonica",
        version=_version(),
        description=_DESCRIPTION + problems.errors_table(),
        lifespan=lifespan,
    )
    app.state.metrics = metrics = Metrics(version=_version(), recognitions_max=settings.concurrent_requests_max)
    app.state.stopping = False  # /readyz tells balancers
    app.state.tracing = tracing
    guarded, others = (recognize, match, songs, *([me] if settings.auth == "on" else [])), (health, problems)
    for room in guarded:
        app.include_router(room.router, **documented(settings))
    for room in others:
        app.include_router(room.router)
    problems.answer_with_problems(app)
    limits = Limits.from_settings(settings, recognition_paths=recognize.PATHS)
    app.add_middleware(RequestLimits, limits=limits)
    if settings.auth == "on":
        app.add_middleware(Access, settings=settings)
    routers = [room.router for room in (*guarded, *others)]
    app.state.report = report = RequestReport(metrics, routers=routers, recognition_paths=recognize.PATHS)
    app.add_middleware(RequestScope, report=report, tracing=tracing)  # the last one added is the outermost
    return app


@asynccontextmanager
async def following_catalogue(origin: Origin, *, poll_seconds: float) -> AsyncIterator[asyncio.Event]:
    """Keep the index up with the catalogue's changes; save it in the end. Yields what is set once it has them."""
    stopping, caught_up = asyncio.Event(), asyncio.Event()
    following = asyncio.create_task(_follow(origin, caught_up, poll_seconds=poll_seconds, stopping=stopping))
    try:
        yield caught_up
    finally:
        stopping.set()  # no cancellation: a change half applied must not be saved
        await following
        if caught_up.is_set():  # else it is what it was at the start, and older than a snapshot of now would say
            await asyncio.to_thread(origin.index.save)


@asynccontextmanager
async def following_bundles(origin: Origin, *, poll_seconds: float) -> AsyncIterator[None]:
    """Swap in what is published, while requests are served."""
    if origin.bundles is None:
        yield
        return
    stopping = asyncio.Event()
    following = asyncio.create_task(_follow_bundles(origin.bundles, poll_seconds=poll_seconds, stopping=stopping))
    try:
        yield
    finally:
        stopping.set()
        await following


@asynccontextmanager
async def warming_cache(origin: Origin, *, once: asyncio.Event) -> AsyncIterator[None]:
    """Load what is likely to be asked for, once the catalogue is there, while requests are served already."""
    warming = asyncio.create_task(_warm(origin, once))
    try:
        yield
    finally:
        warming.cancel()
        await asyncio.gather(warming, return_exceptions=True)


async def _follow(origin: Origin, caught_up: asyncio.Event, *, poll_seconds: float, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        try:
            await origin.index.catch_up()
            caught_up.set()
        except Exception as error:  # an outage of the database ends; the next poll will see
            _log.warning("index_cannot_catch_up", error=repr(error), retry_seconds=poll_seconds)
        await _wait(stopping, seconds_max=poll_seconds)


async def _warm(origin: Origin, once: asyncio.Event) -> None:
    await once.wait()
    await origin.cache.warm(origin.settings.cache_warm_songs)


async def _follow_bundles(bundles: BundleFollower, *, poll_seconds: float, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        await _wait(stopping, seconds_max=poll_seconds)
        if not stopping.is_set():
            await bundles.refresh()


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
