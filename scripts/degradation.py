"""Makes clean music sound as a phone hears it: rooms, noise, microphones, codecs, speed; for training and evaluation.

Usage: degradation.py INPUT.wav OUTPUT.wav --kind mic [--seed 1]
Everything works on float64 mono at 16 kHz and is drawn from the generator that is passed in, so that a seed repeats it.
Needs SciPy, pyroomacoustics, soundfile and imageio-ffmpeg, and for voices the program espeak-ng.
"""

from __future__ import annotations

import argparse
import io
import itertools
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import soundfile
from scipy import signal

RATE = 16_000
Samples = npt.NDArray[np.float64]
Generator = np.random.Generator

SENTENCES = [
    "have you seen where I left the keys this morning",
    "two coffees please and one of them without sugar",
    "the train was late again so we walked along the river",
    "my sister moved to another city last summer",
    "I can barely understand a word in this place",
    "let me know when you are ready and I will drive",
    "nobody told us that the museum closes on tuesdays",
    "there is a table free near the window over there",
    "what was the name of that film we watched",
    "put it on the shelf next to the green one",
]
VOICES = ["en-us+m3", "en-gb+f2", "en+m7", "en-us+f4", "en-gb+m1", "en+f1", "de+m2", "fr-fr+f3", "es+m4", "pt+f2"]


@dataclass(frozen=True)
class Studio:
    """What degradations draw from, made once from a seed: voices and room impulse responses (lists of samples)."""

    voices: list[Samples]
    rooms: list[Samples]

    @classmethod
    def build(cls, seed: int, *, rooms: int = 96, speech: Path | None = None, recordings: int = 1500) -> Studio:
        """Simulate the rooms of a seed, a third by mirror images, the rest as decaying noise; collect voices.

        speech: a folder of WAV files of people speaking, of which so many recordings are drawn, beside espeak-ng.
        """
        generators = [np.random.default_rng([seed, 7, n]) for n in range(rooms)]
        return cls(
            voices=_speak_all(seed) + ([] if speech is None else _recorded(speech, recordings, seed)),
            rooms=[_diffuse_room(rng) if n % 3 else _room(rng) for n, rng in enumerate(generators)],
        )


def unit(samples: Samples) -> Samples:
    """Scale to a root mean square of 1."""
    return samples / (np.sqrt(np.mean(samples**2)) + 1e-9)


def degrade(samples: Samples, kind: str, rng: Generator, studio: Studio) -> Samples:
    """Return the samples as `kind` (a key of KINDS) makes them; the length may change with speed and tempo."""
    return KINDS[kind](samples, rng, studio)


# --- noise ---------------------------------------------------------------------------------------------------------


def coloured_noise(length: int, rng: Generator, slope: float) -> Samples:
    """Noise whose power falls as 1/f^slope: 0 white, 1 pink, 2 brown."""
    spectrum = rng.normal(size=length // 2 + 1) + 1j * rng.normal(size=length // 2 + 1)
    bins = np.maximum(np.arange(spectrum.size), 8.0)
    return unit(np.fft.irfft(spectrum * bins ** (-slope / 2), length))


def babble(length: int, rng: Generator, studio: Studio, talkers: int) -> Samples:
    """So many people talking at once, some nearer than others."""
    total = np.zeros(length)
    for _ in range(talkers):
        order = rng.permutation(len(studio.voices))[:6]
        speech = np.concatenate([studio.voices[n] for n in order])
        speech = np.resize(speech, max(length, speech.size))
        start = int(rng.integers(0, speech.size - length + 1))
        total += rng.uniform(0.25, 1) * speech[start : start + length]
    return unit(total)


def background(length: int, rng: Generator, studio: Studio) -> Samples:
    """A place's noise, or two places' at once."""
    noise = _place(length, rng, studio)
    if rng.random() < 0.25:
        noise = noise + rng.uniform(0.2, 1) * _place(length, rng, studio)
    return unit(noise)


def _place(length: int, rng: Generator, studio: Studio) -> Samples:
    kind = PLACES[int(rng.integers(len(PLACES)))]
    return kind(length, rng, studio)


def crowd(length: int, rng: Generator, studio: Studio) -> Samples:
    """Talk and hiss that swell."""
    noise = coloured_noise(length, rng, rng.uniform(0.5, 1.5))
    swell = 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.15, 2.5) * np.arange(length) / RATE + rng.uniform(0, 6))
    return unit(0.6 * noise * swell + 0.6 * babble(length, rng, studio, int(rng.integers(3, 7))))


