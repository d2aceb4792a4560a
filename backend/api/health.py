"""Is the process alive, can it recognize, and how is it doing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from backend.api.problems import problem_examples, problem_response
from backend.api.schemas import Alive, Ready
from backend.deadline import within
from backend.errors import CatalogueUnavailable, NotReady, StateError

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
    """Say that recognitions can be answered, else which part is missing: `errors` names it as `location`.

    A server without its catalogue is ready: it recognizes what its index holds. Were it not, all servers of a
    database would be taken away at once.
    """
    if request.app.state.stopping:
        return _missing(request, "server", "The server is about to stop.")
    origin: Origin = request.app.state.origin
    if not origin.index.caught_up_at:
        return _missing(request, "index", "The index has not been loaded yet.")
    away: list[str] = []
    status = origin.index.status()
    try:
        with within(origin.settings.database_wait_seconds):
            behind = max(0, await origin.catalogue.revision() - status.revision)
    except (CatalogueUnavailable, OSError) as error:
        _log.warning("part_missing", part="catalogue", error=repr(error))
        away, behind = ["catalogue"], origin.index.revisions_behind
    except StateError as error:
        _log.warning("part_missing", part="catalogue", error=repr(error))
        return _missing(request, "catalogue", error.detail)
    if behind > 0 and time.time() - origin.index.caught_up_at > _STALE_SECONDS:
        away.append("index")
    if origin.bundles is not None and origin.bundles.problem is not None:
        away.append("bundle")
    return Ready(
        songs=status.songs,
        segments=status.segments,
        index_version=status.version,
        revisions_behind=behind,
        degraded=[*away, *await origin.cache.parts_away()],
    )


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Return the metrics for Prometheus."""
    origin: Origin = request.app.state.origin
    measured: Metrics = request.app.state.metrics
    measured.describe_cache(origin.cache.counts, memory_bytes=origin.cache.memory.size_bytes)
    measured.describe_breakers(origin.left_alone())
    if origin.bundles is not None:
        measured.describe_bundle(**origin.bundles.measures())
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
