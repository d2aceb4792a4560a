"""A value as the cache keeps it, and its form outside this process: versioned JSON, checked when it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """A value and how long it holds; afterwards it is stale."""

    value: T
    fresh_until: float  # seconds since 1970


class _Envelope(BaseModel, Generic[T]):
    """The key is in it so that a value at another's key is not believed."""

    format: str
    key: str
    fresh_until: float
    value: T


class Codec(Generic[T]):
    """Writes and reads one kind of value."""

    def __init__(self, form: Any, *, version: str) -> None:  # noqa: ANN401  # any type expression
        """form: the type of the values; version: another one where values of the same form mean something else."""
        self._envelope = _Envelope[form]
        self._version = version

    def encode(self, key: str, kept: Kept[T]) -> bytes:
        """Return the JSON."""
        envelope = self._envelope.model_construct(
            format=self._version, key=key, fresh_until=kept.fresh_until, value=kept.value
        )
        return self._envelope.__pydantic_serializer__.to_json(envelope)

    def decode(self, key: str, document: bytes) -> Kept[T]:
        """Read it; raises ValueError for what is not of this form, version and key."""
        envelope = self._envelope.model_validate_json(document, strict=True)
        if (envelope.format, envelope.key) != (self._version, key):
            raise ValueError(f"a value of {envelope.key} in format {envelope.format} is at {key}")
        return Kept(envelope.value, envelope.fresh_until)
