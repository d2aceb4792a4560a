"""The three forms of a recognition's body become one value."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile

from backend.audio.pcm import PcmFormat
from backend.errors import InvalidRequest

_PARTS_MAX = 16  # one is read; a client library may add fields of its own
_FIELDS = ("audio", "file")


@dataclass(frozen=True, slots=True)
class Upload:
    """A clip or a fingerprint as it came in; the media type and its parameters are in lower case."""

    media_type: str
    parameters: dict[str, str]
    content: bytes


async def read_upload(request: Request) -> Upload:
    """Read the body, or its part `audio` (or `file`) when it is a form. Raises InvalidRequest."""
    content_type = request.headers.get("content-type")
    media_type, parameters = _parsed(content_type)
    if media_type != "multipart/form-data":
        return Upload(media_type, parameters, await request.body())
    async with request.form(max_files=_PARTS_MAX, max_fields=_PARTS_MAX) as form:
        part = next((form[name] for name in _FIELDS if name in form), None)
        if not isinstance(part, UploadFile):
            raise InvalidRequest("The form has no file in a field `audio` (or `file`).")
        return Upload(*_parsed(part.content_type), await part.read())


def pcm_format(upload: Upload) -> PcmFormat | None:
    """Return the form of `audio/L16;rate=..;channels=..`, None for a clip that says itself what it is.

    RFC 2586 requires the rate, and counts one channel where none are given. Raises InvalidRequest.
    """
    if upload.media_type != "audio/l16":
        return None
    try:
        rate_hz, channels = int(upload.parameters["rate"]), int(upload.parameters.get("channels", "1"))
    except (KeyError, ValueError) as error:
        raise InvalidRequest("audio/L16 needs its rate in Hz: `audio/L16;rate=16000;channels=1`.") from error
    return PcmFormat(rate_hz, channels)


def _parsed(content_type: str | None) -> tuple[str, dict[str, str]]:
    media_type, parameters = parse_options_header(content_type)
    return media_type.decode("latin-1").lower(), {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in parameters.items()
    }
