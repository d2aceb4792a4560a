"""GET /v1/match/{key}: what is known of a fingerprint already; unlike a POST, every cache on the way may keep it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Header, Path, Request, Response

from backend.api.access import remember
from backend.api.problems import problem_examples
from backend.api.schemas import RecognitionResource
from backend.errors import InvalidRequest, MatchNotFound

if TYPE_CHECKING:
    from backend.composition import Origin

router = APIRouter(tags=["recognition"])

Key = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{64}$",
        description="`query.sha256` of an answer: the SHA-256 that names a fingerprint, `Fingerprint.key`, in hex.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    ),
]
ETag = Annotated[str | None, Header(description="The `ETag` of an earlier answer: 304 when it still holds.")]


@router.get(
    "/v1/match/{key}",
    summary="Ask what is known of a fingerprint",
    response_model=RecognitionResource,
    responses=problem_examples(MatchNotFound, InvalidRequest)
    | {304: {"description": "What the caller has still holds."}},
)
async def match(request: Request, key: Key, if_none_match: ETag = None) -> Response:
    """Return the answer that was given to this fingerprint lately; 404 says to POST it to /v1/recognize.

    `request_id` and `X-Request-ID` of an answer that a cache kept are those of whoever asked first.
    """
    origin: Origin = request.app.state.origin
    recognition = await origin.recognizer.known(key)
    if recognition is None:
        raise MatchNotFound
    remember(request, recognition)
    answer = RecognitionResource.of(recognition, request_id=request.state.request_id)
    seconds = origin.settings.cache_ttl_seconds if answer.matches else origin.settings.cache_no_match_ttl_seconds
    shared = "public" if origin.settings.auth == "off" else "private"  # a cache cannot tell who may ask
    headers = {"Cache-Control": f"{shared}, max-age={seconds:.0f}", "ETag": _etag(answer)}
    if headers["ETag"] in (if_none_match or ""):
        return Response(status_code=304, headers=headers)
    return Response(answer.model_dump_json(), media_type="application/json", headers=headers)


def _etag(answer: RecognitionResource) -> str:
    """Name what is answered: weakly, for how it is answered differs each time."""
    said = answer.model_dump_json(exclude={"request_id", "cache"})
    return f'W/"{hashlib.sha256(said.encode()).hexdigest()[:32]}"'
