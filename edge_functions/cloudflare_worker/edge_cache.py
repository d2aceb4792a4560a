"""Answers that the edge remembers: first the data centre's cache, then KV, which all of them share.

What is read is looked at: a value that is no answer to its key is a miss, and the answer that follows replaces it.
"""

from __future__ import annotations

import json
import time
from typing import Protocol

from sonica_fingerprint import Fingerprint

from edge_functions.cloudflare_worker.answers import Answer, is_answer, read_json

_FORM = 1  # of what is stored; raised when it changes, so that no Worker reads another's
_PER_REQUEST = ("request_id", "tier", "cache", "timings_ms")
_TTL_SECONDS_MIN = 60  # of KV


class Store(Protocol):
    """Keeps text under a name for a while."""

    async def get(self, name: str) -> str | None:
        """Return the text, None when there is none."""

    async def put(self, name: str, text: str, *, ttl_seconds: int) -> None:
        """Keep the text."""


def entry_name(query: Fingerprint, index_version: str | None) -> str:
    """Return what an answer is kept under; it dies with the fingerprint's version and the hot index's."""
    return f"answers/{_FORM}/{query.version}/{index_version or 'none'}/{query.key}"


class EdgeCache:
    """Two stores, the nearer one first."""

    def __init__(self, near: Store, far: Store, *, match_ttl_seconds: int, no_match_ttl_seconds: int) -> None:
        self._near = near
        self._far = far
        self._match_ttl_seconds = max(match_ttl_seconds, _TTL_SECONDS_MIN)
        self._no_match_ttl_seconds = max(no_match_ttl_seconds, _TTL_SECONDS_MIN)

    async def get(self, name: str, query: Fingerprint) -> Answer | None:
        """Return the answer that is kept, None when there is none. A broken store holds nothing."""
        text = await _read(self._near, name)
        if text and (kept := _valid(text, query)):
            return kept[0]
        text = await _read(self._far, name)
        if not text or not (kept := _valid(text, query)):
            return None
        answer, expires_at = kept
        await _write(self._near, name, text, ttl_seconds=max(1, int(expires_at - time.time())))
        return answer

    async def put(self, name: str, answer: Answer) -> None:
        """Keep an answer: a match for long, a no-match briefly."""
        seconds = self._match_ttl_seconds if answer["status"] == "match" else self._no_match_ttl_seconds
        kept = {field: value for field, value in answer.items() if field not in _PER_REQUEST}
        text = json.dumps({"expires_at": int(time.time()) + seconds, "answer": kept}, separators=(",", ":"))
        await _write(self._near, name, text, ttl_seconds=seconds)
        await _write(self._far, name, text, ttl_seconds=seconds)


def _valid(text: str, query: Fingerprint) -> tuple[Answer, float] | None:
    """Return a kept answer and when it ends, None for anything else."""
    try:
        entry = read_json(text)
        answer, expires_at = entry["answer"], float(entry["expires_at"])
    except (ValueError, TypeError, KeyError):
        return None
    return (answer, expires_at) if expires_at > time.time() and is_answer(answer, query) else None


async def _read(store: Store, name: str) -> str | None:
    try:
        return await store.get(name)
    except Exception as error:
        print(json.dumps({"event": "store_unreadable", "why": str(error)}))
        return None


async def _write(store: Store, name: str, text: str, *, ttl_seconds: int) -> None:
    try:
        await store.put(name, text, ttl_seconds=ttl_seconds)
    except Exception as error:
        print(json.dumps({"event": "store_unwritable", "why": str(error)}))
