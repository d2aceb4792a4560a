"""A client of a Sonica service: samples or a file's bytes in, the song out; the standard library and nothing else.

    client = Client("http://127.0.0.1:8000")
    answer = client.recognize(Path("clip.wav").read_bytes())
    if answer["status"] == "match":
        print(answer["matches"][0]["song"]["title"])

A fingerprint is sent where one can be made here, a tenth of the audio or less, which nobody can play; the audio where
not, and where the service reads fingerprints of another version. A clip without an answer is asked about again at other
speeds (extractor.OTHER_SPEEDS), a request each: it may be from a turntable, the radio or a DJ.

ClientError
├── ServiceUnreachable      nothing that speaks Sonica's HTTP answers there, or not in time
└── Refused                 the service answered with a problem; `code` says which
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from http.client import HTTPException
from typing import Any, Literal, TypedDict, cast
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from sonica_fingerprint.codec import CONTENT_TYPE, MAGIC, encode
from sonica_fingerprint.errors import KernelError, UnreadableAudio
from sonica_fingerprint.extractor import OTHER_SPEEDS, extract
from sonica_fingerprint.fingerprint import SAMPLE_RATE_HZ, Fingerprint
from sonica_fingerprint.pcm import read_wav, to_fingerprint_rate

CLIP_SECONDS_MAX = 20.0  # what a service uses of a clip
TRIES = 2
RETRY_SECONDS_MAX = 5.0  # a service that asks for more than that is for the caller to wait for
_FINGERPRINT_REFUSALS = ("invalid_fingerprint", "unsupported_audio")


class Song(TypedDict):
    """A song; what the catalogue does not know is None."""

    id: int
    external_id: str | None  # null, as all but the id, in a degraded answer
    title: str | None
    artist: str | None
    album: str | None
    isrc: str | None
    language: str | None
    genre: str | None
    duration_ms: int | None


class Segment(TypedDict):
    """A stretch of the clip and the stretch of the song that it is."""

    query_start_ms: int
    query_end_ms: int
    song_start_ms: int
    song_end_ms: int
    speed: float


class Match(TypedDict):
    """A song that the clip is from."""

    song: Song
    score: float
    offset_ms: int
    segments: list[Segment]


class Query(TypedDict):
    """What was asked; `sha256` is what `Client.known` takes."""

    duration_ms: int
    fingerprint_version: int
    sha256: str


class Answer(TypedDict):
    """The answer to a clip, as the service gives it; it may have more fields."""

    request_id: str
    status: Literal["match", "no_match"]
    reason: Literal["silence", "too_short", "below_threshold"] | None
    query: Query
    matches: list[Match]
    ambiguous: bool
    degraded: bool
    tier: Literal["edge", "origin"]
    cache: str
    index_version: str
    timings_ms: dict[str, float]


class ClientError(Exception):
    """A clip could not be asked about."""


class ServiceUnreachable(ClientError):
    """Nothing that speaks Sonica's HTTP answers there, or not in time."""


class Refused(ClientError):
    """The service answered with a problem (RFC 9457)."""

    def __init__(self, problem: dict[str, Any], *, retry_after: str | None = None) -> None:
        self.status: int = problem["status"]
        self.code: str = problem["code"]
        self.detail: str = problem.get("detail") or problem.get("title") or self.code
        self.request_id: str | None = problem.get("request_id")
        self.retry_after_seconds = float(retry_after) if retry_after and retry_after.isdecimal() else None
        super().__init__(f"{self.code} ({self.status}): {self.detail}")


