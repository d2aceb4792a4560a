"""Vectors compared one and all: nothing nearer is ever missed."""

import numpy as np
import pytest

from backend.search import exact
from backend.search.exact import ExactVectors


def random_vectors(count, seed=1):
    return np.random.default_rng(seed).integers(-100, 100, (count, 128)).astype(np.int8)


@pytest.mark.parametrize("block", [8, 64, 1 << 14])
def test_nothing_nearer_is_missed_whatever_the_blocks_are(monkeypatch, block):
    monkeypatch.setattr(exact, "BLOCK", block)
    vectors, queries = random_vectors(100), random_vectors(5, seed=2)
    index = ExactVectors()
    for first in range(0, 100, 7):
        index.add(vectors[first : first + 7], threads=1)
    wanted = queries.astype(int) @ vectors.T.astype(int)
    products, ordinals = index.nearest(queries, count=10)
    assert (products == -np.sort(-wanted)[:, :10]).all()
    assert (np.take_along_axis(wanted, ordinals, axis=1) == products).all()


@pytest.mark.parametrize("block", [8, 1 << 14])
def test_dead_ordinals_are_passed_over_also_beyond_the_bits_that_there_are(monkeypatch, block):
    monkeypatch.setattr(exact, "BLOCK", block)
    index = ExactVectors()
    index.add(random_vectors(50), threads=1)
    dead = np.array([0b11111110, 0b11111111], np.uint8)
    _, ordinals = index.nearest(random_vectors(3, seed=3), count=50, dead=dead)
    assert sorted(ordinals[0][ordinals[0] >= 0]) == [0, *range(16, 50)]
    assert (ordinals[:, 35:] == -1).all()


def test_there_are_no_neighbours_where_there_are_no_vectors():
    _, ordinals = ExactVectors().nearest(random_vectors(2), count=3)
    assert (ordinals == -1).all()
