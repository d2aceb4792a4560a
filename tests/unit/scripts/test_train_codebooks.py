"""Codebooks come out of a folder of music, and tell its segments apart better than no codebooks would."""

import sys

import numpy as np
from sonica_fingerprint import extract
from train_codebooks import main

from backend.search.codebooks import Codebooks
from tests.music import make_music, write_song


def test_script_writes_codebooks_that_fit_its_music(tmp_path, monkeypatch):
    for seed in range(1, 7):
        write_song(tmp_path / "music" / f"{seed}.wav", seed, 30)
    output = tmp_path / "codebooks.npz"
    arguments = [str(tmp_path / "music"), "--seconds", "25", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["train_codebooks.py", *arguments])
    main()
    codebooks = Codebooks.of(output.read_bytes())
    rows = np.frombuffer(extract(make_music(3, 30)).embeddings, np.int8).reshape(-1, 128).astype(float)
    left = rows - codebooks.centroids[(rows @ codebooks.centroids.T).argmax(axis=1)]
    parts = left.reshape(len(rows), 32, 1, 4)
    missed = np.square(parts - codebooks.leftovers).sum(axis=3).min(axis=2).sum(axis=1)
    assert np.mean(np.square(left).sum(axis=1)) < 0.8 * np.mean(np.square(rows).sum(axis=1))
    assert np.mean(missed) < 0.5 * np.mean(np.square(left).sum(axis=1))
