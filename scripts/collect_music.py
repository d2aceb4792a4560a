"""Collects music to train on, other music to measure against, and voices, from the Debian packages of games.

Packages come by `apt-get download`, from wherever this machine's apt is set up to get them. Each recording's licence is
in its package's own `copyright` file, a copy of which is kept; none of the music becomes part of this repository.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import imageio_ffmpeg
import soundfile
import typer
from rich.console import Console
from rich.progress import track

RATE_HZ = 16_000
SECONDS_MIN = 40  # shorter music is jingles and effects
BYTES_MIN = 250_000
SPEECH_SECONDS_MIN, SPEECH_BYTES_MIN = 1, 4_000
SUFFIXES = {".ogg", ".oga", ".mp3", ".opus", ".flac", ".wav"}
ARCHIVES = {".pk3", ".zip"}
MUSIC = "music"


class Role(StrEnum):
    """What a recording is for: music to learn from; music never to learn from, to stand beside a catalogue; talk."""

    TRAIN = "train"
    DISTRACT = "distract"
    SPEECH = "speech"
    ALL = "all"


# The accuracy in README is measured on the music of these: nothing may ever learn from it.
RESERVED = ("wesnoth", "warzone2100", "hedgewars")
# Of these, some within archives, only what lies under a name with `music` in it: the rest is voices and effects.
MIXED = ("supertuxkart-data", "0ad-data", "widelands-data", "freedroidrpg-data", "openarena-data")
# Each recording's licence is in its package's /usr/share/doc/PACKAGE/copyright: CC BY-SA, CC BY, GPL and others.
TRAINING = """
a7xpg-data abe-data adonthell-data amoebax-data angrydd ardentryst asc-music berusky2-data blockout2 btanks-data
bumprace-data caveexpress-data cavepacker-data csmash-demosong cube2-data davegnukem-data endless-sky-data
extremetuxracer-data fillets-ng-data flare-game freeciv-data freecol freedink-data freeorion-data
fretsonfire-songs-muldjord fretsonfire-songs-sectoid frozen-bubble-data gunroar-data hex-a-hop-data hyperrogue-music
krank lordsawar-data lugaru-data marsshooter-data mazeofgalious-data mu-cade-data neverball-common noiz2sa-data
openclonk-data parsec47-data pathological pax-britannica-data performous phlipple-data pink-pony-data
planetblupi-music-ogg plee-the-bear-data powermanga-data pushover-data raincat-data redeclipse-data rrootage-data
scorched3d-data solarwolf titanion-data torcs-data torus-trooper-data trackballs-data tumiki-fighters-data tuxfootball
tuxmath-data tuxtype-data unknown-horizons warmux-data wizznic-data wordwarvi-sound xmoto-data
"""
DISTRACTING = """
drascula-music enigma-data gigalomania-data lincity-ng-data megaglest-data naev-data singularity-music starfighter-data
supertux-data
"""
# People speaking, in some twenty languages: noise to learn with.
SPEAKING = ("tuxpaint-stamps-default", "fillets-ng-data-cs", "fillets-ng-data-nl")
PACKAGES = {Role.TRAIN: (*MIXED, *TRAINING.split()), Role.DISTRACT: tuple(DISTRACTING.split()), Role.SPEECH: SPEAKING}

Track = dict[str, Any]


def main(
    folder: Annotated[Path, typer.Argument(help="Where ROLE/*.wav, copyright/ and tracks.json go; made if missing.")],
    role: Annotated[Role, typer.Option(help="Which music.")] = Role.ALL,
    package: Annotated[list[str] | None, typer.Option(help="Only this package; may be given again.")] = None,
) -> None:
    """Download packages, convert their music to mono 16 kHz WAV and list it in tracks.json; go on after Ctrl-C."""
    console = Console(stderr=True)
    wanted = chosen(role, package)
    tracks = read_tracks(folder)
    done = {each["package"] for each in tracks}
    left = [item for item in wanted.items() if item[0] not in done]
    missing = []
    for name, its_role in track(left, "Packages", console=console):
        with tempfile.TemporaryDirectory(prefix="sonica-music-") as scratch:
            if not download(name, Path(scratch)):
                missing.append(name)
                continue
            found = collect(name, its_role, Path(scratch), folder)
        tracks += found
        write_tracks(folder, tracks)
        console.print(f"{name}: {len(found)} tracks, {hours(found):.2f} h")
    for its_role in PACKAGES:
        of_role = [each for each in tracks if each["role"] == its_role]
        console.print(f"{its_role}: {len(of_role)} tracks, {hours(of_role):.2f} h")
    if missing:
        console.print(f"apt has no {', '.join(missing)}")
    print(folder / "tracks.json")


def chosen(role: Role, only: Sequence[str] | None) -> dict[str, Role]:
    """Return the packages and their roles; refuse those that accuracy is measured on, and unknown ones."""
    reserved = [name for name in only or () if name.startswith(RESERVED)]
    if reserved:
        raise typer.BadParameter(f"{', '.join(reserved)}: the evaluation's music; nothing may learn from it")
    known = {name: each for each, names in PACKAGES.items() if role in (each, Role.ALL) for name in names}
    if unknown := set(only or ()) - set(known):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: not a package of role {role}")
    return {name: each for name, each in known.items() if only is None or name in only}


def download(package: str, scratch: Path) -> bool:
    """Unpack a package into a folder; say whether apt has it."""
    done = subprocess.run(["apt-get", "download", package], cwd=scratch, capture_output=True, check=False)
    if done.returncode != 0:
        return False
    [archive] = scratch.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", archive, scratch], check=True)
    archive.unlink()
    return True


def collect(package: str, role: Role, unpacked: Path, folder: Path) -> list[Track]:
    """Convert an unpacked package's music; return what is long enough."""
    (folder / role).mkdir(parents=True, exist_ok=True)
    keep_copyright(package, unpacked, folder)
    tracks: dict[str, Track] = {}
    with tempfile.TemporaryDirectory(dir=unpacked) as scratch:
        for source in audio_files(unpacked, Path(scratch), package):
            name = f"{package}__{re.sub(r'[^A-Za-z0-9]+', '_', f'{source.parent.name}_{source.stem}')}"
            output = folder / role / f"{name}.wav"
            if name not in tracks and (seconds := convert(source, output, _least(package)[0])) is not None:
                path = str(output.relative_to(folder))
                tracks[name] = {"id": name, "path": path, "seconds": seconds, "role": role, "package": package}
    return list(tracks.values())


