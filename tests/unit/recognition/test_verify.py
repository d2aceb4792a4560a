"""Verification: the right song, its place and speed, an honest score, and no answer when there is none."""

from dataclasses import replace

import numpy as np
import pytest
import soxr
from sonica_fingerprint import Fingerprint, extract

from backend.models import Candidate
from backend.recognition.alignment import align
from backend.recognition.verify import verify
from tests.music import make_music

RATE = 16_000
SEGMENTS = 150_000  # of the catalogue that the candidates are from: twenty hours


def candidate(seed, *, song_id=None, offset_steps=25, phase=0, music=None):
    """A song's stored segments, all of them, starting `phase` steps in."""
    samples = make_music(seed, 14) if music is None else music
    rows = np.frombuffer(extract(samples).embeddings, np.int8).reshape(-1, 128)
    positions = np.arange(phase, len(rows), 4, dtype=np.int32)
    return Candidate(song_id or seed, offset_steps, 1.0, positions - phase, rows[phase::4])


def query(seed, *, start=3.2, seconds=5.0, speed=1.0, noise=0.0, taken=1.0):
    samples = make_music(seed, 14)[int(start * RATE) :][: int(seconds * speed * RATE)]
    samples = soxr.resample(samples, RATE * speed, RATE)
    noisy = samples + noise * np.random.default_rng(1).normal(size=len(samples))
    return extract(noisy.astype(np.float32), taken)


def decide(asked, *candidates, false_accept_rate=0.01):
    return verify(asked, candidates, false_accept_rate=false_accept_rate, catalogue_segments=SEGMENTS)


def test_right_song_is_accepted_with_its_place():
    verdict = decide(query(1), candidate(2), candidate(1), candidate(3))
    assert (verdict.accepted, verdict.ranked[0].song_id, verdict.reason) == (1, 1, None)
    assert verdict.ranked[0].offset_ms == pytest.approx(3200, abs=130)
    assert verdict.ranked[0].score > 0.95
    assert verdict.ranked[1].score < 0.2


def test_vote_that_is_half_a_second_off_is_mended():
    verdict = decide(query(1), candidate(1, offset_steps=29))
    assert verdict.ranked[0].offset_ms == pytest.approx(3200, abs=130)


@pytest.mark.parametrize("speed", [0.96, 1.04])
def test_speed_is_reported(speed):
    verdict = decide(query(1, seconds=8, speed=speed), candidate(1))
    segment = verdict.ranked[0].segments[0]
    assert verdict.accepted == 1
    assert segment.speed == pytest.approx(speed, abs=0.021)
    assert segment.song_end_ms - segment.song_start_ms == pytest.approx(8000 * segment.speed, abs=5)


def test_music_that_is_not_there_is_no_match():
    verdict = decide(query(9), candidate(1), candidate(2), candidate(3))
    assert (verdict.accepted, verdict.reason) == (0, "below_threshold")
    assert len(verdict.ranked) == 3


def test_reasons_are_given_when_nothing_was_heard():
    assert decide(extract(np.zeros(RATE // 2, np.float32)), candidate(1)).reason == "too_short"
    assert decide(extract(np.zeros(3 * RATE, np.float32)), candidate(1)).reason == "silence"
    assert decide(query(1)).reason == "below_threshold"


@pytest.mark.parametrize("phase", [0, 1, 2, 3])
def test_songs_that_share_the_audio_are_all_the_answer(phase):
    slow = soxr.resample(make_music(1, 7), RATE, 2 * RATE).astype(np.float32)
    asked = extract(slow[int(3.2 * RATE) :][: 5 * RATE])
    original = candidate(1, music=slow)
    remastered = candidate(1, music=slow, song_id=8, phase=phase, offset_steps=25 - phase)
    verdict = decide(asked, original, remastered, candidate(2), candidate(3))
    assert verdict.accepted == 2
    assert {match.song_id for match in verdict.ranked[:2]} == {1, 8}
    assert all(match.score > 0.9 for match in verdict.ranked[:2])


def test_songs_that_are_merely_both_there_are_not_one():
    verdict = decide(query(1, noise=0.02), candidate(1), candidate(2), candidate(3))
    assert verdict.accepted == 1


def test_fewer_answers_are_given_when_fewer_false_ones_may_be():
    noises = np.geomspace(0.1, 6, 12)
    verdicts = [[decide(query(1, noise=n), candidate(1), false_accept_rate=r) for n in noises] for r in (0.002, 0.05)]
    strict, lenient = ([verdict.accepted for verdict in row] for row in verdicts)
    assert sum(strict) < sum(lenient)
    assert all(one <= other for one, other in zip(strict, lenient, strict=True))


@pytest.mark.parametrize(("speed", "taken"), [(0.9, 0.94), (1.1, 1.06)])
def test_place_and_speed_are_those_of_the_clip_when_it_is_taken_at_another_speed(speed, taken):
    verdict = decide(query(1, seconds=8, speed=speed, taken=taken), candidate(1), candidate(2))
    segment = verdict.ranked[0].segments[0]

    assert (verdict.accepted, verdict.ranked[0].song_id) == (1, 1)
    assert verdict.ranked[0].offset_ms == pytest.approx(3200, abs=130)
    assert segment.speed == pytest.approx(speed, abs=0.022)
    assert (segment.query_start_ms, segment.query_end_ms) == (0, 8000)
    assert segment.song_end_ms - segment.song_start_ms == pytest.approx(8000 * segment.speed, abs=5)


def test_query_at_another_speed_is_accepted_as_if_a_tenth_of_the_false_answers_were_asked_for():
    queries = [query(1, noise=noise) for noise in np.geomspace(0.1, 6, 12)]
    taken = [decide(replace(asked, speed=1.06), candidate(1)).accepted for asked in queries]

    assert taken == [decide(asked, candidate(1), false_accept_rate=0.001).accepted for asked in queries]
    assert sum(taken) < sum(decide(asked, candidate(1)).accepted for asked in queries)


def test_clip_that_starts_before_the_song_says_where_the_song_begins():
    silence = 0.01 * np.random.default_rng(1).normal(size=RATE)
    samples = np.concatenate([silence, make_music(1, 14)[: 4 * RATE]]).astype(np.float32)
    segment = decide(extract(samples), candidate(1, offset_steps=-8)).ranked[0].segments[0]
    assert segment.query_start_ms == pytest.approx(1000, abs=150)
    assert segment.song_start_ms == 0


def test_candidate_that_covers_too_little_of_the_clip_is_not_believed():
    whole = candidate(1)
    early = whole.positions < 35
    short = Candidate(1, 25, 1.0, whole.positions[early], whole.embeddings[early])
    assert align(query(1), [short])[0].similarity == -1


def test_thinned_query_is_recognized_like_a_dense_one():
    verdict = decide(query(1).thinned(2), candidate(1), candidate(2))
    assert verdict.accepted == 1
    assert verdict.ranked[0].offset_ms == pytest.approx(3200, abs=260)


def test_silent_part_of_a_clip_does_not_count():
    asked = query(1)
    half = asked.segments // 2
    muted = Fingerprint(asked.embeddings, asked.levels[:half] + bytes([120] * (asked.segments - half)), 5000)
    assert align(muted, [candidate(1)])[0].similarity > 0.8
