"""The JSON of a recognition: made from what the hot index found, and checked where it comes from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sonica_fingerprint import Fingerprint

Answer = dict[str, Any]

_CERTAIN_REASONS = frozenset({"silence", "too_short"})  # they say nothing about the catalogue
_REASONS = _CERTAIN_REASONS | {"below_threshold"}
_SPEEDS = (0.5, 2.0)
_BRACKETS_MAX = (
    1_000  # an answer of five matches has 30; in Pyodide deep JSON ends the process, not with RecursionError
)


def hot_answer(found: Mapping[str, Any], query: Fingerprint) -> Answer | None:
    """Return the answer that the hot index gives, None when a song outside of it may be the one."""
    if found["status"] == "no_match" and found.get("reason") not in _CERTAIN_REASONS:
        return None
    return {
        "status": found["status"],
        "reason": found.get("reason"),
        "query": _described(query),
        "matches": found["matches"],
        "ambiguous": len(found["matches"]) > 1,
        "degraded": False,
        "index_version": found["index_version"],
    }


def addressed(
    answer: Answer, query: Fingerprint, *, request_id: str, cache: str, timings_ms: dict[str, float]
) -> Answer:
    """Return an answer that the edge knew, as the answer to this very request."""
    return {
        "request_id": request_id,
        **answer,
        "query": _described(query),
        "tier": "edge",
        "cache": cache,
        "timings_ms": timings_ms,
    }


def read_json(text: str) -> Any:  # noqa: ANN401
    """Return what JSON from outside says. Raises ValueError."""
    if text.count("[") + text.count("{") > _BRACKETS_MAX:
        raise ValueError("too much for an answer")
    return json.loads(text)


def is_answer(value: object, query: Fingerprint) -> bool:
    """Say whether a value from outside is an answer to the query, and has all that an answer has."""
    return (
        isinstance(value, dict)
        and _has(value, _ANSWER)
        and value["query"]["sha256"] == query.key
        and (_is_match(value) if value["status"] == "match" else _is_no_match(value))
    )


def _described(query: Fingerprint) -> dict[str, Any]:
    return {"duration_ms": query.duration_ms, "fingerprint_version": query.version, "sha256": query.key}


def _is_match(answer: Answer) -> bool:
    return bool(answer["matches"]) and answer["status"] == "match"


def _is_no_match(answer: Answer) -> bool:
    return not answer["matches"] and answer["status"] == "no_match" and answer.get("reason") in _REASONS


Check = Callable[[Any], bool]


def _has(value: object, checks: Mapping[str, Check]) -> bool:
    return isinstance(value, dict) and all(name in value and check(value[name]) for name, check in checks.items())


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _each(checks: Mapping[str, Check]) -> Check:
    return lambda value: isinstance(value, list) and all(_has(each, checks) for each in value)


_SEGMENT: dict[str, Check] = dict.fromkeys(
    ("query_start_ms", "query_end_ms", "song_start_ms", "song_end_ms"), _is_integer
) | {"speed": lambda value: isinstance(value, int | float) and _SPEEDS[0] <= value <= _SPEEDS[1]}
_SONG: dict[str, Check] = {"id": _is_integer, "external_id": _is_text, "title": _is_text}
_MATCH: dict[str, Check] = {
    "song": lambda value: _has(value, _SONG),
    "score": lambda value: isinstance(value, int | float) and 0 <= value <= 1,
    "offset_ms": _is_integer,
    "segments": _each(_SEGMENT),
}
_ANSWER: dict[str, Check] = {
    "status": _is_text,
    "query": lambda value: _has(value, {"sha256": _is_text, "fingerprint_version": _is_integer}),
    "matches": _each(_MATCH),
    "ambiguous": lambda value: isinstance(value, bool),
    "index_version": _is_text,
}
