"""wasm/browser/sonica-client.mjs in Node, against a real service and against scripted ones."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sonica_fingerprint
from sonica_fingerprint import CONTENT_TYPE

from tests.edge.clients.scripted_service import ANSWER, FOUND, UNANSWERED, answer, problem, scripted
from tests.edge.clients.test_python_client import AUDIO, HEARD, assert_heard, file_of, hurried, speeds_of
from tests.parity.wasm_exports import node_command

HOST = Path(__file__).with_name("javascript_client.mjs")
WASM = Path(sonica_fingerprint.__file__).with_name("fingerprint.wasm")
L16 = "audio/L16;rate=16000;channels=1"


def call(name: str, content: bytes = b"", **other: Any) -> dict[str, Any]:
    return {"call": name, "bytes": base64.b64encode(content).decode(), **other}


SAMPLES = call("recognizeSamples", HEARD.tobytes())


def run(url: str, *calls: dict[str, Any], kernel: bool = True, **options: Any) -> list[Any]:
    """Return what each call gives, in one client."""
    given = {"url": url, "wasm": str(WASM) if kernel else None, "options": options, "calls": calls}
    command = [node_command(), str(HOST)]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout)
    return results


@pytest.mark.parametrize("kernel", [True, False])
def test_song_is_named_when_a_clip_is_asked_about(service_url: str, *, kernel: bool) -> None:
    clips = [call("recognize", file_of(name)) for name in ("wav", "mp3")]
    fingerprint = sonica_fingerprint.encode(sonica_fingerprint.extract(HEARD))

    for found in run(service_url, *clips, SAMPLES, call("recognizeFingerprint", fingerprint), kernel=kernel):
        assert_heard(found)


def test_answers_are_those_of_the_python_kernel_when_the_fingerprint_is_made_in_webassembly(service_url: str) -> None:
    (found,) = run(service_url, SAMPLES)

    assert found["query"]["sha256"] == sonica_fingerprint.extract(HEARD).key


def test_known_answer_is_given_when_the_fingerprint_was_asked_about_before(service_url: str) -> None:
    key = sonica_fingerprint.extract(HEARD).key

    missing, asked, known = run(service_url, {"call": "known", "key": "1" * 64}, SAMPLES, {"call": "known", "key": key})

    assert missing is None
    assert known["matches"] == asked["matches"]


def test_error_says_why_when_the_service_cannot_read_a_file(service_url: str) -> None:
    (refused,) = run(service_url, call("recognize", b"no audio"))

    assert (refused["error"], refused["code"], refused["status"]) == ("SonicaError", "unsupported_audio", 415)
    assert refused["requestId"]


def test_service_gets_fingerprints_when_there_is_a_kernel() -> None:
    stereo = file_of(samples=np.repeat(HEARD, 2))  # as 16 kHz mono of twice the length; the stub reads it as stereo
    with scripted(answer()) as script:
        assert run(script.url, SAMPLES, call("recognize", stereo), webAudio=True) == [ANSWER, ANSWER]

    assert script.content_types == [CONTENT_TYPE, CONTENT_TYPE]
    sent = [sonica_fingerprint.decode(body) for *_, body in script.came]
    assert sent[0] == sonica_fingerprint.extract(HEARD)
    assert (sent[1].duration_ms, sent[1].segments) == (sent[0].duration_ms, sent[0].segments)


def test_service_gets_the_audio_when_there_is_no_kernel_or_no_decoder() -> None:
    with scripted(answer()) as script:
        run(script.url, SAMPLES, call("recognize", file_of()), kernel=False)
        run(script.url, call("recognize", file_of("flac")))

    assert script.content_types == [L16, AUDIO, AUDIO]
    assert np.abs(np.frombuffer(script.came[0][3], ">i2") / 32_768 - HEARD).max() < 1 / 32_768


@pytest.mark.parametrize("code", ["invalid_fingerprint", "unsupported_audio"])
def test_service_gets_the_audio_when_it_refuses_the_fingerprint(code: str) -> None:
    with scripted(problem(422, code), answer()) as script:
        assert run(script.url, SAMPLES) == [ANSWER]
    assert script.content_types == [CONTENT_TYPE, L16]


def test_service_is_asked_at_other_speeds_when_it_has_no_answer() -> None:
    with scripted(answer(UNANSWERED)) as script:
        assert run(script.url, SAMPLES) == [UNANSWERED]
    assert speeds_of(script) == [1.0, *sonica_fingerprint.OTHER_SPEEDS]

    with scripted(answer(UNANSWERED)) as script:
        assert run(script.url, SAMPLES, otherSpeeds=[]) == [UNANSWERED]
    assert speeds_of(script) == [1.0]


def test_answer_is_that_of_the_speed_at_which_there_is_one() -> None:
    with scripted(answer(UNANSWERED), answer(FOUND)) as script:
        assert run(script.url, SAMPLES) == [FOUND]
    assert speeds_of(script) == [1.0, sonica_fingerprint.OTHER_SPEEDS[0]]


@pytest.mark.parametrize("code", ["invalid_fingerprint", "too_many_requests"])
def test_first_answer_stays_when_other_speeds_are_refused(code: str) -> None:
    with scripted(answer(UNANSWERED), problem(422, code)) as script:
        assert run(script.url, SAMPLES) == [UNANSWERED]
    assert script.content_types == [CONTENT_TYPE, CONTENT_TYPE]


def test_song_is_named_when_the_clip_was_played_at_another_speed(service_url: str) -> None:
    (found,) = run(service_url, call("recognizeSamples", hurried(1.12).tobytes()))
    assert_heard(found)


def test_only_the_first_seconds_are_sent_when_the_clip_is_long() -> None:
    with scripted(answer()) as script:
        run(script.url, call("recognizeSamples", np.tile(HEARD, 6).tobytes()))

    assert sonica_fingerprint.decode(script.came[0][3]).duration_ms == 20_000


def test_service_is_asked_once_more_when_it_is_busy() -> None:
    with scripted(problem(503, "overloaded", Retry_After="0"), answer()) as script:
        assert run(script.url, SAMPLES) == [ANSWER]
    assert len(script.came) == 2


@pytest.mark.parametrize(("retry_after", "tries"), [("0", 2), ("3600", 1)])
def test_refusal_is_told_when_the_service_stays_busy(retry_after: str, tries: int) -> None:
    with scripted(problem(429, "too_many_requests", Retry_After=retry_after)) as script:
        (refused,) = run(script.url, SAMPLES)

    assert (refused["code"], refused["status"], len(script.came)) == ("too_many_requests", 429, tries)


def test_service_is_told_who_asks_when_there_is_a_token() -> None:
    with scripted(answer()) as script:
        run(script.url, SAMPLES, token="sk_key")

    assert script.came[0][2]["authorization"] == "Bearer sk_key"


def test_error_says_so_when_what_answers_is_not_sonica() -> None:
    for page in [(200, {}, b"<html>"), (404, {}, b"{}"), (200, {}, b"null")]:
        with scripted(page) as script:
            (error,) = run(script.url, SAMPLES)
        assert (error["error"], error["code"], error["status"]) == ("SonicaError", "not_sonica", page[0])


def test_error_says_so_when_nothing_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = f"http://127.0.0.1:{listener.getsockname()[1]}"
        (late,) = run(silent, SAMPLES, timeoutMs=200)
        (stopped,) = run(silent, {**SAMPLES, "abortAfterMs": 100})
    (refused,) = run(silent, SAMPLES)

    assert (late["error"], late["code"]) == ("SonicaError", "timeout")
    assert stopped["error"] == "TimeoutError"  # the caller's own signal
    assert (refused["error"], refused["code"], refused["status"]) == ("SonicaError", "unreachable", 0)
