"""Is the process alive, can it recognize, and how is it doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from backend.api.problems import problem_examples
from backend.api.schemas import Alive, Ready
from backend.errors import NotReady, SonicaError

if TYPE_CHECKING:
    from backend.composition import Origin

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> Alive:
    """Say that the process answers."""
    return Alive()


@router.get("/readyz", responses=problem_examples(NotReady))
async def readyz(request: Request) -> Ready:
    """Say that recognitions can be answered, else which part is missing."""
    origin: Origin = request.app.state.origin
    try:
        revision = await origin.catalogue.revision()
    except (SonicaError, OSError) as error:
        raise NotReady(f"The catalogue is missing: {error}") from error
    status = origin.index.status()
    return Ready(
        songs=status.songs,
        segments=status.segments,
        index_version=status.version,
        revisions_behind=max(0, revision - status.revision),
    )


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Return the metrics for Prometheus."""
    status = request.app.state.origin.index.status()
    measured = request.app.state.metrics
    measured.describe_index(songs=status.songs, segments=status.segments, size_bytes=status.bytes)
    return Response(measured.exposition(), media_type=CONTENT_TYPE_LATEST)
