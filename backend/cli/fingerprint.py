"""`sonica fingerprint`: a file's fingerprint in the wire format, to send in place of its audio."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.options import DataDir, Json, settings_from
from backend.cli.output import print_json, reporting, shown, stderr


def fingerprint(
    file: Annotated[Path, typer.Argument(help="An audio file.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write; else FILE with the suffix .snfp, `-` is stdout."),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Write the fingerprint of a whole audio file in the wire format.

    Whoever has the songs can recognise it, nobody can play it. It is sent in place of audio, as
    application/vnd.sonica.fingerprint.
    """
    with reporting(as_json=as_json):
        from sonica_fingerprint import encode

        from backend.audio.limits import DecoderLimits
        from backend.errors import StorageUnavailable
        from backend.ingestion.extraction import fingerprint_of

        found = fingerprint_of(file, DecoderLimits.from_settings(settings_from(data_dir)))
        wire = encode(found)
        target = output or file.with_suffix(".snfp")
        try:
            if str(target) == "-":
                sys.stdout.buffer.write(wire)
            else:
                target.write_bytes(wire)
        except OSError as error:
            raise StorageUnavailable(f"{target} cannot be written: {error.strerror}") from error
        told = {
            "file": str(file),
            "output": str(target),
            "fingerprint_version": found.version,
            "duration_ms": found.duration_ms,
            "segments": found.segments,
            "bytes": len(wire),
            "sha256": found.key,
        }
        if as_json and str(target) != "-":
            print_json(told)
        else:
            seconds = found.duration_ms / 1000
            stderr().print(
                f"{shown(str(target))}: {len(wire)} bytes, {found.segments} segments, {seconds:.1f} s of audio"
            )
