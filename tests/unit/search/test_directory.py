"""Who owns which ordinal."""

import numpy as np

from backend.search.directory import SongDirectory


def directory_of(*lengths):
    directory = SongDirectory()
    for song_id, length in enumerate(lengths, 1):
        directory.add(song_id, np.arange(length, dtype=np.int32) * 4)
    return directory


def test_every_ordinal_has_its_song_and_position():
    owners = directory_of(3, 2, 4).owners(np.arange(9))
    assert owners.song_ids.tolist() == [1, 1, 1, 2, 2, 3, 3, 3, 3]
    assert owners.positions.tolist() == [0, 4, 8, 0, 4, 0, 4, 8, 12]


def test_song_without_segments_owns_nothing():
    directory = directory_of(2, 0, 2)
    assert directory.owners(np.arange(4)).song_ids.tolist() == [1, 1, 3, 3]
    ordinals, positions, bounds = directory.windows([1, 2, 3], [0, 0, 0], [100, 100, 100])
    assert (ordinals.tolist(), positions.tolist(), bounds) == ([0, 1, 2, 3], [0, 4, 0, 4], [0, 2, 2, 4])


def test_windows_hold_the_ordinals_and_positions_asked_for():
    ordinals, positions, bounds = directory_of(5, 5).windows([2, 1, 2], [3, -9, 50], [12, 0, 60])
    assert (ordinals.tolist(), positions.tolist(), bounds) == ([6, 7, 8, 0], [4, 8, 12, 0], [0, 3, 4, 4])


def test_removed_song_is_dead_and_counted():
    directory = directory_of(3, 2)
    assert directory.remove(1)
    assert not directory.remove(1)
    assert directory.owners(np.arange(5)).song_ids.tolist() == [0, 0, 0, 2, 2]
    assert (directory.songs, directory.segments, directory.dead_segments) == (1, 5, 3)


def test_directory_comes_back_from_its_arrays():
    directory = directory_of(3, 2, 4)
    directory.remove(2)
    restored = SongDirectory.from_arrays(directory.to_arrays())
    assert (restored.songs, restored.segments, restored.dead_segments) == (2, 9, 2)
    assert np.unpackbits(restored.dead, bitorder="little")[:9].tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0]
    restored.add(2, np.array([0, 4], np.int32))
    assert restored.owners(np.arange(11)).song_ids.tolist() == [1, 1, 1, 0, 0, 3, 3, 3, 3, 2, 2]


def test_gaps_of_silence_are_kept():
    directory = directory_of(3)
    positions = np.array([3, 7, 11, 40, 44, 90, 91, 95], np.int32)
    directory.add(2, positions)
    directory.add(3, np.array([4], np.int32))
    for each in (directory, SongDirectory.from_arrays(directory.to_arrays())):
        assert each.owners(np.arange(12)).positions.tolist() == [0, 4, 8, *positions.tolist(), 4]
        asked = [(first, last) for first in range(-1, 100) for last in range(first, 100)]
        ordinals, within, bounds = each.windows([2] * len(asked), *np.transpose(asked))
        for (first, last), start, end in zip(asked, bounds, bounds[1:], strict=False):
            expected = np.flatnonzero((positions >= first) & (positions <= last))
            assert ordinals[start:end].tolist() == (expected + 3).tolist()
            assert within[start:end].tolist() == positions[expected].tolist()