def hum(length: int, rng: Generator) -> Samples:
    """Motors and mains: harmonics that hold still, in hiss."""
    pitch, seconds = rng.uniform(45, 240), np.arange(length) / RATE
    tones = sum(rng.uniform(0, 1) / n * np.sin(2 * np.pi * pitch * n * seconds + n) for n in range(1, 12))
    return unit(coloured_noise(length, rng, rng.uniform(0.5, 2)) + rng.uniform(0.3, 1.5) * unit(np.asarray(tones)))


def knocks(length: int, rng: Generator) -> Samples:
    """Cutlery, steps, doors."""
    sound = np.zeros(length)
    for at in rng.integers(0, length, size=max(1, int(length / RATE * rng.uniform(1, 5)))):
        decay = np.exp(-np.arange(4000) / rng.uniform(60, 900)) * rng.normal(size=4000)
        end = min(length, at + 4000)
        sound[at:end] += rng.uniform(0.2, 1) * decay[: end - at]
    return unit(coloured_noise(length, rng, rng.uniform(0.5, 1.5)) + unit(sound))


def rain(length: int, rng: Generator) -> Samples:
    """Rain, applause, frying: many small clicks, dense or loose."""
    clicks = rng.normal(size=length) * (rng.random(length) < 10 ** rng.uniform(-3.5, -1))
    ring = np.exp(-np.arange(400) / rng.uniform(3, 60)) * rng.normal(size=400)
    return unit(_swelling(np.asarray(signal.fftconvolve(clicks, ring)[:length]), rng, rng.uniform(0, 0.6)))


def motor(length: int, rng: Generator) -> Samples:
    """An engine whose turning drifts, over the rumble of wheels and the hiss of tyres."""
    turning = rng.uniform(12, 90) * np.exp(_wander(length, rng, rng.uniform(0.3, 4), rng.uniform(0.005, 0.15)))
    phase = 2 * np.pi * np.cumsum(turning) / RATE
    tones = np.zeros(length)
    for n in range(1, int(rng.integers(4, 25))):
        tones += rng.uniform(0, 1) ** 2 * n ** -rng.uniform(0.3, 1.5) * np.sin(n * phase + rng.uniform(0, 6))
    rumble = coloured_noise(length, rng, rng.uniform(1.5, 4))
    hiss = unit(band_limit(rng.normal(size=length), rng.uniform(200, 900), rng.uniform(1200, 5000), 1))
    mixed = rng.uniform(0, 1) * unit(tones) + rng.uniform(0.2, 1) * rumble + rng.uniform(0, 0.6) * hiss
    return unit(_swelling(mixed, rng, rng.uniform(0, 0.5)))


