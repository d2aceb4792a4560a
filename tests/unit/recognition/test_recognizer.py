"""The whole way, over a catalogue and an index in memory."""

import io

import numpy as np
import pytest
import soundfile
import soxr
from sonica_fingerprint import OTHER_SPEEDS, extract

from backend.audio.decoder import Decoder
from backend.audio.limits import DecoderLimits
from backend.cache.cache import Cache
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import CatalogueUnavailable, UndecodableAudio
from backend.recognition.recognizer import RecognitionLimits, Recognizer
from backend.search.faiss_index import FaissIndex
from backend.settings import Settings
from tests.factories import make_new_song
from tests.music import make_music


class CountingIndex(FaissIndex):
    searches = whole_searches = 0

    def search(self, query, *, limit, quick=False):
        self.searches += quick
        self.whole_searches += not quick
        return super().search(query, limit=limit, quick=quick)


async def recognizer_of(folder, *seeds, catalogue=None, other_speeds=OTHER_SPEEDS):
    catalogue = catalogue or InMemoryCatalogue()
    for seed in seeds:
        await catalogue.put(make_new_song(seed, fingerprint=extract(make_music(seed, 12)).thinned(4)))
    index = await CountingIndex.open(folder, catalogue, search_depth=96)
    cache = Cache(Settings(), catalogue, shared=None)
    recognizer = Recognizer(
        decoder=Decoder(DecoderLimits.from_settings(Settings()), threads=1),
        index=index,
        catalogue=cache.songs,
        cache=cache.recognitions,
        limits=RecognitionLimits(candidates_max=24, false_accept_rate=0.01, other_speeds=other_speeds),
    )
    return recognizer, catalogue, index


def clip_of(seed, start=4.0, seconds=5.0, speed=1.0):
    file = io.BytesIO()
    played = make_music(seed, 12)[int(start * 16_000) :][: int(seconds * speed * 16_000)]
    soundfile.write(file, soxr.resample(played, 16_000 * speed, 16_000), 16_000, format="WAV")
    return file.getvalue()


async def test_clip_is_recognized_with_its_song_and_timings(tmp_path):
    recognizer, _, _ = await recognizer_of(tmp_path, 1, 2, 3)
    recognition = await recognizer.recognize_clip(clip_of(2))
    assert (recognition.status, recognition.ambiguous) == ("match", False)
    assert recognition.matches[0].song.details.external_id == "song-2"
    assert recognition.matches[0].match.offset_ms == pytest.approx(4000, abs=130)
    assert set(recognition.timings_ms) == {"decode", "extract", "cache", "search", "verify", "catalogue", "total"}
    assert recognition.query_duration_ms == 5000
    steps = [ms for step, ms in recognition.timings_ms.items() if step != "total"]
    assert 0 < sum(steps) <= recognition.timings_ms["total"]


async def test_unknown_clip_is_no_match_with_ranked_candidates(tmp_path):
    recognizer, _, _ = await recognizer_of(tmp_path, 1, 2, 3)
    recognition = await recognizer.recognize_clip(clip_of(11))
    assert (recognition.status, recognition.reason) == ("no_match", "below_threshold")
    assert recognition.matches == ()
    assert len(recognition.candidates) > 0


async def test_second_time_comes_from_memory(tmp_path):
    recognizer, _, index = await recognizer_of(tmp_path, 1)
    first = await recognizer.recognize_clip(clip_of(1))
    second = await recognizer.recognize_clip(clip_of(1))
    assert (first.cache, second.cache, index.searches) == ("miss", "memory", 1)
    assert second.matches == first.matches
    assert set(second.timings_ms) == {"decode", "extract", "cache", "total"}


async def test_new_song_ends_a_kept_no_match(tmp_path):
    recognizer, catalogue, index = await recognizer_of(tmp_path, 1)
    assert (await recognizer.recognize_clip(clip_of(2))).status == "no_match"
    await catalogue.put(make_new_song(2, fingerprint=extract(make_music(2, 12)).thinned(4)))
    await index.catch_up()
    assert (await recognizer.recognize_clip(clip_of(2))).status == "match"


async def test_segment_ends_with_the_song_when_the_clip_goes_on(tmp_path):
    recognizer, _, _ = await recognizer_of(tmp_path, 1, 2)
    rest = 0.01 * np.random.default_rng(1).normal(size=16_000)
    clip = np.concatenate([make_music(1, 12)[8 * 16_000 :], rest]).astype(np.float32)
    recognition = await recognizer.recognize(extract(clip))
    segment = recognition.matches[0].match.segments[0]
    assert segment.song_end_ms == recognition.matches[0].song.duration_ms
    assert segment.query_end_ms == pytest.approx(4000, abs=200)


async def test_song_deleted_before_the_index_knows_is_no_answer(tmp_path):
    recognizer, catalogue, _ = await recognizer_of(tmp_path, 1, 2)
    await catalogue.delete(1)
    recognition = await recognizer.recognize_clip(clip_of(1))
    assert recognition.status == "no_match"
    assert all(candidate.song.id != 1 for candidate in recognition.candidates)


async def test_silence_and_short_clips_say_so(tmp_path):
    recognizer, _, _ = await recognizer_of(tmp_path, 1)
    assert (await recognizer.recognize(extract(np.zeros(48_000, np.float32)))).reason == "silence"
    assert (await recognizer.recognize_clip(clip_of(1, seconds=0.5))).reason == "too_short"