class Client:
    """Asks one service; holds nothing open, so threads may share it."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_seconds: float = 20.0,
        other_speeds: Sequence[float] = OTHER_SPEEDS,
    ) -> None:
        """url: of the service, such as http://127.0.0.1:8000; token: an API key or a JWT.

        other_speeds: to ask again at, a request each, when a clip has no answer; () for none.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"a service has a URL such as http://127.0.0.1:8000, not {url}")
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._timeout_seconds = timeout_seconds
        self._other_speeds = other_speeds

    def recognize(self, clip: bytes) -> Answer:
        """Recognize a file's bytes, of any format that the service reads. Raises Refused, ServiceUnreachable."""
        if clip.startswith(MAGIC):
            return self._post(clip, CONTENT_TYPE)
        return self._post_lightly(_samples_of_wav(clip), clip, "application/octet-stream")

    def recognize_samples(self, samples: Iterable[float], *, rate_hz: int = SAMPLE_RATE_HZ) -> Answer:
        """Recognize mono samples, full scale 1: an array("f"), a NumPy array, any numbers. Raises as `recognize`."""
        floats = array("f", samples)
        return self._post_lightly(_used(floats, rate_hz), _l16(floats), f"audio/L16;rate={rate_hz};channels=1")

    def recognize_fingerprint(self, fingerprint: Fingerprint) -> Answer:
        """Recognize a fingerprint. Raises as `recognize`."""
        return self._post(encode(fingerprint), CONTENT_TYPE)

    def known(self, key: str) -> Answer | None:
        """Return what the service, or a cache on the way, knows of a `Fingerprint.key`; None when nothing is known."""
        try:
            return self._answer(f"/v1/match/{quote(key, safe='')}")
        except Refused as refused:
            if refused.code != "match_not_found":
                raise
            return None

    def _post_lightly(self, samples: array[float] | None, audio: bytes, content_type: str) -> Answer:
        """Post fingerprints of the samples; the audio where none can be made, or none is taken by the service."""
        fingerprint = _fingerprint_of(samples)
        if samples is None or fingerprint is None:
            return self._post(audio, content_type)
        try:
            answer = self.recognize_fingerprint(fingerprint)
        except Refused as refused:
            if refused.code not in _FINGERPRINT_REFUSALS:
                raise
            return self._post(audio, content_type)
        if answer.get("reason") != "below_threshold":
            return answer
        return self._at_other_speeds(samples) or answer

    def _at_other_speeds(self, samples: array[float]) -> Answer | None:
        """Ask about the clip as if it played too fast or too slowly; None where that names no song either."""
        with suppress(ClientError):  # there is an answer already
            for speed in self._other_speeds:
                answer = self.recognize_fingerprint(extract(samples, speed))
                if answer["status"] == "match":
                    return answer
        return None

    def _post(self, body: bytes, content_type: str) -> Answer:
        return self._answer("/v1/recognize", body, content_type)

    def _answer(self, path: str, body: bytes | None = None, content_type: str | None = None) -> Answer:
        """Ask, and once more when the service is busy: asking changes nothing there."""
        for _ in range(TRIES - 1):
            try:
                return self._asked(path, body, content_type)
            except Refused as refused:
                seconds = refused.retry_after_seconds or 1.0
                if refused.status not in (429, 503) or seconds > RETRY_SECONDS_MAX:
                    raise
            time.sleep(seconds)
        return self._asked(path, body, content_type)

    def _asked(self, path: str, body: bytes | None, content_type: str | None) -> Answer:
        headers = self._headers | ({"Content-Type": content_type} if content_type else {})
        request = Request(self._url + path, data=body, headers=headers)  # noqa: S310  # http(s) only
        try:
            with urlopen(request, timeout=self._timeout_seconds) as response:  # noqa: S310
                return cast(Answer, _document(response.read(), "status"))
        except HTTPError as error:
            with error:
                problem = _document(error.read(), "code") | {"status": error.code}
            raise Refused(problem, retry_after=error.headers["Retry-After"]) from None
        except (OSError, HTTPException) as error:  # URLError and timeouts are OSErrors
            raise ServiceUnreachable(f"{self._url} does not answer: {error}") from error


def _document(body: bytes, needed: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict) or needed not in document:
        raise ServiceUnreachable("what answers there is not Sonica")
    return document


def _samples_of_wav(clip: bytes) -> array[float] | None:
    try:
        pcm = read_wav(clip)
        return _used(pcm.mono(seconds_max=CLIP_SECONDS_MAX), pcm.rate_hz)
    except UnreadableAudio:
        return None


def _used(samples: array[float], rate_hz: int) -> array[float] | None:
    """Return the first seconds at 16 kHz; None where this machine cannot make them."""
    try:
        return to_fingerprint_rate(samples, rate_hz, seconds_max=CLIP_SECONDS_MAX)
    except (ImportError, UnreadableAudio):
        return None


def _fingerprint_of(samples: array[float] | None) -> Fingerprint | None:
    """Return the fingerprint; None without samples, and where this machine cannot make one."""
    try:
        return extract(samples) if samples else None
    except KernelError:
        return None


def _l16(samples: array[float]) -> bytes:
    """Return 16-bit integers, big-endian (RFC 2586)."""
    integers = array("h", [max(-32_768, min(32_767, round(sample * 32_768))) for sample in samples])
    if sys.byteorder == "little":
        integers.byteswap()
    return integers.tobytes()
