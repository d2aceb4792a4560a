"""The way to Milvus, the only importer of pymilvus: one collection behind an alias, its errors as ours.

A URI that is a path opens milvus-lite, the same engine inside this process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray
from sonica_fingerprint import DIMENSIONS

from backend.breaker import Breaker
from backend.deadline import seconds_left
from backend.errors import IndexUnavailable, InvalidRequest
from backend.search.hnsw import Neighbours

if TYPE_CHECKING:
    from backend.settings import Settings

POSITION_BITS = 20  # of a row's id, below its song's: 37 hours in steps
STATE_ID = 0  # the row that says how far the collection has come; ids of songs begin with 1
TRIES = 5
RETRY_SECONDS = 0.2  # doubled each time, and as much again at random
SCHEMA_SECONDS = 60.0  # creating, loading and dropping a collection take a cluster longer than a search

# What each index is built and searched with. The quantised ones keep a fraction: SQ8 a quarter, PQ a sixteenth, which
# milvus-lite lacks.
_BUILD: dict[str, dict[str, Any]] = {
    "HNSW": {"M": 16, "efConstruction": 200},
    "HNSW_SQ": {"M": 16, "efConstruction": 200, "sq_type": "SQ8"},
    "IVF_FLAT": {"nlist": 4096},
    "IVF_SQ8": {"nlist": 4096},
    "IVF_PQ": {"nlist": 4096, "m": 32, "nbits": 8},
    "FLAT": {},
}
_SEARCH: dict[str, dict[str, Any]] = {
    "HNSW": {"ef": 128},
    "HNSW_SQ": {"ef": 128},
    "IVF_FLAT": {"nprobe": 64},
    "IVF_SQ8": {"nprobe": 64},
    "IVF_PQ": {"nprobe": 128},
    "FLAT": {},
}

Row: TypeAlias = dict[str, Any]
_T = TypeVar("_T")
_log = structlog.stdlib.get_logger("sonica.milvus")


@dataclass(frozen=True, slots=True)
class State:
    """How far a collection has come, as it says itself."""

    catalogue: str
    revision: int
    fingerprint_version: int


class Milvus:
    """A collection by its alias. All methods block and raise IndexUnavailable when Milvus does not answer in time."""

    def __init__(self, settings: Settings) -> None:
        """Raise InvalidRequest when the settings name no Milvus, or its driver is not installed."""
        if settings.milvus_uri is None:
            raise InvalidRequest("SONICA_INDEX_KIND=milvus needs SONICA_MILVUS_URI: a file, or http(s)://host:port")
        self._settings = settings
        self._uri = settings.milvus_uri
        self._alias = settings.milvus_collection
        self._breaker = Breaker(failures_max=settings.milvus_failures_max, retry_seconds=settings.milvus_retry_seconds)
        self._milvus_error: type[Exception]
        self._client = self._connected()

    @property
    def left_alone(self) -> bool:
        """Whether the breaker keeps requests away now."""
        return self._breaker.open

    @property
    def index_type(self) -> str:
        """How Milvus keeps the vectors."""
        return self._settings.milvus_index_type

    def close(self) -> None:
        """Close the connection, and milvus-lite where this process runs it."""
        self._client.close()
        if self._is_file:
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(self._uri)

    # --- collections -------------------------------------------------------------------------------------------------

    def in_use(self) -> str | None:
        """Return the name of the collection that the alias stands for, None for none."""
        with self._watched():
            if not self._client.has_collection(self._alias, timeout=SCHEMA_SECONDS):
                return None
            return str(self._client.describe_alias(self._alias, timeout=SCHEMA_SECONDS)["collection_name"])

    def load(self) -> None:
        """Have the collection in use searched from memory."""
        with self._watched():
            self._client.load_collection(self._alias, timeout=SCHEMA_SECONDS)

    def create(self) -> str:
        """Create an empty collection beside the one in use; return its name."""
        from pymilvus import DataType

        name = f"{self._alias}_{time.time_ns()}"
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("song_id", DataType.INT64)
        schema.add_field("position", DataType.INT32, description="in fingerprint steps from the song's start")
        schema.add_field("revision", DataType.INT64, description="of the catalogue, in which the song was taken")
        schema.add_field("first", DataType.BOOL, description="one row of each song")
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSIONS)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type=self.index_type, metric_type="IP", params=_BUILD[self.index_type])
        with self._watched():
            self._client.create_collection(
                name,
                schema=schema,
                index_params=index,
                consistency_level=self._settings.milvus_consistency,
                timeout=SCHEMA_SECONDS,
            )
        return name

    def put_in_use(self, name: str) -> None:
        """Let the alias stand for this collection from now on, at once for all who search; drop the others."""
        with self._watched():
            self._client.flush(name, timeout=SCHEMA_SECONDS)  # what is sealed is indexed
            if self._client.has_collection(self._alias, timeout=SCHEMA_SECONDS):
                self._client.alter_alias(name, self._alias, timeout=SCHEMA_SECONDS)
            else:
                self._client.create_alias(name, self._alias, timeout=SCHEMA_SECONDS)
        with self._watched():
            for other in self._client.list_collections(timeout=SCHEMA_SECONDS):
                if other != name and other.removeprefix(f"{self._alias}_").isdecimal():
                    self._client.drop_collection(other, timeout=SCHEMA_SECONDS)

    # --- rows --------------------------------------------------------------------------------------------------------

    def write(self, rows: Sequence[Row], *, into: str, new: bool = False) -> None:
        """Write rows, replacing those of the same ids, a batch after the other; new: there are none of these.

        A batch is sent when Milvus has taken the one before, and again when it could not: no more is under way.
        """
        put = self._client.insert if new else self._client.upsert
        size = self._settings.milvus_batch_rows
        for first in range(0, len(rows), size):
            batch = list(rows[first : first + size])
            self._retried(partial(put, into, batch, timeout=self._write_seconds))

    def remove(self, expression: str, *, of: str) -> None:
        """Remove the rows that fit the expression."""
        self._retried(partial(self._client.delete, of, filter=expression, timeout=self._write_seconds))

    def state(self) -> State | None:
        """Return how far the collection in use has come, None for no word of it."""
        fields = ["catalogue", "revision", "fingerprint_version"]
        with self._watched():
            rows = self._client.get(
                self._alias, ids=[STATE_ID], output_fields=fields, timeout=self._seconds, consistency_level="Strong"
            )
        return State(**{field: rows[0][field] for field in fields}) if rows else None

    def write_state(self, state: State, *, into: str) -> None:
        """Write down how far a collection has come; what was written before must be whole."""
        row = {"id": STATE_ID, "song_id": 0, "position": 0, "first": False, "vector": np.zeros(DIMENSIONS, np.float32)}
        said = {"catalogue": state.catalogue, "fingerprint_version": state.fingerprint_version}
        self.write([{**row, **said, "revision": state.revision}], into=into)

    def count(self, expression: str) -> int:
        """Return how many rows of the collection in use fit."""
        with self._watched():
            (row,) = self._client.query(
                self._alias, filter=expression, output_fields=["count(*)"], timeout=SCHEMA_SECONDS
            )
        return int(row["count(*)"])

    def nearest(self, queries: NDArray[np.int8], *, count: int) -> Neighbours:
        """Return inner products and row ids, each (queries, count); id -1 where there are fewer."""
        with self._watched():
            found = self._client.search(
                self._alias,
                data=list(queries.astype(np.float32)),
                limit=count,
                output_fields=["id"],
                search_params={"metric_type": "IP", "params": _SEARCH[self.index_type]},
                timeout=self._seconds,
                consistency_level=self._settings.milvus_consistency,
            )
        products = np.full((len(queries), count), -np.inf, np.float32)
        ids = np.full((len(queries), count), -1, np.int64)
        for row, hits in enumerate(found):
            products[row, : len(hits)] = [hit["distance"] for hit in hits]
            ids[row, : len(hits)] = [hit["id"] for hit in hits]
        return products, ids

    def vectors(self, ids: Iterable[int]) -> dict[int, NDArray[np.int8]]:
        """Return the vectors of those ids that there are."""
        wanted, found = list(ids), {}
        for first in range(0, len(wanted), self._settings.milvus_batch_rows):
            part = wanted[first : first + self._settings.milvus_batch_rows]
            with self._watched():
                rows = self._client.get(
                    self._alias,
                    ids=part,
                    output_fields=["vector"],
                    timeout=self._seconds,
                    consistency_level=self._settings.milvus_consistency,
                )
            found.update({row["id"]: np.asarray(row["vector"], np.float32).astype(np.int8) for row in rows})
        return found

    def vectors_of(self, song_id: int) -> dict[int, NDArray[np.int8]]:
        """Return all vectors of a song by id."""
        ids: list[int] = []
        with self._watched():
            pages = self._client.query_iterator(
                self._alias,
                filter=f"song_id == {song_id} and id > {STATE_ID}",
                output_fields=["id"],
                batch_size=self._settings.milvus_batch_rows,
                timeout=SCHEMA_SECONDS,
            )
            while page := pages.next():
                ids += [row["id"] for row in page]
            pages.close()
        return self.vectors(ids)

    # --- connection --------------------------------------------------------------------------------------------------

    @property
    def _is_file(self) -> bool:
        return not self._uri.startswith(("http://", "https://"))

    @property
    def _seconds(self) -> float:
        return max(0.001, seconds_left(self._settings.milvus_timeout_seconds))

    @property
    def _write_seconds(self) -> float:
        return max(self._settings.milvus_timeout_seconds, 10.0)  # a batch is larger than a query

    def _connected(self) -> Any:  # noqa: ANN401 - pymilvus is imported only where it is used
        try:
            from pymilvus import MilvusClient
            from pymilvus.exceptions import MilvusException
        except ImportError as error:
            raise InvalidRequest("SONICA_INDEX_KIND=milvus needs pymilvus: install sonica[milvus]") from error
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # what it says goes into our errors
        self._milvus_error = MilvusException
        if self._is_file:
            logging.getLogger("grpc._server").setLevel(logging.CRITICAL)  # milvus-lite lacks what pymilvus does without
            Path(self._uri).absolute().parent.mkdir(parents=True, exist_ok=True)
        token = self._settings.milvus_token
        with self._watched():
            return MilvusClient(
                uri=str(Path(self._uri).absolute()) if self._is_file else self._uri,
                token=token.get_secret_value() if token else "",
                timeout=self._settings.milvus_timeout_seconds,
            )

    def _retried(self, call: Callable[[], _T]) -> _T:
        """Do what may be done twice, until it succeeds or has failed too often."""
        from stamina import RetryingCaller  # importing it takes 45 ms

        caller = RetryingCaller(attempts=TRIES, timeout=None, wait_initial=RETRY_SECONDS, wait_jitter=RETRY_SECONDS)
        return caller(IndexUnavailable, self._once, call)

    def _once(self, call: Callable[[], _T]) -> _T:
        with self._watched():
            return call()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Refuse while the breaker is open, tell it how it went, and translate errors."""
        if not self._breaker.allows():
            raise IndexUnavailable("Milvus has failed several times and is left alone for now")
        was_open = self._breaker.open
        try:
            yield
        except Exception as error:
            if not isinstance(error, (self._milvus_error, OSError)):
                raise
            self._breaker.failed()
            if self._breaker.open and not was_open:
                _log.warning("milvus_left_alone", error=repr(error))
            raise IndexUnavailable("Milvus does not answer, or refuses what is asked of it") from error
        self._breaker.succeeded()
        if was_open:
            _log.info("milvus_answers_again")
