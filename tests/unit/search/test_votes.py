"""Votes over (song, offset)."""

import numpy as np

from backend.search.votes import PLACES_PER_SONG_MAX, tally


def hits(*rows):
    songs, offsets, cosines = zip(*rows, strict=True)
    return np.array(songs, np.int64), np.array(offsets, np.int32), np.array(cosines, np.float32)


def test_agreeing_hits_win_over_a_single_better_one():
    first = tally(*hits((1, 100, 0.9), (2, 40, 0.6), (2, 41, 0.6), (2, 39, 0.6)), limit=5)[0]
    assert (first.song_id, first.offset_steps) == (2, 40)


def test_hits_on_both_sides_of_a_bin_boundary_count_together():
    first = tally(*hits((1, 3, 0.7), (1, 4, 0.7), (2, 9, 0.9)), limit=5)[0]
    assert first.song_id == 1
    assert first.votes == np.float32(0.7) ** 2 * 2 or abs(first.votes - 0.98) < 1e-6


def test_negative_cosines_have_no_weight():
    ranked = tally(*hits((1, 0, -0.9), (1, 0, -0.9), (2, 0, 0.2)), limit=5)
    assert ranked[0].song_id == 2


def test_song_that_repeats_itself_does_not_crowd_others_out():
    repeats = [(1, 20 * n, 0.9) for n in range(30)]
    ranked = tally(*hits(*repeats, (2, 5, 0.3)), limit=10)
    assert sum(place.song_id == 1 for place in ranked) == PLACES_PER_SONG_MAX
    assert any(place.song_id == 2 for place in ranked)


def test_no_more_than_the_limit_are_returned():
    assert len(tally(*hits(*((song, 0, 0.5) for song in range(1, 50))), limit=7)) == 7
