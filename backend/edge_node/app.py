"""The node as a web application: the core's limits, problems and log lines around routes of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI, Request, Response

from backend.api import problems
from backend.api.limits import Limits, RequestLimits
from backend.api.recognize import PATHS
from backend.api.request_report import RequestReport
from backend.api.request_scope import RequestScope
from backend.api.schemas import Alive
from backend.api.uploads import read_upload
from backend.audio.decoder import Decoder
from backend.audio.limits import DecoderLimits
from backend.cores import cores
from backend.edge_node.hot_songs import HotSongs
from backend.edge_node.node import EdgeNode
from backend.edge_node.origin import Origin
from backend.errors import NotReady
from backend.observability.logs import configure_logging
from backend.observability.metrics import Metrics
from backend.observability.tracing import Tracing
from backend.settings import Settings

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is made of."""

    node: EdgeNode
    hot_songs: HotSongs
    origin: Origin | None


def create_edge_app(settings: Settings) -> FastAPI:
    """Return the application; raises InvalidRequest for settings that cannot be meant."""
    configure_logging(settings.log_level)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would say each request again
    hot_songs = HotSongs.from_settings(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _parts(settings, hot_songs) as app.state.parts:
            following = asyncio.create_task(_follow(hot_songs, poll_seconds=settings.bundle_poll_seconds))
            try:
                yield
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    app = FastAPI(title="Sonica edge node", openapi_url=None, lifespan=lifespan)
    app.state.stopping = False
    app.include_router(router)
    problems.answer_with_problems(app)
    app.add_middleware(RequestLimits, limits=Limits.from_settings(settings, recognition_paths=PATHS))
    metrics = Metrics(recognitions_max=settings.concurrent_requests_max)
    report = RequestReport(metrics, routers=[router], recognition_paths=PATHS)
    tracing = Tracing.from_settings(settings, version="edge-node")
    app.add_middleware(RequestScope, report=report, tracing=tracing)  # the last one added is the outermost
    return app


@router.post("/recognize")
@router.post("/v1/recognize")
async def recognize(request: Request) -> Response:
    """Say which song a clip is from, as the origin does."""
    parts: Parts = request.app.state.parts
    upload = await read_upload(request)
    reply = await parts.node.recognize(upload, request.url.query, request.headers, request.state.request_id)
    return Response(reply.body, reply.status, reply.headers)


@router.get("/livez")
async def livez() -> Alive:
    """Say that the process answers."""
    return Alive()


@router.get("/readyz", response_model=None)
async def readyz(request: Request) -> Response | dict[str, object]:
    """Say whether songs can be named here, by the bundle or by the origin, and what is away."""
    parts: Parts = request.app.state.parts
    stopping, hot_songs, origin = request.app.state.stopping, parts.hot_songs, parts.origin
    if stopping or (hot_songs.in_place is None and origin is None):
        missing = "server" if stopping else "bundle"
        detail = "The server is about to stop." if stopping else hot_songs.problem or "There is no bundle yet."
        error = NotReady(f"This is missing: {missing}. {detail}")
        return problems.problem_response(error, request.scope, errors=[{"location": missing, "detail": detail}])
    away = {"bundle": hot_songs.problem is not None, "origin": origin is None or origin.left_alone}
    return {
        "status": "ready",
        "songs": hot_songs.in_place.songs if hot_songs.in_place else 0,
        "index_version": hot_songs.version,
        "degraded": [part for part in away if away[part]],
    }


@asynccontextmanager
async def _parts(settings: Settings, hot_songs: HotSongs) -> AsyncIterator[Parts]:
    await hot_songs.open()
    origin = Origin.from_settings(settings)
    threads = settings.concurrent_decodes_max or cores()
    try:
        with closing(Decoder(DecoderLimits.from_settings(settings), threads=threads)) as decoder:
            node = EdgeNode(decoder=decoder, hot_songs=hot_songs, origin=origin, settings=settings)
            yield Parts(node, hot_songs, origin)
    finally:
        if origin is not None:
            await origin.close()


async def _follow(hot_songs: HotSongs, *, poll_seconds: float) -> None:
    while True:
        await asyncio.sleep(poll_seconds)
        await hot_songs.refresh()
