"""POST /v1/recognize: a clip or its fingerprint in, the song out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from sonica_fingerprint import CONTENT_TYPE

from backend.api.access import remember
from backend.api.problems import problem_examples
from backend.api.schemas import RecognitionResource, RecognitionWithCandidates
from backend.api.uploads import Upload, pcm_format, read_upload
from backend.audio.fingerprints import read_fingerprint
from backend.errors import (
    CatalogueUnavailable,
    ClipTooLarge,
    DeadlineExceeded,
    DecoderUnavailable,
    InvalidFingerprint,
    InvalidRequest,
    Overloaded,
    SonicaError,
    UndecodableAudio,
    UnsupportedAudio,
)
from backend.models import Recognition

if TYPE_CHECKING:
    from backend.composition import Origin

PATHS = frozenset({"/v1/recognize", "/recognize"})
router = APIRouter(tags=["recognition"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "properties": {"audio": {"type": "string", "format": "binary"}}}}
_BODY: dict[str, Any] = {
    "required": True,
    "description": "The first 20 s of the audio are used. The bytes say what they are; only `audio/L16` (16-bit "
    "integers, big-endian as in RFC 2586, `rate` required) and fingerprints go by their content type.",
    "content": {
        "audio/*": _BINARY,
        "audio/L16;rate=16000;channels=1": _BINARY,
        "multipart/form-data": _FORM,
        CONTENT_TYPE: _BINARY,
    },
}


@router.post("/recognize", include_in_schema=False, response_model=None)
@router.post(
    "/v1/recognize",
    summary="Recognize a clip",
    response_model=RecognitionResource | RecognitionWithCandidates,
    openapi_extra={"requestBody": _BODY},
    responses=problem_examples(
        ClipTooLarge,
        UnsupportedAudio,
        UndecodableAudio,
        InvalidFingerprint,
        InvalidRequest,
        SonicaError,
        Overloaded,
        DeadlineExceeded,
        CatalogueUnavailable,
        DecoderUnavailable,
    ),
)
async def recognize(
    request: Request,
    include: Annotated[list[Literal["candidates"]], Query(description="Also list what was weighed.")] = [],  # noqa: B006
) -> Response:
    """Say which song a clip is from, and where in it; no match is an answer too."""
    upload = await read_upload(request)
    recognition = await _recognized(upload, request.app.state.origin)
    remember(request, recognition)
    resource = RecognitionWithCandidates if "candidates" in include else RecognitionResource
    answer = resource.of(recognition, request_id=request.state.request_id)
    return Response(answer.model_dump_json(), media_type="application/json", headers={"Cache-Control": "no-store"})


async def _recognized(upload: Upload, origin: Origin) -> Recognition:
    if upload.media_type == CONTENT_TYPE:
        seconds_max = origin.settings.clip_seconds_max
        return await origin.recognizer.recognize(read_fingerprint(upload.content, seconds_max=seconds_max))
    return await origin.recognizer.recognize_clip(upload.content, pcm=pcm_format(upload))
