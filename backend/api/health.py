"""Is the process alive, can it recognize, and how is it doing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from backend.api.problems import problem_examples, problem_response
from backend.api.schemas import Alive, Ready
from backend.errors import NotReady, SonicaError

if TYPE_CHECKING:
    from backend.composition import Origin
    from backend.observability.metrics import Metrics

router = APIRouter(tags=["health"])
_STALE_SECONDS = 60.0  # an index that takes longer to catch up does not follow the catalogue
_log = structlog.stdlib.get_logger("sonica.health")


@router.get("/livez")
async def livez() -> Alive:
    """Say that the process answers."""
    return Alive()


@router.get("/readyz", response_model=Ready, responses=problem_examples(NotReady))
async def readyz(request: Request) -> Ready | Response:
    """Say that recognitions can be answered, else which part is missing: `errors` names it as `location`."""
    if request.app.state.stopping:
        return _missing(request, "server", "The server is about to stop.")
    origin: Origin = request.app.state.origin
    try:
        revision = await origin.catalogue.revision()
    except (SonicaError, OSError) as error:
        _log.warning("part_missing", part="catalogue", error=repr(error))
        return _missing(request, "catalogue", "The catalogue's database does not answer.")
    status = origin.index.status()
    behind = max(0, revision - status.revision)
    stale = behind > 0 and time.time() - origin.index.caught_up_at > _STALE_SECONDS
    return Ready(
        songs=status.songs,
        segments=status.segments,
        index_version=status.version,
        revisions_behind=behind,
        degraded=[*await origin.cache.parts_away(), *(["index"] if stale else [])],
    )


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Return the metrics for Prometheus."""
    origin: Origin = request.app.state.origin
    measured: Metrics = request.app.state.metrics
    measured.describe_cache(origin.cache.counts, memory_bytes=origin.cache.memory.size_bytes)
    measured.describe_breakers(origin.left_alone())
    status = origin.index.status()
    measured.describe_index(
        songs=status.songs,
        segments=status.segments,
        dead_segments=status.dead_segments,
        bytes=status.bytes,
        audio_seconds=status.audio_seconds,
        caught_up_timestamp_seconds=origin.index.caught_up_at,
        revisions_behind=origin.index.revisions_behind,
    )
    return Response(measured.exposition(), media_type=CONTENT_TYPE_LATEST)


def _missing(request: Request, part: str, detail: str) -> Response:
    error = NotReady(f"This is missing: {part}. {detail}")
    return problem_response(error, request.scope, errors=[{"location": part, "detail": detail}])
