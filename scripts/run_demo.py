"""The main job on embedded defaults: compose a demo catalogue if there is none, ingest it, prove it, serve it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console

SCRIPTS = Path(__file__).parent
SONICA = Path(sys.executable).with_name("sonica")
CUT_SECONDS = 5
NOISE_DB = 3  # below the music


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="database and index")
    parser.add_argument("--demo-dir", type=Path, default=Path("demo"), help="composed songs")
    parser.add_argument("--port", default="8000")
    parser.add_argument("--no-serve", action="store_true", help="stop after the proof")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    for name in [name for name in os.environ if name.startswith("SONICA_")]:  # they may name a catalogue in use
        console.print(f"{name} is ignored: the demo runs on the defaults")
        del os.environ[name]
    data = ["--data-dir", str(arguments.data_dir)]

    manifest = arguments.demo_dir / "manifest.csv"
    if not manifest.exists():
        console.rule("Composing a demo catalogue")
        subprocess.run([sys.executable, str(SCRIPTS / "compose_demo.py"), str(arguments.demo_dir)], check=True)
    console.rule("Ingesting it")
    subprocess.run([str(SONICA), "ingest", str(manifest), *data], check=True)
    console.rule(f"Recognizing {CUT_SECONDS} noisy seconds")
    song = sorted(arguments.demo_dir.glob("*.wav"))[3]
    clip = noisy_cut(song, arguments.data_dir / "noisy-clip.wav")
    prove(clip, song, data)
    if arguments.no_serve:
        return
    console.rule("Serving")
    console.print(f"Try it: curl --data-binary @{clip} http://127.0.0.1:{arguments.port}/v1/recognize", soft_wrap=True)
    os.execv(str(SONICA), [str(SONICA), "serve", "--port", arguments.port, *data])


def noisy_cut(song: Path, clip: Path) -> Path:
    """Write a cut of the song under noise that falls by 3 dB an octave, as crowds and streets do."""
    samples, rate = soundfile.read(song, always_2d=True)
    start, length = 21 * rate + 1234, CUT_SECONDS * rate
    music = samples[start : start + length].mean(axis=1)
    spectrum = np.fft.rfft(np.random.default_rng(1).normal(size=length))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.size), 20)), length)
    noise *= np.sqrt(np.mean(music**2) / np.mean(noise**2)) * 10 ** (-NOISE_DB / 20)
    mix = music + noise
    soundfile.write(clip, 0.5 * mix / np.abs(mix).max(), rate)
    return clip


def prove(clip: Path, song: Path, data: list[str]) -> None:
    """Show the answer, and stop if it is not the song that the cut is from."""
    subprocess.run([str(SONICA), "recognize", str(clip), *data], check=True)
    done = subprocess.run([str(SONICA), "recognize", "--jsonl", str(clip), *data], check=True, capture_output=True)
    answer = json.loads(done.stdout)
    found = answer["candidates"][0]["song"] if answer["status"] == "match" else None
    if found != song.stem:
        sys.exit(f"the proof failed: the cut is of {song.stem}, the answer was {found}")


if __name__ == "__main__":
    main()
