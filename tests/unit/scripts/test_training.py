"""Training: pairs that belong together, losses that mean what they say, and a weights file that the kernel would read.

Needs what `make lab` installs; without it these tests are skipped.
"""

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")
pytest.importorskip("pyroomacoustics")

from training import contrast, pairs, perturbation  # noqa: E402
from training.corpus import BANDS, SEGMENT_FRAMES, read, to_features  # noqa: E402
from training.network import Embedder  # noqa: E402
from training.pairs import PAIR, Pairs, Stretch, Worker  # noqa: E402
from training.perturbation import perturb  # noqa: E402
from training.weights_file import weights_file  # noqa: E402

from tests.music import make_music  # noqa: E402
from tests.parity import oracle  # noqa: E402


def embedder(seed=0):
    rng = np.random.default_rng(seed)
    linear = rng.normal(size=(128, SEGMENT_FRAMES * BANDS)).astype(np.float32) / 1e5
    torch.manual_seed(seed)
    made = Embedder(linear, np.zeros(SEGMENT_FRAMES * BANDS, np.float32))
    with torch.no_grad():
        made.gate.fill_(3.0)
        for _ in range(10):  # batch normalisation gets to know its inputs
            made(torch.from_numpy(rng.normal(scale=200, size=(64, SEGMENT_FRAMES, BANDS)).astype(np.float32)))
    return made.eval()


@pytest.fixture
def track(tmp_path):
    path = tmp_path / "track.wav"
    soundfile.write(path, make_music(1, 30), 16_000)
    return path


def test_patches_of_a_pair_are_of_the_same_moment_when_nothing_was_degraded(track, monkeypatch):
    monkeypatch.setattr(pairs, "_heard", lambda clean, rng, studio: (clean, 1.0))
    Worker.studio = None
    heard, moments = Worker.pairs(Stretch(0, track, 4.0, (1, 2)))
    clean = to_features(read(track, 0, 30))
    table = np.zeros(len(moments), PAIR)
    table["clean"], table["heard"] = moments.T
    both = Pairs(clean, heard, table, np.array([0, len(clean)]))

    stored, asked = both.patches(np.arange(len(moments)), np.zeros(len(moments), np.int64))

    assert len(moments) > 100
    alike = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(stored, asked, strict=True)]
    assert np.median(alike) > 0.97
    shifted, _ = both.patches(np.arange(len(moments)), np.full(len(moments), 12))
    elsewhere = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(shifted, asked, strict=True)]
    assert np.median(elsewhere) < 0.8


def test_the_same_stretches_are_planned_when_the_seed_is_the_same(track):
    assert list(pairs.plan([track], 2, 1)) == list(pairs.plan([track], 2, 1))
    assert list(pairs.plan([track], 2, 1)) != list(pairs.plan([track], 2, 2))


def batch_of(tracks):
    nothing = np.zeros((len(tracks), SEGMENT_FRAMES, BANDS), np.float32)
    return contrast.Batch(nothing, nothing, np.array(tracks), np.arange(len(tracks)) * 100)


def test_loss_is_small_when_each_moment_is_nearest_to_its_own():
    stored = torch.from_numpy(np.random.default_rng(1).normal(size=(32, 128)).astype(np.float32))
    undecided, memory = torch.tensor([14.0, -7.0]), contrast.Memory()
    right = contrast.contrast(stored.clone(), stored, undecided, batch_of(range(32)), memory)
    wrong = contrast.contrast(stored.roll(1, 0), stored, undecided, batch_of(range(32)), memory)
    assert right < 0.1 < wrong


def test_moments_are_no_wrong_answers_when_they_overlap():
    stored = torch.from_numpy(np.random.default_rng(1).normal(size=(32, 128)).astype(np.float32))
    twice = torch.cat([stored[:16], stored[:16] + 0.01])  # each moment comes twice
    batch = batch_of(range(32))
    apart = contrast.contrast(twice, twice, torch.tensor([14.0, -7.0]), batch, contrast.Memory())
    assert apart < 0.1


def test_weights_file_says_what_the_network_says_when_it_is_read_back(tmp_path, monkeypatch):
    made, features = embedder(), to_features(make_music(2, 6).astype(np.float64))
    starts = range(0, len(features) - SEGMENT_FRAMES + 1, oracle.STEP_FRAMES)
    patches = np.stack([features[start : start + SEGMENT_FRAMES] for start in starts]).astype(np.float32)
    (tmp_path / "weights.bin").write_bytes(weights_file(made, patches))
    monkeypatch.setattr(oracle, "WEIGHTS", tmp_path / "weights.bin")

    ours = oracle.embeddings(features.astype(np.float64))
    with torch.no_grad():
        theirs = torch.nn.functional.normalize(made(torch.from_numpy(patches)), dim=1).numpy() * 360

    cosines = (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosines.min() > 0.995


def test_size_is_that_of_the_kernels_own_file_when_exported():
    patches = np.zeros((4, SEGMENT_FRAMES, BANDS), np.float32)
    patches[1] = 100
    assert len(weights_file(embedder(), patches)) == oracle.WEIGHTS.stat().st_size


def test_patches_are_whole_features_still_when_they_are_perturbed():
    patches = np.tile(to_features(make_music(3, 4).astype(np.float64))[:SEGMENT_FRAMES], (400, 1, 1)).astype(np.float32)
    changed = perturb(patches, np.random.default_rng(1))

    assert changed.shape == patches.shape
    assert np.isfinite(changed).all()
    assert changed.max() <= 2047
    kept = (np.abs(changed - patches) < 1).all(axis=(1, 2))
    assert 0.2 < kept.mean() < 0.7  # most are changed; what a phone heard by itself is learnt too


def test_another_sound_is_heard_when_it_is_mixed_in(monkeypatch):
    for share, value in (("MIXED", 1.0), ("MASKED", 0.0), ("COLOURED", 0.0)):
        monkeypatch.setattr(perturbation, share, value)
    patches = np.full((2, SEGMENT_FRAMES, BANDS), -300, np.float32)
    patches[0, :, 10] = patches[1, :, 60] = 400
    swapping = [perturb(patches, np.random.default_rng(seed)) for seed in range(8)]

    assert any(changed[0, 0, 60] > -200 for changed in swapping)
    assert all(changed[0, 0, 10] > 200 for changed in swapping)


def test_a_stretch_of_bands_is_flat_when_it_is_masked(monkeypatch):
    for share, value in (("MIXED", 0.0), ("MASKED", 1.0), ("COLOURED", 0.0)):
        monkeypatch.setattr(perturbation, share, value)
    patches = np.random.default_rng(1).normal(scale=100, size=(20, SEGMENT_FRAMES, BANDS)).astype(np.float32)
    changed = perturb(patches, np.random.default_rng(2))
    assert ((changed.std(axis=1) < 30).any(axis=1) | (changed.std(axis=2) < 30).any(axis=1)).all()
