"""The origin down, slow, failing or talking nonsense."""

from __future__ import annotations

import json

import pytest
from sonica_fingerprint import CONTENT_TYPE, encode, extract

from tests.edge.cloudflare.fake_origin import PROBLEM, Told, answer_to, recognized
from tests.music import make_music

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens
AWAY = Told(503, b"<html>", {"content-type": "text/html"})
PROBLEM_KEYS = {"type", "title", "status", "detail", "instance", "code", "request_id"}


def problem(response):
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body.keys() >= PROBLEM_KEYS
    assert (body["status"], body["request_id"]) == (response.status_code, response.headers["x-request-id"])
    return body["status"], body["code"]


def test_problem_is_told_when_the_origin_cannot_be_reached(edge, new_clip):
    edge.set_variables(origin_url=NOWHERE)
    response = edge.recognize(new_clip(), origin="https://page.example")
    assert problem(response) == (503, "origin_unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["access-control-allow-origin"] == "*"


def test_problem_is_told_when_what_streams_through_cannot_reach_the_origin(edge):
    edge.set_variables(origin_url=NOWHERE)
    assert problem(edge.request("GET", "/v1/songs")) == (503, "origin_unavailable")
    assert problem(edge.recognize(b"\0" * 200_000)) == (503, "origin_unavailable")


@pytest.mark.parametrize("failure", [AWAY, Told(502), Told(504), Told(521), Told(hang_up=True)])
def test_answer_comes_when_the_origin_fails_once(edge, origin, new_clip, failure):
    origin.script = [failure]
    assert edge.recognize(new_clip()).json()["status"] == "match"
    assert len(origin.asked) == 2
    assert origin.asked[0].body == origin.asked[1].body


@pytest.mark.parametrize("failure", [AWAY, Told(hang_up=True)])
def test_problem_is_told_when_the_origin_fails_twice(edge, origin, new_clip, failure):
    origin.script = [failure, failure]
    assert problem(edge.recognize(new_clip())) == (503, "origin_unavailable")
    assert len(origin.asked) == 2


def test_origin_is_heard_when_it_says_itself_why_it_cannot_answer(edge, origin, new_clip):
    overloaded = Told(503, b'{"code": "overloaded"}', PROBLEM | {"retry-after": "7"})
    origin.script = [overloaded, overloaded]
    response = edge.recognize(new_clip())
    assert (response.status_code, response.json()["code"]) == (503, "overloaded")
    assert response.headers["retry-after"] == "7"


def test_problem_is_told_when_the_origin_is_slow(edge, origin, new_clip):
    edge.set_variables(origin_seconds_max=0.3)
    origin.otherwise = lambda asked: Told(after_seconds=1.0)
    assert problem(edge.recognize(new_clip())) == (504, "origin_timeout")
    assert len(origin.asked) == 1  # who is slow is not helped by being asked again


def test_problem_is_told_when_the_origin_is_slow_to_what_streams_through(edge, origin):
    edge.set_variables(stream_seconds_max=0.3)
    origin.otherwise = lambda asked: Told(after_seconds=1.0)
    assert problem(edge.recognize(b"\0" * 200_000)) == (504, "origin_timeout")


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b'{"status": "match"}', b"{" * 50_000, b"\xff\xfe"])
def test_problem_is_told_when_the_origin_answers_nonsense(edge, origin, new_clip, body):
    origin.otherwise = lambda asked: Told(body=body)
    clip = new_clip()
    assert problem(edge.recognize(clip)) == (502, "origin_malformed")
    origin.reset()
    assert edge.recognize(clip).json()["status"] == "match"  # the nonsense was not kept


def test_stream_is_not_tried_again_when_the_origin_fails(edge, origin):
    origin.script = [AWAY]
    response = edge.recognize(b"\0" * 200_000)
    assert (response.status_code, response.content, len(origin.asked)) == (503, b"<html>", 1)


def test_known_answer_is_given_when_the_origin_is_away(edge, origin, new_clip):
    clip = new_clip()
    edge.recognize(clip)
    origin.otherwise = lambda asked: AWAY
    assert edge.recognize(clip).json()["cache"] == "edge"


def test_errors_of_the_origin_pass_when_the_request_is_wrong(edge, origin):
    origin.otherwise = lambda asked: Told(422, b'{"code": "invalid_fingerprint"}', PROBLEM)
    damaged = bytearray(encode(extract(make_music(305, 2.0))))
    damaged[40] ^= 1
    response = edge.recognize(bytes(damaged), CONTENT_TYPE)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_fingerprint")
    assert origin.asked[0].body == damaged


def test_clip_goes_to_the_origin_when_the_kernel_worker_fails(edge, origin, new_clip):
    clip = new_clip()
    with edge.without_kernel():
        assert edge.recognize(clip).content == clip
    assert origin.asked[0].body == clip
    assert edge.recognize(clip).json()["status"] == "match"


def test_answer_is_given_and_not_kept_when_the_origin_is_without_its_catalogue(edge, origin, new_clip):
    clip = new_clip()
    origin.otherwise = nameless

    answers = [edge.recognize(clip) for _ in range(2)]
    origin.otherwise = recognized
    whole = edge.recognize(clip)
    edge.recognize(clip)

    for answer in answers:
        assert (answer.status_code, answer.json()["degraded"]) == (200, True)
        assert answer.json()["matches"][0]["song"] == {"id": 7, "external_id": None, "title": None, "artist": None}
    assert whole.json()["matches"][0]["song"]["title"] == "Thé à la menthe"
    assert len(origin.asked) == 3  # the fourth time it was remembered


def nameless(asked):
    answer = answer_to(asked) | {"degraded": True}
    answer["matches"][0]["song"] |= {"external_id": None, "title": None}
    return Told(body=json.dumps(answer).encode())
