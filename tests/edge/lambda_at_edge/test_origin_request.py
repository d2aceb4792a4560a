from __future__ import annotations

import base64
import io
import json
import re
import struct
from typing import Any

import numpy as np
import pytest
import sonica_fingerprint
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sonica_fingerprint import CONTENT_TYPE, FINGERPRINT_VERSION, SAMPLE_RATE_HZ, Fingerprint

from backend.audio.decode import decode
from backend.audio.limits import DecoderLimits
from backend.audio.pcm import PcmFormat
from backend.errors import InputError
from backend.settings import Settings as OriginSettings
from edge_functions.lambda_at_edge.origin_request import handler
from edge_functions.lambda_at_edge.settings import Settings
from tests.clips import encoded, tone
from tests.edge.lambda_at_edge.events import (
    assert_cloudfront_takes,
    header_of,
    make_clip_event,
    make_event,
    request_of,
    untouched,
)
from tests.music import make_music

LIMITS = DecoderLimits.from_settings(OriginSettings())
HEARD = make_music(3, 2.5)[:, np.newaxis]
STEREO = np.repeat(HEARD, 2, axis=1) * np.float32([1.0, 0.5])
SMALL = make_music(4, 0.2)[:, np.newaxis]
L16 = "audio/L16; rate=16000; channels=2"


def wav(samples: NDArray[np.float32] = HEARD, *, rate_hz: int = SAMPLE_RATE_HZ, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype=subtype)
    return file.getvalue()


def l16(samples: NDArray[np.float32]) -> bytes:
    return (samples * 32_767).astype(">i2").tobytes()


def answered(event: dict[str, Any], **changed: Any) -> dict[str, Any]:
    before = untouched(event)
    answer = handler(event, None, settings=Settings(**changed))
    assert event == before
    assert_cloudfront_takes(answer, event)
    return answer if "status" in answer else without_trace(answer)


def without_trace(request: dict[str, Any]) -> dict[str, Any]:
    """Return the request as it was but for the trace, which every one is in that could be read."""
    headers = dict(request["headers"])
    for line in headers.pop("traceparent", []):
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", line["value"])
    return {**request, "headers": headers}


def sent_fingerprint(request: dict[str, Any]) -> Fingerprint:
    """Return the fingerprint that goes to the origin in place of the clip."""
    assert request["body"]["action"] == "replace"
    assert request["body"]["inputTruncated"] is False
    assert header_of(request, "content-type") == CONTENT_TYPE
    return sonica_fingerprint.decode(base64.b64decode(request["body"]["data"], validate=True))


def heard_at_origin(clip: bytes, pcm: PcmFormat | None = None) -> Fingerprint:
    return sonica_fingerprint.extract(decode(clip, limits=LIMITS, pcm=pcm))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("samples", [HEARD, STEREO], ids=["mono", "stereo"])
def test_origin_gets_the_fingerprint_that_it_would_make_when_the_clip_is_wav(
    samples: NDArray[np.float32], subtype: str
) -> None:
    clip = wav(samples, subtype=subtype)

    request = answered(make_clip_event(clip), clip_bytes_max=1_000_000)

    assert sent_fingerprint(request) == heard_at_origin(clip)
    assert len(request["body"]["data"]) < len(clip)


def test_origin_gets_the_fingerprint_that_it_would_make_when_the_clip_is_l16() -> None:
    clip = l16(STEREO[:20_000]) + b"\x00"  # and the beginning of a frame that was cut off

    request = answered(make_clip_event(clip, headers={"content-type": L16}))

    assert sent_fingerprint(request) == heard_at_origin(clip, PcmFormat(16_000, 2))


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_origin_gets_nearly_the_fingerprint_that_it_would_make_when_the_rate_is_another(rate_hz: int) -> None:
    times = np.arange(int(2.5 * rate_hz)) * SAMPLE_RATE_HZ / rate_hz
    clip = wav(np.interp(times, np.arange(len(HEARD)), HEARD[:, 0])[:, np.newaxis], rate_hz=rate_hz)

    ours = sent_fingerprint(answered(make_clip_event(clip), clip_bytes_max=1_000_000))

    theirs = heard_at_origin(clip)
    assert (ours.segments, ours.levels) == (theirs.segments, theirs.levels)
    assert abs(ours.duration_ms - theirs.duration_ms) <= 1
    least = 0.95 if rate_hz < SAMPLE_RATE_HZ else 0.99  # the two resamplers end narrow audio differently
    assert likeness(ours, theirs) > least


def likeness(one: Fingerprint, other: Fingerprint) -> float:
    """Return the least cosine between segments of the same time."""
    rows = [np.frombuffer(each.embeddings, np.int8).reshape(-1, 128).astype(float) for each in (one, other)]
    products = (rows[0] * rows[1]).sum(axis=1)
    return float((products / np.prod([np.linalg.norm(each, axis=1) for each in rows], axis=0)).min())


def test_only_the_first_seconds_are_used_when_the_clip_is_long() -> None:
    clip = wav(HEARD, subtype="PCM_U8")

    request = answered(make_clip_event(clip), clip_seconds_max=1.5)

    assert sent_fingerprint(request).duration_ms == 1_500


