"""Where songs' files are: `file:` URIs of this machine, `s3:` URIs of an object store."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from backend.errors import InvalidRequest

OBJECTS = "s3://"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def resolved(named: str, folder: Path) -> str:
    """Return the URI of a path, relative ones from the folder, or of a URI; raises InvalidRequest for any other."""
    if "\0" in named:
        raise InvalidRequest("a path cannot contain a NUL")
    if named.startswith(OBJECTS):
        return _object(named)
    if local_path(named) is not None:
        return named
    if _SCHEME.match(named):
        raise InvalidRequest(f"{named.partition(':')[0]}:// is not read: copy the files to a folder or to S3")
    return (folder.absolute() / named).as_uri()


def local_path(uri: str) -> Path | None:
    """Return the path of a `file:` URI, None for any other."""
    if not uri.startswith("file:///"):
        return None
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))))


def names_file(uri: str | None, path: Path) -> bool:
    """Say whether a `file:` URI names the file at `path`; one that is gone (an unplugged disk) is another."""
    named = local_path(uri) if uri else None
    try:
        return named is not None and named.samefile(path)
    except OSError:
        return False


def _object(uri: str) -> str:
    bucket, _, key = uri.removeprefix(OBJECTS).partition("/")
    if not bucket or not key:
        raise InvalidRequest(f"{uri} is not of the form s3://bucket/key")
    return uri
