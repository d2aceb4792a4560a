"""POST /v1/recognize at the edge, the origin in its place."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sonica_fingerprint import CONTENT_TYPE, OTHER_SPEEDS, decode, encode, extract

from tests.clips import encoded
from tests.edge.cloudflare.fake_origin import Told, recognized, unknown
from tests.music import make_music

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_origin_gets_the_native_fingerprint_when_the_clip_is_small(edge, origin):
    samples = make_music(101, 3.0)
    wav = encoded(samples[:, None], "wav_float", rate_hz=16_000)
    edge.set_variables(body_bytes_max=200_000)

    response = edge.recognize(wav)

    assert (response.status_code, response.json()["status"]) == (200, "match")
    (asked,) = origin.asked
    assert (asked.path, asked.headers["content-type"]) == ("/v1/recognize", CONTENT_TYPE)
    assert asked.body == encode(extract(samples))


def test_origin_gets_far_fewer_bytes_than_the_edge_when_the_clip_is_small(edge, origin, new_clip):
    clip = new_clip()
    edge.recognize(clip)
    assert len(origin.asked[0].body) < 0.05 * len(clip)


def test_origin_answer_is_untouched_when_the_edge_asked_for_it(edge, origin, new_clip):
    response = edge.recognize(new_clip())
    answer = response.json()
    assert (answer["tier"], answer["cache"], answer["index_version"]) == ("origin", "miss", "fake-r1")
    assert answer["matches"][0]["song"]["title"] == "Thé à la menthe"


def test_both_paths_are_served_when_a_clip_is_posted(edge, origin, new_clip):
    response = edge.request("POST", "/recognize", content=new_clip(), headers={"content-type": "audio/wav"})
    assert response.json()["status"] == "match"
    assert origin.asked[0].headers["content-type"] == CONTENT_TYPE


@pytest.mark.parametrize("content_type", ["", "application/octet-stream", "application/x-www-form-urlencoded"])
def test_bytes_decide_when_the_content_type_says_nothing(edge, origin, new_clip, content_type):
    edge.recognize(new_clip(), content_type)
    assert origin.asked[0].headers["content-type"] == CONTENT_TYPE


def test_fingerprint_is_passed_on_when_the_client_made_it(edge, origin):
    fingerprint = encode(extract(make_music(102, 3.0)))
    response = edge.recognize(fingerprint, CONTENT_TYPE)
    assert response.json()["query"]["sha256"] == decode(fingerprint).key
    assert origin.asked[0].body == fingerprint


def test_headerless_samples_are_read_when_the_type_says_their_form(edge, origin):
    samples = np.round(make_music(103, 2.0) * 32_767).astype(">i2")
    edge.recognize(samples.tobytes(), "audio/L16; rate=16000; channels=1")
    assert origin.asked[0].body == encode(extract((samples / np.float32(32_768)).astype(np.float32)))


@pytest.mark.parametrize("name", ["wav", "wav_24_bit", "wav_float"])
@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (44_100, 2), (48_000, 1), (22_050, 2), (11_025, 1)])
def test_fingerprint_is_that_of_the_origin_when_the_clip_is_of_another_form(edge, origin, name, rate_hz, channels):
    edge.set_variables(body_bytes_max=1_000_000)
    music = make_music(rate_hz + len(name), 1.5)
    samples = np.repeat(resampled(music, rate_hz)[:, None], channels, axis=1)

    edge.recognize(encoded(samples, name, rate_hz=rate_hz))

    ours = decode(origin.asked[0].body)
    theirs = extract(decoded(encoded(samples, name, rate_hz=rate_hz)))
    assert (ours.segments, ours.duration_ms) == (theirs.segments, theirs.duration_ms)
    assert cosines(ours, theirs).min() > 0.99


def test_request_id_and_trace_are_taken_up_when_the_caller_has_them(edge, origin, new_clip):
    given = {"x_request_id": "my-request.1", "traceparent": TRACEPARENT, "tracestate": "vendor=1"}
    response = edge.recognize(new_clip(), **given)
    told = origin.asked[0].headers
    assert (response.headers["x-request-id"], response.headers["traceparent"]) == ("my-request.1", TRACEPARENT)
    assert response.json()["request_id"] == told["x-request-id"] == "my-request.1"
    _, trace_id, parent_id, flags = told["traceparent"].split("-")
    assert (trace_id, flags, told["tracestate"]) == (TRACEPARENT.split("-")[1], "01", "vendor=1")
    assert parent_id not in TRACEPARENT  # the edge's own span


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("given", [{}, {"traceparent": "nonsense", "tracestate": "vendor=1"}])
def test_trace_begins_at_the_edge_when_the_caller_is_in_none(edge, origin, new_clip, streams, given):
    traces = []
    for _ in range(2):
        response = edge.recognize(b"\0" * 200_000 if streams else new_clip(), **given)
        told = origin.asked[-1].headers
        assert response.headers["traceparent"] == told["traceparent"]
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", told["traceparent"])
        assert "tracestate" not in told
        traces.append(told["traceparent"].split("-")[1])
    assert traces[0] != traces[1]


def test_new_trace_is_not_recorded_when_the_share_is_none(edge, origin, new_clip):
    edge.set_variables(trace_share=0)
    try:
        edge.recognize(new_clip())
    finally:
        edge.set_variables(trace_share=1)
    assert origin.asked[0].headers["traceparent"].endswith("-00")


def test_request_id_is_made_when_the_caller_has_none_that_is_one(edge, origin, new_clip):
    response = edge.recognize(new_clip(), x_request_id="not an id!", traceparent="nonsense")
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])
    assert origin.asked[0].headers["x-request-id"] == response.headers["x-request-id"]


def test_credentials_reach_the_origin_when_the_caller_has_them(edge, origin, new_clip):
    edge.recognize(new_clip(), authorization="Bearer token")
    assert origin.asked[0].headers["authorization"] == "Bearer token"


@pytest.mark.parametrize("addresses", [["198.51.100.7"] * 10, [f"2001:db8::{host}" for host in range(10)]])
def test_client_is_told_to_wait_when_it_asks_too_often(edge, origin, addresses):
    *before, last = [edge.recognize(b"", cf_connecting_ip=address) for address in addresses]
    assert {response.status_code for response in before} == {200}
    assert (last.status_code, last.json()["code"], last.headers["retry-after"]) == (429, "rate_limited", "60")


def test_edge_is_alive_when_it_is_asked(edge, origin):
    response = edge.request("GET", "/livez")
    assert (response.status_code, response.json()["status"]) == (200, "alive")
    assert origin.asked == []


def test_browser_may_ask_when_it_asks_whether(edge, origin):
    headers = {"origin": "https://page.example", "access-control-request-method": "POST"}
    response = edge.request("OPTIONS", "/v1/recognize", headers=headers)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "*"
    assert "POST" in response.headers["access-control-allow-methods"]
    assert origin.asked == []


def test_other_pages_may_not_read_answers_when_pages_are_named(edge, origin, new_clip):
    edge.set_variables(cors_origins="https://ours.example, https://theirs.example")
    clip = new_clip()
    ours = edge.recognize(clip, origin="https://ours.example")
    others = edge.recognize(clip, origin="https://others.example")
    assert ours.headers["access-control-allow-origin"] == "https://ours.example"
    assert "access-control-allow-origin" not in others.headers


def resampled(samples, rate_hz):
    import soxr

    return soxr.resample(samples, 16_000, rate_hz, quality="VHQ").astype(np.float32)


def decoded(wav):
    from backend.audio.decode import decode as decode_audio
    from backend.audio.limits import DecoderLimits

    return decode_audio(wav, limits=DecoderLimits(20.0, 600.0, 8.0, 1_000_000_000))


def cosines(one, other):
    rows = [np.frombuffer(each.embeddings, np.int8).reshape(-1, 128).astype(float) for each in (one, other)]
    return (rows[0] * rows[1]).sum(1) / np.linalg.norm(rows[0], axis=1) / np.linalg.norm(rows[1], axis=1)


def known_at(speed):
    """Make an origin that knows every clip at one speed."""
    return lambda asked: recognized(asked) if decode(asked.body).speed == speed else unknown(asked)


def speeds(origin):
    return [decode(asked.body).speed for asked in origin.asked]


def test_clip_is_named_when_the_origin_knows_it_at_another_speed(edge, origin, new_clip):
    clip, origin.otherwise = new_clip(), known_at(1.06)
    first = edge.recognize(clip).json()
    assert (first["status"], first["tier"], speeds(origin)) == ("match", "origin", [1.0, *OTHER_SPEEDS])

    second = edge.recognize(clip).json()
    assert (second["status"], second["tier"], second["cache"]) == ("match", "edge", "edge")
    assert second["query"] == first["query"]
    assert second["timings_ms"]["total"] == pytest.approx(
        sum(spent for step, spent in second["timings_ms"].items() if step != "total"), abs=0.05
    )
    assert len(origin.asked) == 1 + len(OTHER_SPEEDS)


def test_first_answer_stays_when_there_is_none_at_any_speed(edge, origin, new_clip):
    clip, origin.otherwise = new_clip(), unknown
    answer = edge.recognize(clip).json()
    assert (answer["reason"], speeds(origin)) == ("below_threshold", [1.0, *OTHER_SPEEDS])
    assert answer["query"]["sha256"] == decode(origin.asked[0].body).key


def test_first_answer_stays_when_the_origin_fails_at_another_speed(edge, origin, new_clip):
    origin.otherwise = lambda asked: unknown(asked) if decode(asked.body).speed == 1 else Told(500, b"{}")
    assert edge.recognize(new_clip()).json()["reason"] == "below_threshold"
    origin.otherwise = lambda asked: unknown(asked) if decode(asked.body).speed == 1 else Told(hang_up=True)
    assert edge.recognize(new_clip()).json()["reason"] == "below_threshold"


def test_fingerprint_is_asked_about_once_when_the_client_made_it(edge, origin):
    origin.otherwise = unknown
    edge.recognize(encode(extract(make_music(104, 3.0))), CONTENT_TYPE)
    assert speeds(origin) == [1.0]