def passing(length: int, rng: Generator) -> Samples:
    """Traffic: sounds that come, rise in brightness, and go; now and then a horn or a bell."""
    sound = 0.3 * coloured_noise(length, rng, rng.uniform(1, 2.5))
    seconds = np.arange(length) / RATE
    for _ in range(int(rng.integers(1, 2 + length // (3 * RATE)))):
        nearest, lasting = rng.uniform(-1, length / RATE + 1), rng.uniform(0.3, 4)
        nearness = 1 / (1 + ((seconds - nearest) / lasting) ** 2)
        car = motor(length, rng) if rng.random() < 0.6 else coloured_noise(length, rng, rng.uniform(0, 2))
        sound += rng.uniform(0.3, 1.5) * nearness ** rng.uniform(0.7, 2) * car
    if rng.random() < 0.3:
        pitch, start = rng.uniform(250, 1500), rng.uniform(0, length / RATE)
        honk = np.sign(np.sin(2 * np.pi * pitch * seconds)) + np.sign(np.sin(2 * np.pi * pitch * 1.26 * seconds))
        sound += rng.uniform(0.2, 1) * honk * ((seconds > start) & (seconds < start + rng.uniform(0.15, 1)))
    return unit(sound)


def wind(length: int, rng: Generator) -> Samples:
    """Gusts on a microphone: deep, uneven, sometimes beyond what it can take."""
    gusts = np.exp(_wander(length, rng, rng.uniform(0.05, 1.5), rng.uniform(0.3, 1.2)))
    sound = unit(coloured_noise(length, rng, rng.uniform(1.5, 4)) * gusts)
    return unit(np.clip(sound, -2, 2) if rng.random() < 0.3 else sound)


def air(length: int, rng: Generator) -> Samples:
    """Fans and ducts: noise through resonances."""
    sound = coloured_noise(length, rng, rng.uniform(0, 2))
    for _ in range(int(rng.integers(1, 5))):
        peak, peak_poles = signal.iirpeak(np.exp(rng.uniform(np.log(60), np.log(5000))), rng.uniform(1, 30), fs=RATE)
        sound = sound + rng.uniform(0, 3) * unit(np.asarray(signal.lfilter(peak, peak_poles, sound)))
    return unit(_swelling(sound, rng, rng.uniform(0, 0.4)))


def _wander(length: int, rng: Generator, every_seconds: float, depth: float) -> Samples:
    """A smooth random curve around 0."""
    knots = np.arange(-1, length / RATE / every_seconds + 2) * every_seconds * RATE
    return np.interp(np.arange(length), knots, rng.normal(scale=depth, size=knots.size))


def _swelling(sound: Samples, rng: Generator, depth: float) -> Samples:
    return sound * np.exp(_wander(sound.size, rng, rng.uniform(0.1, 3), depth))


def notes(length: int, rng: Generator) -> Samples:
    """Music-like noise: chords of decaying harmonics on a beat, with a drum of noise."""
    total = np.zeros(length)
    seconds = np.arange(RATE) / RATE
    beat, root = rng.uniform(0.12, 0.6), rng.uniform(60, 240)
    scale = root * 2 ** (np.array([0, 2, 3, 5, 7, 8, 10, 12, 15, 19]) / 12)
    for at in np.arange(0, length / RATE, beat):
        start = int(at * RATE)
        note = np.zeros(RATE)
        for pitch in rng.choice(scale, int(rng.integers(1, 4))):
            for harmonic in range(1, int(rng.integers(2, 9))):
                note += rng.uniform(0, 1) / harmonic * np.sin(2 * np.pi * pitch * harmonic * seconds)
        note *= np.exp(-seconds / rng.uniform(0.05, 0.6))
        note[:2000] += rng.uniform(0, 2) * np.exp(-np.arange(2000) / rng.uniform(50, 500)) * rng.normal(size=2000)
        end = min(length, start + RATE)
        total[start:end] += note[: end - start]
    return unit(total)


def with_noise(samples: Samples, snr_db: float, rng: Generator, studio: Studio) -> Samples:
    """Add a background at this ratio of powers."""
    return unit(samples) + background(samples.size, rng, studio) * 10 ** (-snr_db / 20)


# --- rooms, loudspeakers, microphones --------------------------------------------------------------------------------


def reverberate(samples: Samples, rng: Generator, studio: Studio) -> Samples:
    """Play in one of the rooms."""
    room = studio.rooms[int(rng.integers(len(studio.rooms)))]
    return np.asarray(signal.fftconvolve(samples, room)[: samples.size])


def equalise(samples: Samples, rng: Generator, depth_db: float) -> Samples:
    """A device's uneven response: random gains at eleven pitches, smooth in between."""
    frequencies = np.fft.rfftfreq(samples.size, 1 / RATE)
    knots = np.linspace(np.log(50), np.log(8000), 11)
    gains = np.interp(np.log(np.maximum(frequencies, 50)), knots, rng.normal(scale=depth_db, size=11))
    return np.fft.irfft(np.fft.rfft(samples) * 10 ** (gains / 20), samples.size)


def resonate(samples: Samples, rng: Generator) -> Samples:
    """A case, a panel, a pocket: one or two sharp peaks or dips."""
    for _ in range(int(rng.integers(1, 3))):
        peak, poles = signal.iirpeak(np.exp(rng.uniform(np.log(100), np.log(6000))), rng.uniform(0.7, 8), fs=RATE)
        samples = samples + rng.uniform(-0.9, 3) * np.asarray(signal.lfilter(peak, poles, samples))
    return samples


def band_limit(samples: Samples, low_hz: float, high_hz: float, order: int = 2) -> Samples:
    """Keep what lies between."""
    sections = signal.butter(order, [low_hz, high_hz], "band", fs=RATE, output="sos")
    return np.asarray(signal.sosfilt(sections, samples))


def loudspeaker(samples: Samples, rng: Generator) -> Samples:
    """A small loudspeaker that plays too loud: no bass, a resonance, and what it distorts."""
    low = rng.uniform(120, 500)
    sections = signal.butter(int(rng.integers(1, 4)), low, "high", fs=RATE, output="sos")
    driven = unit(np.asarray(signal.sosfilt(sections, samples)))
    peak, peak_poles = signal.iirpeak(rng.uniform(low, 3 * low), rng.uniform(1, 4), fs=RATE)
    driven = driven + rng.uniform(0, 1.5) * signal.lfilter(peak, peak_poles, driven)
    return np.tanh(driven * rng.uniform(0.1, 0.8) + rng.uniform(0, 0.2))


def compress(samples: Samples, rng: Generator) -> Samples:
    """A recorder's automatic gain: follows the level within tenths of a second."""
    envelope = signal.lfilter([1 - 0.9995], [1, -0.9995], np.abs(samples)) + 0.05 * np.abs(samples).mean() + 1e-6
    return np.asarray(samples / envelope ** rng.uniform(0.2, 0.8))


def microphone(samples: Samples, rng: Generator, studio: Studio) -> Samples:
    """A phone in a room: a loudspeaker, reverberation, noise, response, gain, clipping, sometimes a codec."""
    heard = loudspeaker(samples, rng) if rng.random() < 0.3 else samples
    heard = reverberate(heard, rng, studio) if rng.random() < 0.85 else heard
    if rng.random() < 0.9:
        heard = with_noise(heard, rng.uniform(-6, 14), rng, studio)
    if rng.random() < 0.7:
        heard = equalise(heard, rng, rng.uniform(1, 6))
    if rng.random() < 0.3:
        heard = resonate(heard, rng)
    if rng.random() < 0.8:
        heard = band_limit(heard, rng.uniform(40, 300), rng.uniform(3400, 7600))
    if rng.random() < 0.3:
        heard = compress(heard, rng)
    if rng.random() < 0.7:
        heard = np.tanh(unit(heard) * rng.uniform(0.2, 1.2))
    return transcode(heard, rng) if rng.random() < 0.5 else heard


# --- codecs, speed ---------------------------------------------------------------------------------------------------


def transcode(samples: Samples, rng: Generator) -> Samples:
    """Through Opus, MP3 or Vorbis at a random quality, AAC, or a GSM telephone."""
    kind = int(rng.integers(5))
    if kind == 3:
        return telephone(samples)
    if kind == 4:
        return advanced_audio(samples, int(rng.integers(20, 65)))
    container, subtype = [("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS")][kind]
    return _through(samples, RATE, container, subtype, rng.uniform(0.5, 0.95))


def telephone(samples: Samples) -> Samples:
    """300 to 3,400 Hz, 8 kHz, GSM 06.10."""
    narrow = signal.resample_poly(band_limit(samples, 300, 3400, 4), 1, 2)
    coded = _through(narrow, RATE // 2, "WAV", "GSM610", None)
    return _fit(signal.resample_poly(coded, 2, 1), samples.size)


def advanced_audio(samples: Samples, kilobits: int) -> Samples:
    """AAC, as phones record voice memos."""
    with tempfile.TemporaryDirectory() as folder:
        raw, coded = Path(folder) / "raw.wav", Path(folder) / "coded.m4a"
        soundfile.write(raw, np.clip(0.1 * unit(samples), -1, 1), RATE)
        ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-threads", "1"]
        subprocess.run([*ffmpeg, "-i", raw, "-c:a", "aac", "-b:a", f"{kilobits}k", coded], check=True)
        subprocess.run([*ffmpeg, "-i", coded, "-ar", str(RATE), raw], check=True)
        decoded = soundfile.read(raw)[0]
    return _fit(_realigned(decoded, samples), samples.size)


def change_speed(samples: Samples, factor: float) -> Samples:
    """Play faster (factor > 1): shorter and higher."""
    return np.asarray(signal.resample(samples, round(samples.size / factor)))


def change_tempo(samples: Samples, factor: float) -> Samples:
    """Faster at the same pitch, by overlapping windows aligned for best correlation (WSOLA, Verhelst 1993)."""
    window, reach = 1024, 256
    hop = window // 2
    fade = np.hanning(window)
    out = np.zeros(round(samples.size / factor) + 2 * window)
    weight = np.full(out.size, 1e-6)
    at = 0
    for start in range(0, out.size - window, hop):
        wanted = round(start * factor)
        if wanted + window + reach + hop >= samples.size:
            break
        if start:
            natural = samples[at + hop : at + hop + window]
            low = max(0, wanted - reach)
            scores = signal.correlate(samples[low : wanted + reach + window], natural, "valid")
            wanted = low + int(np.argmax(scores))
        at = wanted
        out[start : start + window] += samples[at : at + window] * fade
        weight[start : start + window] += fade
    return (out / weight)[: round(samples.size / factor)]


def change_pitch(samples: Samples, factor: float) -> Samples:
    """Higher at the same tempo."""
    return change_tempo(change_speed(samples, factor), 1 / factor)


def _fit(samples: Samples, length: int) -> Samples:
    return np.resize(samples, length) if samples.size < length else samples[:length]


def _through(samples: Samples, rate: int, container: str, subtype: str, quality: float | None) -> Samples:
    file = io.BytesIO()
    level = {} if quality is None else {"compression_level": quality}
    soundfile.write(file, np.clip(0.1 * unit(samples), -1, 1), rate, format=container, subtype=subtype, **level)
    file.seek(0)
    decoded, decoded_rate = soundfile.read(file)
    if decoded_rate != rate:
        decoded = signal.resample_poly(decoded, rate, decoded_rate)
    return _fit(_realigned(decoded, samples), samples.size)


def _realigned(decoded: Samples, original: Samples) -> Samples:
    """Drop the delay that MP3's filter bank adds: training pairs must stay aligned to a few milliseconds."""
    length = min(decoded.size, original.size, 4 * RATE)
    scores = signal.correlate(decoded[:length], original[:length], "full", method="fft")[length - 1 :][:4000]
    return decoded[int(np.argmax(scores)) :]


# --- voices and rooms ------------------------------------------------------------------------------------------------


def _speak_all(seed: int) -> list[Samples]:
    rng = np.random.default_rng([seed, 5])
    return [
        _speak(sentence, voice, int(rng.integers(130, 200)), int(rng.integers(25, 75)))
        for sentence, voice in itertools.product(SENTENCES, VOICES)
        if rng.random() < 0.5
    ]


def _recorded(folder: Path, count: int, seed: int) -> list[Samples]:
    """Draw recordings of 1 to 30 s that lie in a folder."""
    rng = np.random.default_rng([seed, 6])
    paths = sorted(folder.rglob("*.wav"))
    drawn = [soundfile.read(paths[n]) for n in rng.permutation(len(paths))[:count]]
    return [unit(samples).astype(np.float32) for samples, rate in drawn if rate == RATE and samples.size > RATE]


def _speak(sentence: str, voice: str, words_per_minute: int, pitch: int) -> Samples:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        how = ["-v", voice, "-s", str(words_per_minute), "-p", str(pitch)]
        subprocess.run(["espeak-ng", *how, "-w", path, sentence], check=True)
        speech, rate = soundfile.read(path)
    common = gcd(RATE, rate)
    return unit(signal.resample_poly(speech, RATE // common, rate // common))


def _diffuse_room(rng: Generator) -> Samples:
    """A direct sound, a few early reflections, and noise that decays faster at high pitches (Moorer 1979)."""
    longest = np.exp(rng.uniform(np.log(0.04), np.log(2.5)))  # from a car's cabin to a hall
    length = int(RATE * max(0.1, min(1.6, longest)))
    seconds = np.arange(length) / RATE
    tail = np.zeros(length)
    for low, high in itertools.pairwise([60, 400, 1200, 3000, 7600]):
        decay = longest * rng.uniform(0.4, 1) / (1 + low / 4000)
        tail += band_limit(rng.normal(size=length), low, high) * np.exp(-6.9 * seconds / decay)
    tail *= 1 - np.exp(-seconds / rng.uniform(0.002, 0.03))
    response = tail / np.sqrt((tail**2).sum()) * 10 ** (-rng.uniform(-6, 12) / 20)  # direct to reverberant ratio
    response[0] += 1
    for at in rng.integers(16, 900, size=int(rng.integers(2, 8))):
        response[min(at, length - 1)] += rng.uniform(-0.6, 0.6)
    return response / np.abs(response).max()


def _room(rng: Generator) -> Samples:
    import pyroomacoustics

    size = rng.uniform([2.2, 2.2, 2.2], [14, 12, 5])
    try:
        absorption, order = pyroomacoustics.inverse_sabine(rng.uniform(0.18, 1.1), size)
    except ValueError:  # too large a room for so short an echo
        absorption, order = 0.4, 10
    room = pyroomacoustics.ShoeBox(
        size, fs=RATE, materials=pyroomacoustics.Material(absorption), max_order=min(order, 14)
    )
    room.add_source(rng.uniform(0.3, size - 0.3))
    room.add_microphone(rng.uniform(0.3, size - 0.3))
    room.compute_rir()
    response = np.asarray(room.rir[0][0])
    start = int(np.argmax(np.abs(response) > 0.1 * np.abs(response).max()))  # the way to the microphone is no offset
    response = response[max(0, start - 8) :]
    return response / np.abs(response).max()


PLACES: list[Callable[[int, Generator, Studio], Samples]] = [
    lambda length, rng, studio: coloured_noise(length, rng, rng.uniform(0, 2)),
    lambda length, rng, studio: babble(length, rng, studio, int(rng.integers(1, 3))),
    lambda length, rng, studio: babble(length, rng, studio, int(rng.integers(1, 9))),
    *[crowd] * 5,  # bars, mostly
    *[lambda length, rng, studio: babble(length, rng, studio, int(rng.integers(3, 8)))] * 2,
    lambda length, rng, studio: coloured_noise(length, rng, rng.uniform(0.7, 1.3)),
    lambda length, rng, studio: hum(length, rng),
    lambda length, rng, studio: knocks(length, rng),
    lambda length, rng, studio: rain(length, rng),
    lambda length, rng, studio: motor(length, rng),
    lambda length, rng, studio: passing(length, rng),
    lambda length, rng, studio: wind(length, rng),
    lambda length, rng, studio: air(length, rng),
    lambda length, rng, studio: notes(length, rng),
]

KINDS: dict[str, Callable[[Samples, Generator, Studio], Samples]] = {
    "clean": lambda x, rng, studio: x,
    "mic": microphone,
    "noise10": lambda x, rng, studio: with_noise(x, 10, rng, studio),
    "noise5": lambda x, rng, studio: with_noise(x, 5, rng, studio),
    "noise0": lambda x, rng, studio: with_noise(x, 0, rng, studio),
    "reverb": reverberate,
    "codec": lambda x, rng, studio: transcode(x, rng),
    "telephone": lambda x, rng, studio: telephone(x),
    "speed": lambda x, rng, studio: change_speed(x, rng.uniform(0.92, 1.08)),
    "tempo": lambda x, rng, studio: change_tempo(x, rng.uniform(0.92, 1.08)),
    "pitch": lambda x, rng, studio: change_pitch(x, rng.uniform(0.94, 1.06)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--kind", choices=KINDS, default="mic")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    clean, rate = soundfile.read(arguments.input, always_2d=True)
    mono = signal.resample_poly(clean.mean(axis=1), RATE, rate)
    studio = Studio.build(arguments.seed)
    heard = degrade(mono, arguments.kind, np.random.default_rng(arguments.seed), studio)
    soundfile.write(arguments.output, np.clip(0.1 * unit(heard), -1, 1), RATE)


if __name__ == "__main__":
    main()