async def away(_ids):
    raise CatalogueUnavailable()


async def test_match_is_given_without_its_song_and_not_kept_when_the_catalogue_is_away(tmp_path, monkeypatch):
    recognizer, catalogue, _ = await recognizer_of(tmp_path, 1)
    with monkeypatch.context() as patched:
        patched.setattr(catalogue, "songs", away)
        degraded = await recognizer.recognize_clip(clip_of(1))
    whole = await recognizer.recognize_clip(clip_of(1))

    assert (degraded.status, degraded.degraded, degraded.matches[0].song) == ("match", True, None)
    assert (whole.degraded, whole.cache, whole.matches[0].song.id) == (False, "miss", 1)
    assert degraded.matches[0].match.song_id == 1
    assert degraded.matches[0].match.offset_ms == whole.matches[0].match.offset_ms
    assert degraded.matches[0].match.score == whole.matches[0].match.score


async def test_match_has_its_song_when_that_is_cached_and_the_catalogue_is_away(tmp_path, monkeypatch):
    recognizer, catalogue, _ = await recognizer_of(tmp_path, 1)
    await recognizer.recognize_clip(clip_of(1))
    monkeypatch.setattr(catalogue, "songs", away)

    another = await recognizer.recognize_clip(clip_of(1, start=5.0))

    assert (another.cache, another.degraded, another.matches[0].song.id) == ("miss", False, 1)


async def test_damaged_clip_is_an_error(tmp_path):
    recognizer, _, _ = await recognizer_of(tmp_path)
    with pytest.raises(UndecodableAudio):
        await recognizer.recognize_clip(clip_of(1)[:44])


@pytest.mark.parametrize("speed", [0.88, 0.9, 1.1, 1.12])
async def test_clip_is_recognized_with_its_place_and_speed_when_it_was_played_at_another_speed(tmp_path, speed):
    recognizer, _, index = await recognizer_of(tmp_path, 1, 2, 3)
    recognition = await recognizer.recognize_clip(clip_of(2, speed=speed))
    match = recognition.matches[0].match

    assert (match.song_id, recognition.query_duration_ms) == (2, 5000)
    assert match.offset_ms == pytest.approx(4000, abs=200)
    assert match.segments[0].speed == pytest.approx(speed, abs=0.025)
    assert match.segments[0].query_end_ms == 5000
    assert index.searches == 3
    assert set(recognition.timings_ms) == {"decode", "extract", "cache", "search", "verify", "catalogue", "total"}


async def test_clip_is_looked_at_once_when_it_has_an_answer(tmp_path):
    recognizer, _, index = await recognizer_of(tmp_path, 1, 2, 3)
    await recognizer.recognize_clip(clip_of(2))
    assert (index.searches, index.whole_searches) == (1, 0)


async def test_whole_depth_is_searched_when_the_first_look_finds_no_answer(tmp_path, monkeypatch):
    recognizer, _, index = await recognizer_of(tmp_path, 1, 2, 3)
    search = index.search

    def seeing_nothing_at_once(query, *, limit, quick=False):
        return [] if quick else search(query, limit=limit)

    monkeypatch.setattr(index, "search", seeing_nothing_at_once)
    recognition = await recognizer.recognize_clip(clip_of(2))
    assert (recognition.matches[0].match.song_id, index.whole_searches) == (2, 1)


async def test_first_answer_stays_when_a_clip_has_none_at_any_speed(tmp_path):
    recognizer, _, index = await recognizer_of(tmp_path, 1, 2, 3)
    recognition = await recognizer.recognize_clip(clip_of(11))
    first = await recognizer.recognize(extract(decoded(clip_of(11))))

    assert (recognition.reason, index.searches) == ("below_threshold", 1 + len(OTHER_SPEEDS))
    assert (recognition.query_key, recognition.candidates) == (first.query_key, first.candidates)


async def test_nothing_is_searched_again_when_a_clip_is_silent_or_too_short(tmp_path):
    recognizer, _, index = await recognizer_of(tmp_path, 1)
    await recognizer.recognize_clip(clip_of(1, seconds=0.5))
    assert index.searches == 1


async def test_other_speeds_are_not_tried_when_there_are_none(tmp_path):
    recognizer, _, index = await recognizer_of(tmp_path, 1, 2, 3, other_speeds=())
    recognition = await recognizer.recognize_clip(clip_of(2, speed=1.12))
    assert (recognition.status, index.searches) == ("no_match", 1)


async def test_second_time_comes_from_memory_when_the_clip_was_played_at_another_speed(tmp_path):
    recognizer, _, index = await recognizer_of(tmp_path, 1, 2, 3)
    first, second = [await recognizer.recognize_clip(clip_of(2, speed=1.12)) for _ in range(2)]
    assert (first.cache, second.cache, index.searches) == ("miss", "memory", 1 + len(OTHER_SPEEDS))
    assert (second.query_key, second.matches) == (first.query_key, first.matches)
    assert (await recognizer.known(first.query_key)).matches == first.matches


async def test_fingerprint_is_recognized_when_its_maker_took_the_clip_at_another_speed(tmp_path):
    recognizer, _, index = await recognizer_of(tmp_path, 1, 2, 3)
    recognition = await recognizer.recognize(extract(decoded(clip_of(2, speed=1.12)), 1.06))
    assert (recognition.matches[0].match.song_id, index.searches) == (2, 1)


def decoded(clip):
    return soundfile.read(io.BytesIO(clip), dtype="float32")[0]