def audio_files(unpacked: Path, scratch: Path, package: str) -> Iterator[Path]:
    """Yield what may be wanted, by name and size, sorted; of a mixed package what is named so, in archives too."""
    mixed = package in MIXED
    for path in sorted(unpacked.rglob("*")):
        if path.is_symlink() or not path.is_file() or scratch in path.parents:
            continue
        if mixed and path.suffix.lower() in ARCHIVES:
            yield from archived(path, scratch)
        elif may_be_wanted(path.relative_to(unpacked), path.stat().st_size, package):
            yield path


def archived(archive: Path, scratch: Path) -> Iterator[Path]:
    """Yield what is named as music in an archive, each unpacked only while it is looked at."""
    with zipfile.ZipFile(archive) as content:
        for member in sorted(content.infolist(), key=lambda member: member.filename):
            if may_be_wanted(Path(member.filename), member.file_size, MIXED[0]):
                path = Path(content.extract(member, scratch))
                yield path
                path.unlink()


def may_be_wanted(path: Path, size_bytes: int, package: str) -> bool:
    """Tell by a file's size and name; of a mixed package, `music` must be a part of it."""
    named = package not in MIXED or MUSIC in str(path).lower()
    return path.suffix.lower() in SUFFIXES and size_bytes >= _least(package)[1] and named


def _least(package: str) -> tuple[float, int]:
    """Return the seconds and bytes that a recording must have."""
    return (SPEECH_SECONDS_MIN, SPEECH_BYTES_MIN) if package in SPEAKING else (SECONDS_MIN, BYTES_MIN)


def convert(source: Path, output: Path, seconds_min: float) -> float | None:
    """Write mono 16 kHz WAV, whole or not at all, and return its seconds; nothing where it is short or no audio."""
    partial = output.with_suffix(".part")
    form = ["-ac", "1", "-ar", str(RATE_HZ), "-c:a", "pcm_s16le", "-f", "wav"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-i", source, "-vn", *form, partial]
    done = subprocess.run(command, capture_output=True, check=False)
    seconds = soundfile.info(partial).duration if done.returncode == 0 else 0.0
    if seconds < seconds_min:
        partial.unlink(missing_ok=True)
        return None
    partial.replace(output)
    return round(seconds, 3)


def keep_copyright(package: str, unpacked: Path, folder: Path) -> None:
    stated = unpacked / "usr" / "share" / "doc" / package / "copyright"
    if stated.is_file():
        (folder / "copyright").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stated, folder / "copyright" / package)


def read_tracks(folder: Path) -> list[Track]:
    path = folder / "tracks.json"
    return json.loads(path.read_text()) if path.exists() else []


def write_tracks(folder: Path, tracks: list[Track]) -> None:
    (folder / "tracks.json").write_text(json.dumps(tracks, indent=0) + "\n")


def hours(tracks: Sequence[Track]) -> float:
    return sum(each["seconds"] for each in tracks) / 3600


if __name__ == "__main__":
    typer.run(main)