def test_other_parts_of_the_request_stay_when_the_body_is_rewritten() -> None:
    event = make_clip_event(wav(SMALL), headers={"x-request-id": "mine", "authorization": "Bearer key"})

    request = answered(event)

    for name in ("x-request-id", "authorization", "host", "content-length"):
        assert header_of(request, name) == header_of(request_of(event), name)
    for name in ("method", "uri", "querystring", "origin", "clientIp"):
        assert request[name] == request_of(event)[name]


def test_silence_and_short_clips_are_fingerprinted_too_when_they_are_audio() -> None:
    assert sent_fingerprint(answered(make_clip_event(wav(np.zeros((20_000, 1), np.float32))))).silent
    assert sent_fingerprint(answered(make_clip_event(wav(SMALL)))).segments == 0


@pytest.mark.parametrize("truncated", [True, None])
def test_body_is_never_replaced_when_it_was_truncated(truncated: bool | None) -> None:
    event = make_clip_event(wav())
    request_of(event)["body"]["inputTruncated"] = truncated
    if truncated is None:
        del request_of(event)["body"]["inputTruncated"]

    assert answered(event) == request_of(event)


def test_body_is_read_up_to_the_limit_when_it_is_small() -> None:
    clip = wav()
    actions = [
        answered(make_clip_event(clip), clip_bytes_max=len(clip) - missing)["body"]["action"] for missing in range(4)
    ]

    assert actions == ["replace", "read-only", "read-only", "read-only"]


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "GET"},
        {"method": "PUT"},
        {"uri": "/v1/songs"},
        {"uri": "/v1/recognize/other"},
        {"headers": {"content-encoding": "gzip"}},
        {"headers": {"x-sonica-size": "large"}},
        {"headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"headers": {"content-type": "audio/L16"}},
        {"headers": {"content-type": "audio/L16;rate=fast"}},
        {"headers": {"content-type": "audio/L16;rate=1"}},
        {"headers": {"content-type": "audio/L16;rate=16000;channels=99"}},
        {"headers": {"content-type": "audio/L16;rate=١٦٠٠٠"}},
    ],
)
def test_request_goes_on_untouched_when_it_is_not_ours_to_change(changes: dict[str, Any]) -> None:
    event = make_clip_event(wav(SMALL), **changes)

    assert answered(event) == request_of(event)


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"action": "read-only", "data": "", "encoding": "base64", "inputTruncated": False},
        {"action": "read-only", "data": "UklGRg=", "encoding": "base64", "inputTruncated": False},
        {"action": "read-only", "data": "*" * 100, "encoding": "base64", "inputTruncated": False},
        {"action": "read-only", "data": "ÿ" * 100, "encoding": "base64", "inputTruncated": False},
        {"action": "read-only", "data": "RIFF", "encoding": "text", "inputTruncated": False},
        {"action": "read-only", "data": None, "encoding": "base64", "inputTruncated": False},
        {"inputTruncated": False},
    ],
)
def test_request_goes_on_untouched_when_its_body_cannot_be_read(body: object) -> None:
    event = make_event("origin_request_post", body=body)

    assert answered(event) == request_of(event)


@pytest.mark.parametrize("name", ["flac", "mp3", "opus", "vorbis", "aiff", "webm", "m4a", "rf64"])
def test_clip_goes_through_when_its_format_needs_a_decoder(name: str) -> None:
    event = make_clip_event(encoded(tone(0.4), name))

    assert answered(event) == request_of(event)


def test_requests_without_a_body_go_through_when_they_are_gets() -> None:
    event = make_event("origin_request_get")

    assert answered(event) == request_of(event)


def test_fingerprint_goes_through_when_it_is_whole() -> None:
    body = sonica_fingerprint.encode(sonica_fingerprint.extract(HEARD[:, 0]))
    event = make_clip_event(body, headers={"content-type": CONTENT_TYPE})

    assert answered(event) == request_of(event)


def test_fingerprint_goes_through_when_its_version_is_another() -> None:
    body = bytearray(sonica_fingerprint.encode(sonica_fingerprint.extract(HEARD[:, 0])))
    body[4] = FINGERPRINT_VERSION + 1
    event = make_clip_event(bytes(body), headers={"content-type": CONTENT_TYPE})

    assert answered(event) == request_of(event)


@pytest.mark.parametrize(
    "damage", [lambda body: body[:-1], lambda body: body[:30] + b"x" + body[31:], lambda _: b"SNFP"]
)
def test_fingerprint_is_refused_at_once_when_it_is_damaged(damage: Any) -> None:
    body = sonica_fingerprint.encode(sonica_fingerprint.extract(HEARD[:, 0]))

    answer = answered(make_clip_event(damage(body), headers={"content-type": CONTENT_TYPE}))

    problem = json.loads(answer["body"])
    assert (answer["status"], problem["code"]) == ("422", "invalid_fingerprint")
    assert problem["instance"] == "/v1/recognize"


