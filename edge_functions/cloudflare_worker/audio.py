"""What a body of audio says of itself; its samples stay bytes, for they are no work for Python."""

from __future__ import annotations

from dataclasses import replace

from sonica_fingerprint.errors import UnreadableAudio
from sonica_fingerprint.pcm import Pcm, read_wav

L16 = "audio/l16"


def read_clip(body: bytes, content_type: str, *, seconds_max: float) -> Pcm:
    """Return the first seconds of a WAV file or of `audio/L16`. Raises UnreadableAudio."""
    kind, parameters = media_type(content_type)
    pcm = _headerless(body, parameters) if kind == L16 else read_wav(body)
    frame_bytes = pcm.channels * int(pcm.form[1:]) // 8
    return replace(pcm, data=pcm.data[: int(seconds_max * pcm.rate_hz) * frame_bytes])


def media_type(content_type: str) -> tuple[str, dict[str, str]]:
    """Return a content type's media type, in lower case, and its parameters."""
    kind, *rest = (part.strip() for part in content_type.split(";"))
    pairs = (part.partition("=") for part in rest)
    return kind.lower(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _headerless(body: bytes, parameters: dict[str, str]) -> Pcm:
    """Read `audio/L16;rate=..;channels=..`: integers, big-endian (RFC 2586)."""
    try:
        rate_hz, channels = int(parameters["rate"]), int(parameters.get("channels", "1"))
    except (KeyError, ValueError) as error:
        raise UnreadableAudio("audio/L16 needs its rate") from error
    return Pcm(memoryview(body), "s16", rate_hz, channels, big_endian=True)
