"""Reads the facts about a song that have a form of their own; each raises InvalidRequest for any other."""

from __future__ import annotations

import math
import re
from datetime import date

from backend.errors import InvalidRequest

_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}\d{7}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


def isrc(text: str) -> str:
    """Return the ISRC without hyphens, in capitals."""
    bare = re.sub(r"[-\s]", "", text).upper()
    if not _ISRC.fullmatch(bare):
        raise InvalidRequest(f"isrc {text!r} is not of the form CC-XXX-YY-NNNNN")
    return bare


def language(text: str) -> str:
    """Return the language tag; a language's name is none."""
    if not _LANGUAGE.fullmatch(text):
        raise InvalidRequest(f"language {text!r} is not a BCP 47 tag such as hi, en or pt-BR")
    return text


def popularity_score(text: str) -> float:
    """Return the number; how it is measured is the catalogue owner's, more is more popular."""
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not 0 <= score < math.inf:
        raise InvalidRequest(f"popularity_score {text!r} is not a number from 0 up")
    return score


def release_date(text: str) -> date:
    """Return the date; a mere year or month means its first day."""
    try:
        if found := _DATE.fullmatch(text):
            year, month, day = (int(part or 1) for part in found.groups())
            return date(year, month, day)
    except ValueError:
        pass
    raise InvalidRequest(f"release_date {text!r} is not of the form YYYY-MM-DD")