@pytest.mark.parametrize(
    ("offset", "lie"),
    [
        (4, struct.pack("<I", 0xFFFFFFFF)),  # the size of the file
        (16, struct.pack("<I", 0xFFFFFFFF)),  # of the format
        (16, struct.pack("<I", 0)),
        (22, struct.pack("<H", 0)),  # channels
        (22, struct.pack("<H", 65_535)),
        (24, struct.pack("<I", 0)),  # rate
        (24, struct.pack("<I", 0xFFFFFFFF)),
        (32, struct.pack("<H", 0)),  # bytes a frame
        (34, struct.pack("<H", 12)),  # bits
        (36, b"LIST"),
        (40, struct.pack("<I", 0)),  # of the samples
        (40, struct.pack("<I", 0xFFFFFFFF)),
        (40, struct.pack("<I", 0x7FFFFFF0)),
    ],
)
def test_origin_hears_the_same_when_the_header_lies(offset: int, lie: bytes) -> None:
    clip = bytearray(wav())
    clip[offset : offset + len(lie)] = lie

    assert_heard_alike(bytes(clip))


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from([wav(SMALL, subtype=subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT")]),
    changes=st.lists(st.tuples(st.integers(0, 80), st.binary(min_size=1, max_size=5), st.booleans()), max_size=3),
    length=st.integers(0, 20_000),
)
def test_origin_hears_the_same_when_a_wav_is_mangled(
    base: bytes, changes: list[tuple[int, bytes, bool]], length: int
) -> None:
    clip = bytearray(base)
    for at, noise, insert in changes:
        clip[at : at if insert else at + len(noise)] = noise

    assert_heard_alike(bytes(clip[:length]))


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=400), content_type=st.text(max_size=60) | st.sampled_from([L16, CONTENT_TYPE]))
def test_request_is_answered_when_it_is_anything(content: bytes, content_type: str) -> None:
    answered(make_clip_event(content, headers={"content-type": content_type}))


def assert_heard_alike(clip: bytes) -> None:
    """A clip that was rewritten must be what the origin would have heard; one that was not is the origin's anyway."""
    event = make_clip_event(clip)
    request = answered(event)
    if request == request_of(event):
        return
    try:
        theirs = heard_at_origin(clip)
    except InputError as error:
        pytest.fail(f"the origin would have refused it: {error}")
    ours = sent_fingerprint(request)
    if struct.unpack_from("<I", clip, clip.index(b"fmt ") + 12)[0] == SAMPLE_RATE_HZ:
        assert ours == theirs
    else:
        assert ours.segments == theirs.segments


def test_samples_beyond_the_scale_are_the_origins_to_judge_when_a_wav_has_them() -> None:
    for value in (np.nan, np.inf, 40.0):
        samples = HEARD.copy()
        samples[100] = value
        event = make_clip_event(wav(samples, subtype="FLOAT"), headers={})
        assert answered(event, clip_bytes_max=1_000_000) == request_of(event)


@pytest.mark.parametrize("broken", [{"uri": None}, {"headers": []}, {"body": 5}, {"body": {"inputTruncated": False}}])
def test_request_goes_on_untouched_when_it_is_not_understood(broken: dict[str, Any]) -> None:
    event = make_clip_event(wav(SMALL))
    request_of(event).update(broken)
    before = untouched(event)

    answer = handler(event, None)
    assert answer == request_of(before) or without_trace(answer) == request_of(before)


TRACE_ID, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def traceparent_of(event: dict[str, Any], **changed: Any) -> list[str]:
    version, *ids = str(header_of(handler(event, None, settings=Settings(**changed)), "traceparent")).split("-")
    assert version == "00"
    return ids


@pytest.mark.parametrize("flags", ["00", "01"])
def test_origin_is_told_of_a_span_in_the_callers_trace_when_there_is_one(flags: str) -> None:
    event = make_clip_event(wav(), headers={"traceparent": f"00-{TRACE_ID}-{CALLER}-{flags}"})

    trace_id, span_id, sampled = traceparent_of(event)

    assert (trace_id, sampled) == (TRACE_ID, flags)
    assert span_id != CALLER


@pytest.mark.parametrize("given", [None, "", "nonsense", f"00-{'0' * 32}-{CALLER}-01", f"ff-{TRACE_ID}-{CALLER}-01"])
@pytest.mark.parametrize(("share", "sampled"), [(0, "00"), (1, "01")])
def test_trace_begins_at_the_edge_when_the_caller_is_in_none(given: str | None, share: float, sampled: str) -> None:
    one, other = (make_event("origin_request_post", headers={"traceparent": given}) for _ in range(2))
    other["Records"][0]["cf"]["config"]["requestId"] = "another"

    first, second = traceparent_of(one, trace_share=share), traceparent_of(other, trace_share=share)

    assert TRACE_ID not in first
    assert first[2] == sampled
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_answer_of_the_edge_is_in_no_trace_when_the_origin_is_not_asked() -> None:
    event = make_clip_event(b"SNCF\0", headers={"content-type": CONTENT_TYPE})

    answer = handler(event, None)

    assert (answer["status"], "traceparent" in answer["headers"]) == ("422", False)
