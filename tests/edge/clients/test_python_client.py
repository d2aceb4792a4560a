from __future__ import annotations

import socket
from typing import Any

import numpy as np
import pytest
import sonica_fingerprint
import soxr
from sonica_fingerprint import CONTENT_TYPE
from sonica_fingerprint.client import Client, Refused, ServiceUnreachable
from sonica_fingerprint.kernels import native

from tests.clips import encoded
from tests.edge.clients.scripted_service import ANSWER, FOUND, UNANSWERED, Script, answer, problem, scripted
from tests.music import make_music

HEARD = make_music(1, 12.0)[4 * 16_000 : 8 * 16_000]
AUDIO = "application/octet-stream"


def file_of(name: str = "wav", samples: np.ndarray = HEARD, *, rate_hz: int = 16_000) -> bytes:
    return encoded(samples[:, np.newaxis], name, rate_hz=rate_hz)


def hurried(speed: float) -> np.ndarray:
    """Four seconds of what was heard, and of the song after it, played faster."""
    played = make_music(1, 12.0)[4 * 16_000 :][: int(4 * speed * 16_000)]
    return soxr.resample(played, 16_000 * speed, 16_000)


def assert_heard(found: Any) -> None:
    assert found["status"] == "match"
    assert found["matches"][0]["song"]["external_id"] == "song-1"
    assert found["matches"][0]["offset_ms"] == pytest.approx(4_000, abs=500)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3"])
def test_song_is_named_when_a_file_is_asked_about(service_url: str, name: str) -> None:
    assert_heard(Client(service_url).recognize(file_of(name)))


def test_song_is_named_when_samples_are_asked_about(service_url: str) -> None:
    client = Client(service_url)
    fast = np.interp(np.arange(4 * 48_000) / 3, np.arange(len(HEARD)), HEARD)

    assert_heard(client.recognize_samples(HEARD))
    assert_heard(client.recognize_samples(HEARD.tolist()))
    assert_heard(client.recognize_samples(fast, rate_hz=48_000))


def test_song_is_named_when_a_fingerprint_is_asked_about(service_url: str) -> None:
    fingerprint = sonica_fingerprint.extract(HEARD)

    assert_heard(Client(service_url).recognize_fingerprint(fingerprint))
    assert_heard(Client(service_url).recognize(sonica_fingerprint.encode(fingerprint)))


def test_known_answer_is_given_when_the_fingerprint_was_asked_about_before(service_url: str) -> None:
    client = Client(service_url)
    assert client.known("0" * 64) is None

    asked = client.recognize_samples(HEARD)

    known = client.known(asked["query"]["sha256"])
    assert known is not None
    assert known["matches"] == asked["matches"]


