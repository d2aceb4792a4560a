"""The very zips, run by AWS's runtime client against a Runtime API."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import sonica_fingerprint
from build_edge import Staged
from edge_benchmarks.runtime_api import RUNS_HERE, running

from edge_functions.lambda_at_edge import origin_request, origin_response, viewer_request
from tests.edge.lambda_at_edge.events import NAMES, make_clip_event, make_event, request_of
from tests.edge.lambda_at_edge.test_origin_request import heard_at_origin, sent_fingerprint, wav
from tests.music import make_music

pytestmark = pytest.mark.skipif(not RUNS_HERE, reason="the zips are for Linux on x86_64")
HANDLERS = {
    "viewer_request": viewer_request.handler,
    "origin_request": origin_request.handler,
    "origin_response": origin_response.handler,
}


def test_function_answers_as_here_when_it_runs_from_its_zip(
    staged: dict[str, Staged], unzipped: dict[str, Path]
) -> None:
    for name, handler in HANDLERS.items():
        events = [make_event(each) for each in NAMES if each.startswith(name)]
        with running(unzipped[name], staged[name].handler) as function:
            assert [function(event) for event in events] == [handler(event, None) for event in events]


def test_clips_become_the_origins_fingerprints_when_the_kernel_was_cross_compiled(
    staged: dict[str, Staged], unzipped: dict[str, Path]
) -> None:
    clips = [wav(make_music(seed, 1.0 + seed / 16)[:, None]) for seed in range(16)]
    with running(unzipped["origin_request"], staged["origin_request"].handler) as function:
        for clip in clips:
            assert sent_fingerprint(function(make_clip_event(clip))) == heard_at_origin(clip)


def test_function_lives_on_when_bodies_are_hostile(staged: dict[str, Staged], unzipped: dict[str, Path]) -> None:
    clip = wav(make_music(1, 1.0)[:, None])
    hostile = [make_clip_event(clip[:44] + bytes([value]) * 5_000) for value in range(0, 256, 5)]
    hostile += [make_clip_event(clip[:length]) for length in range(1, 60)]
    hostile += [make_clip_event(clip, truncated=True), make_event("origin_request_post", body={"data": 5})]
    with running(unzipped["origin_request"], staged["origin_request"].handler) as function:
        for event in hostile:
            assert function(event)["uri"] == "/v1/recognize"
        assert sent_fingerprint(function(make_clip_event(clip))) == heard_at_origin(clip)


def test_damaged_fingerprint_is_answered_at_the_edge_when_it_runs_there(
    staged: dict[str, Staged], unzipped: dict[str, Path]
) -> None:
    body = sonica_fingerprint.encode(heard_at_origin(wav()))[:-1]
    event = make_clip_event(body, headers={"content-type": sonica_fingerprint.CONTENT_TYPE})
    with running(unzipped["origin_request"], staged["origin_request"].handler) as function:
        assert json.loads(function(event)["body"])["code"] == "invalid_fingerprint"
        assert base64.b64decode(request_of(event)["body"]["data"]) == body
