"""The load generator itself: it notices what is wrong, and hides no wait."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from load_testing.clients import OK, WRONG, Load, Sample, Target, send
from load_testing.clips import Bodies, Clip
from load_testing.generator import Generator
from load_testing.null_server import null_server
from load_testing.truth import Asked, Truth

from tests.load.conftest import TIMEOUT_SECONDS

ANSWER = {"matches": [{"song": {"id": 7}, "offset_ms": 1000}], "cache": "memory"}
RIGHT, OTHER_SONG, OTHER_PLACE = Truth(frozenset({7}), 1200), Truth(frozenset({8}), 1000), Truth(frozenset({7}), 9000)


async def sent(url: str, asked: Asked, load: Load) -> list[Sample]:
    samples: list[Sample] = []
    await send(Target(url, TIMEOUT_SECONDS), asked, load, samples.append)
    return samples


async def test_answers_are_wrong_when_song_or_place_differ_from_the_truth(clips: list[Clip]) -> None:
    asked = Asked(clips[:4], [RIGHT, OTHER_SONG, OTHER_PLACE, Truth(frozenset(), 0)])
    with null_server(json.dumps(ANSWER).encode()) as url:
        samples = await sent(url, asked, Load(clients=1, seconds=0.5))

    assert [sample.outcome for sample in samples[:5]] == [OK, WRONG, WRONG, WRONG, OK]
    assert {sample.cache for sample in samples} == {"memory"}


async def test_requests_that_wait_count_from_when_they_were_due_when_the_server_stalls(clips: list[Clip]) -> None:
    asked = Asked(clips[:1], [RIGHT])
    with null_server(json.dumps(ANSWER).encode(), stall_seconds=1.0) as url:
        samples = await sent(url, asked, Load(clients=1, seconds=1.5, rate=20))

    assert len(samples) == 30
    assert sum(sample.seconds > 0.25 for sample in samples) >= 14  # those due in the first three quarters of the stall


async def test_requests_fail_by_name_when_nobody_listens(clips: list[Clip]) -> None:
    with null_server(b"{}") as url:
        pass
    samples = await sent(url, Asked(clips[:1], [RIGHT]), Load(clients=2, seconds=0.2))

    assert {sample.outcome for sample in samples} == {"ConnectionRefusedError"}


@pytest.mark.parametrize("rate", [None, 50.0])
def test_all_clients_of_all_processes_ask_when_there_are_several(clips: list[Clip], rate: float | None) -> None:
    asked, told = Asked(clips[:1], [RIGHT]), Counter[str]()
    with (
        null_server(json.dumps(ANSWER).encode()) as url,
        Generator(Target(url, TIMEOUT_SECONDS), asked, processes=2) as generator,
    ):
        result = generator.send(
            Load(clients=3, seconds=1.0, rate=rate), on_progress=lambda count: told.update(count=count)
        )

    assert {sample.outcome for sample in result.samples} == {OK}
    assert rate is None or len(result.samples) == pytest.approx(rate, abs=2)
    assert result.cpu_seconds > 0


def test_each_clip_comes_in_both_forms_when_they_are_mixed(clips: list[Clip]) -> None:
    bodies = Bodies(clips[:4], "mixed", fresh=False)
    came = Counter((bodies(number).clip, bodies(number).content_type) for number in range(16))

    assert set(came.values()) == {2}
    assert len(came) == 8


def test_no_two_bodies_are_alike_when_they_are_to_be_new(clips: list[Clip]) -> None:
    for form in ("fingerprint", "audio"):
        new, known = Bodies(clips, form, fresh=True), Bodies(clips, form, fresh=False)
        assert len({new(0).content for _ in range(100)} | {known(0).content for _ in range(100)}) == 101
