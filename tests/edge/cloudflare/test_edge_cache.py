"""Answers that the edge remembers: miniflare's Cache API and KV behind the Python Worker."""

from __future__ import annotations

import json
import time

import pytest
from sonica_fingerprint import decode

from tests.edge.cloudflare.fake_origin import Told, answer_to, unknown


def stored(edge, origin):
    """Return KV's entry for what the origin was asked last."""
    key = decode(origin.asked[-1].body).key
    (entry,) = [entry for entry in edge.control("kv") if entry["name"].endswith(key)]
    return entry | {"value": edge.control("get_kv", entry["name"])}


def test_second_answer_comes_from_the_edge_when_the_clip_is_the_same(edge, origin, new_clip):
    clip = new_clip()
    first, second = edge.recognize(clip), edge.recognize(clip, x_request_id="second")
    assert len(origin.asked) == 1
    answer = second.json()
    assert (answer["tier"], answer["cache"], answer["request_id"]) == ("edge", "edge", "second")
    assert [answer[name] for name in ("status", "query", "matches", "index_version", "ambiguous")] == [
        first.json()[name] for name in ("status", "query", "matches", "index_version", "ambiguous")
    ]


def test_answer_comes_from_kv_when_this_data_centre_has_none(edge, origin, new_clip):
    clip = new_clip()
    edge.recognize(clip)
    name = stored(edge, origin)["name"]
    edge.control("delete_cache", name)
    assert edge.recognize(clip).json()["cache"] == "edge"
    edge.control("delete_kv", name)
    assert edge.recognize(clip).json()["cache"] == "edge"  # it was kept near again
    assert len(origin.asked) == 1


def test_match_is_kept_for_a_day_and_no_match_for_a_minute(edge, origin, new_clip):
    now = time.time()
    edge.recognize(new_clip())
    match = stored(edge, origin)
    origin.otherwise = unknown
    edge.recognize(new_clip())
    no_match = stored(edge, origin)  # at the last speed
    assert match["expiration"] - now == pytest.approx(86_400, abs=30)
    assert no_match["expiration"] - now == pytest.approx(60, abs=30)


def test_entry_names_the_versions_when_it_is_kept(edge, origin, new_clip):
    edge.recognize(new_clip())
    query = decode(origin.asked[0].body)
    form, version, _, key = stored(edge, origin)["name"].split("/")[1:]
    assert (form, version, key) == ("1", str(query.version), query.key)


@pytest.mark.parametrize("status", [400, 422, 500])
def test_nothing_is_kept_when_the_origin_reports_an_error(edge, origin, new_clip, status):
    origin.otherwise = lambda asked: Told(status, b'{"code": "any"}')
    clip = new_clip()
    assert [edge.recognize(clip).status_code for _ in range(2)] == [status, status]
    assert len(origin.asked) == 2


def poisons(good):
    answer = json.loads(good)["answer"]
    soon = {"expires_at": time.time() + 1000}
    return {
        "no JSON": "<html>",
        "nothing": "null",
        "a number": "7",
        "deep": "[" * 100_000,
        "no answer": json.dumps(soon | {"answer": None}),
        "expired": json.dumps({"expires_at": 1, "answer": answer}),
        "another clip's": json.dumps(soon | {"answer": answer | {"query": answer["query"] | {"sha256": "0" * 64}}}),
        "a match of nothing": json.dumps(soon | {"answer": answer | {"matches": []}}),
        "a match without a song": json.dumps(soon | {"answer": answer | {"matches": [{"score": 1}]}}),
        "a score beyond one": json.dumps(
            soon | {"answer": answer | {"matches": [answer["matches"][0] | {"score": 2}]}}
        ),
        "another status": json.dumps(soon | {"answer": answer | {"status": "maybe"}}),
    }


@pytest.mark.parametrize("where", ["put_cache", "put_kv"])
def test_poisoned_value_is_ignored_and_replaced(edge, origin, new_clip, where):
    clip = new_clip()
    answer = edge.recognize(clip).json()
    name, good = stored(edge, origin)["name"], stored(edge, origin)["value"]
    for value in poisons(good).values():
        edge.control("delete_cache", name)
        edge.control("delete_kv", name)
        edge.control(where, {"name": name, "value": value})
        origin.asked.clear()
        poisoned, mended = edge.recognize(clip), edge.recognize(clip)
        assert (poisoned.json()["matches"], len(origin.asked)) == (answer["matches"], 1), value[:80]
        assert mended.json()["cache"] == "edge"
        assert json.loads(edge.control("get_kv", name))["answer"] == json.loads(good)["answer"]


def test_query_parameters_go_to_the_origin_unread(edge, origin, new_clip):
    clip = new_clip()
    edge.recognize(clip)
    response = edge.request(
        "POST", "/v1/recognize?include=candidates", content=clip, headers={"content-type": "audio/wav"}
    )
    assert (origin.asked[-1].path, origin.asked[-1].body) == ("/v1/recognize?include=candidates", clip)
    assert response.content == clip


def test_duration_is_that_of_this_clip_when_another_one_sounds_the_same(edge, origin, new_clip):
    from sonica_fingerprint import CONTENT_TYPE, encode

    edge.recognize(new_clip())
    longer = decode(origin.asked[0].body)
    longer = type(longer)(longer.embeddings, longer.levels, longer.duration_ms + 20)
    answer = edge.recognize(encode(longer), CONTENT_TYPE).json()
    assert (answer["cache"], answer["query"]["duration_ms"]) == ("edge", 3020)


def test_answers_are_told_apart_when_clips_differ(edge, origin, new_clip):
    origin.otherwise = lambda asked: Told(body=json.dumps(answer_to(asked)).encode())
    answers = [edge.recognize(new_clip()).json()["query"]["sha256"] for _ in range(3)]
    assert len(set(answers)) == 3