def test_audio_is_asked_about_when_no_kernel_is_here(service_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise sonica_fingerprint.KernelError("the native kernel is not built here")

    monkeypatch.setattr(native, "new_kernel", missing)

    assert_heard(Client(service_url).recognize(file_of()))
    assert_heard(Client(service_url).recognize_samples(HEARD))


def test_refusal_says_why_when_the_service_cannot_read_a_file(service_url: str) -> None:
    with pytest.raises(Refused, match="unsupported_audio") as refused:
        Client(service_url).recognize(b"no audio")
    assert (refused.value.status, refused.value.code) == (415, "unsupported_audio")
    assert refused.value.request_id
    with pytest.raises(Refused, match="invalid_request"):
        Client(service_url).known("abc")


def test_service_gets_a_tenth_of_the_bytes_when_a_fingerprint_can_be_made() -> None:
    with scripted(answer()) as script:
        assert Client(script.url).recognize(file_of()) == ANSWER
        Client(script.url).recognize_samples(HEARD)

    assert script.content_types == [CONTENT_TYPE, CONTENT_TYPE]
    assert {len(body) * 10 < len(file_of()) for *_, body in script.came} == {True}


@pytest.mark.parametrize("code", ["invalid_fingerprint", "unsupported_audio"])
def test_service_gets_the_audio_when_it_refuses_the_fingerprint(code: str) -> None:
    with scripted(problem(422, code), answer()) as script:
        assert Client(script.url).recognize(file_of()) == ANSWER
    assert script.content_types == [CONTENT_TYPE, AUDIO]
    assert script.came[1][3] == file_of()

    with scripted(problem(422, code), answer()) as script:
        assert Client(script.url).recognize_samples(HEARD) == ANSWER
    assert script.content_types == [CONTENT_TYPE, "audio/L16;rate=16000;channels=1"]
    sent = np.frombuffer(script.came[1][3], ">i2")
    assert np.abs(sent / 32_768 - HEARD).max() < 1 / 32_768


def speeds_of(script: Script) -> list[float]:
    return [sonica_fingerprint.decode(body).speed for _, _, headers, body in script.came]


def test_service_is_asked_at_other_speeds_when_it_has_no_answer() -> None:
    with scripted(answer(UNANSWERED)) as script:
        assert Client(script.url).recognize(file_of()) == UNANSWERED
        assert Client(script.url).recognize_samples(HEARD) == UNANSWERED

    assert speeds_of(script) == 2 * [1.0, *sonica_fingerprint.OTHER_SPEEDS]


def test_answer_is_that_of_the_speed_at_which_there_is_one() -> None:
    with scripted(answer(UNANSWERED), answer(FOUND)) as script:
        assert Client(script.url).recognize(file_of()) == FOUND
    assert speeds_of(script) == [1.0, sonica_fingerprint.OTHER_SPEEDS[0]]


def test_service_is_asked_once_when_no_other_speeds_are_wanted() -> None:
    with scripted(answer(UNANSWERED)) as script:
        assert Client(script.url, other_speeds=()).recognize(file_of()) == UNANSWERED
    assert speeds_of(script) == [1.0]


@pytest.mark.parametrize("code", ["invalid_fingerprint", "too_many_requests"])
def test_first_answer_stays_when_other_speeds_are_refused(code: str) -> None:
    with scripted(answer(UNANSWERED), problem(422, code)) as script:
        assert Client(script.url).recognize(file_of()) == UNANSWERED
    assert script.content_types == [CONTENT_TYPE, CONTENT_TYPE]


def test_fingerprint_is_asked_about_once_when_it_was_made_elsewhere() -> None:
    with scripted(answer(UNANSWERED)) as script:
        assert Client(script.url).recognize_fingerprint(sonica_fingerprint.extract(HEARD)) == UNANSWERED
    assert len(script.came) == 1


def test_song_is_named_when_the_clip_was_played_at_another_speed(service_url: str) -> None:
    assert_heard(Client(service_url).recognize_samples(hurried(1.12)))


def test_refused_fingerprint_is_an_error_when_there_is_no_audio() -> None:
    with scripted(problem(422, "invalid_fingerprint")) as script, pytest.raises(Refused, match="invalid_fingerprint"):
        Client(script.url).recognize_fingerprint(sonica_fingerprint.extract(HEARD))


def test_service_is_asked_once_more_when_it_is_busy() -> None:
    with scripted(problem(503, "overloaded", Retry_After="0"), answer()) as script:
        assert Client(script.url).recognize(file_of()) == ANSWER
    assert len(script.came) == 2


@pytest.mark.parametrize("retry_after", ["0", "3600"])
def test_refusal_is_told_when_the_service_stays_busy(retry_after: str) -> None:
    with scripted(problem(429, "too_many_requests", Retry_After=retry_after)) as script, pytest.raises(Refused) as busy:
        Client(script.url).recognize(file_of())

    assert (busy.value.status, busy.value.retry_after_seconds) == (429, float(retry_after))
    assert len(script.came) == (1 if retry_after == "3600" else 2)


def test_service_is_told_who_asks_when_there_is_a_token() -> None:
    with scripted(answer()) as script:
        Client(script.url, token="sk_key").recognize(file_of())

    assert script.came[0][2]["authorization"] == "Bearer sk_key"


@pytest.mark.parametrize("page", [(200, {}, b"<html>"), (502, {}, b"<html>"), (200, {}, b"[]"), (404, {}, b"{}")])
def test_error_says_so_when_what_answers_is_not_sonica(page: tuple[int, dict[str, str], bytes]) -> None:
    with scripted(page) as script, pytest.raises(ServiceUnreachable, match="not Sonica"):
        Client(script.url).recognize(file_of())


def test_error_says_so_when_nothing_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ServiceUnreachable, match="timed out"):
            Client(silent, timeout_seconds=0.2).recognize(file_of())
    with pytest.raises(ServiceUnreachable, match="refused"):
        Client(silent).recognize(file_of())


def test_address_is_refused_when_it_is_no_url_of_a_service() -> None:
    with pytest.raises(ValueError, match="http"):
        Client("file:///etc/passwd")
