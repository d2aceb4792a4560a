"""The index in Milvus when Milvus is away, shared, rebuilt or cut off; what it promises besides is the contract's."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from typing import get_args

import pytest
from milvus_lite.adapter.grpc.server import start_server_in_thread
from sonica_fingerprint import Fingerprint, extract

from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import IndexUnavailable, InvalidRequest
from backend.search.milvus import Milvus
from backend.search.milvus_index import TURN, MilvusIndex
from backend.settings import Settings
from tests.factories import make_new_song
from tests.music import make_music
from tests.origins import open_in_memory_origin, serving

INDEX_TYPES = get_args(Settings.model_fields["milvus_index_type"].annotation)


class Server:
    """A Milvus on a port of its own, which can go away and come back."""

    def __init__(self, folder):
        self.folder, self.port = str(folder / "server"), 0
        self.start()

    @property
    def uri(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.server, self.db, self.port = start_server_in_thread(self.folder, port=self.port)

    def stop(self):
        self.server.stop(grace=0).wait()
        self.db.close()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def connected(server):
    """Connect as one process does, by its own settings."""
    connections = []

    def connected(**changed):
        wanted = {"milvus_consistency": "Strong", "milvus_timeout_seconds": 30.0, **changed}
        connections.append(Milvus(Settings(milvus_uri=server.uri, **wanted)))
        return connections[-1]

    yield connected
    for connection in connections:
        connection.close()


def music(seed, seconds=8):
    return extract(make_music(seed, seconds)).thinned(4)


def clip(seed):
    return extract(make_music(seed, 8)[2 * 16_000 :][: 4 * 16_000])


async def catalogue_of(*seeds):
    catalogue = InMemoryCatalogue()
    for seed in seeds:
        await catalogue.put(make_new_song(seed, fingerprint=music(seed)))
    return catalogue


async def best(index, seed):
    return (await asyncio.to_thread(index.search, clip(seed), limit=4))[0].song_id


@pytest.mark.parametrize("index_type", [each for each in INDEX_TYPES if each != "IVF_PQ"])
async def test_song_is_found_whatever_the_vectors_are_kept_as(connected, index_type):
    index = await MilvusIndex.open(
        connected(milvus_index_type=index_type), *[await catalogue_of(1, 2, 3)] * 2, fresh=True
    )
    assert await best(index, 2) == 2
    assert index.status().kind == f"milvus {index_type}"


async def test_everything_is_written_when_it_takes_many_batches(connected):
    catalogue = await catalogue_of(1, 2)
    many = await MilvusIndex.open(connected(milvus_batch_rows=3), catalogue, catalogue)
    assert many.segments == music(1).segments + music(2).segments
    positions, vectors = many.stored(2)
    assert len(positions) == len(vectors) == music(2).segments
    assert vectors.tobytes() == music(2).embeddings


async def test_lost_milvus_is_told_at_once_and_taken_up_again_when_it_is_back(server, connected):
    catalogue = await catalogue_of(1)
    milvus = connected(milvus_timeout_seconds=0.3, milvus_failures_max=2, milvus_retry_seconds=3)
    index = await MilvusIndex.open(milvus, catalogue, catalogue)
    server.stop()
    for _ in range(2):
        with pytest.raises(IndexUnavailable):
            index.search(clip(1), limit=4)
    assert index.left_alone
    with pytest.raises(IndexUnavailable, match="left alone"):
        index.search(clip(1), limit=4)
    with pytest.raises(IndexUnavailable):
        await index.catch_up()
    server.start()
    deadline = time.monotonic() + 20
    while index.left_alone and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        try:
            await index.catch_up()
        except IndexUnavailable:
            continue
    await catalogue.put(make_new_song(2, fingerprint=music(2)))
    assert await index.catch_up() == 1
    assert await best(index, 2) == 2


async def test_write_is_tried_again_when_milvus_comes_back(server, connected):
    catalogue = await catalogue_of(1)
    milvus = connected(milvus_failures_max=2, milvus_retry_seconds=0.1)
    index = await MilvusIndex.open(milvus, catalogue, catalogue)
    await catalogue.put(make_new_song(2, fingerprint=music(2)))
    refused = iter([OSError("refused"), OSError("refused")])
    upsert = milvus._client.upsert

    def unwilling(*arguments, **options):
        for error in refused:
            raise error
        return upsert(*arguments, **options)

    milvus._client.upsert = unwilling
    assert await index.catch_up() == 1
    assert next(refused, None) is None
    assert await best(index, 2) == 2


async def test_request_is_answered_503_with_when_to_try_again_when_milvus_is_lost(server, connected, tmp_path):
    catalogue = await catalogue_of(1)
    index = await MilvusIndex.open(connected(milvus_timeout_seconds=0.3), catalogue, catalogue)

    @asynccontextmanager
    async def open_origin(settings):
        async with open_in_memory_origin(settings) as origin:
            origin.recognizer._index = index
            yield origin

    async with serving(tmp_path / "data", open_origin=open_origin, auth="off") as client:
        server.stop()
        body = (make_music(1, 4) * 32767).astype(">i2").tobytes()
        answer = await client.post(
            "/v1/recognize", content=body, headers={"Content-Type": "audio/L16;rate=16000;channels=1"}
        )
        server.start()
    assert answer.status_code == 503
    assert answer.json()["code"] == "index_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1


async def test_catching_up_that_was_cut_off_is_done_again_and_nothing_is_there_twice(connected, monkeypatch):
    catalogue = await catalogue_of(1)
    milvus = connected()
    index = await MilvusIndex.open(milvus, catalogue, catalogue)
    await catalogue.put(make_new_song(1, content="new", fingerprint=music(5, 6)), replaces=1)
    with monkeypatch.context() as cut:
        cut.setattr(milvus, "write_state", lambda *_, **__: (_ for _ in ()).throw(IndexUnavailable()))
        with pytest.raises(IndexUnavailable):
            await index.catch_up()
    again = await MilvusIndex.open(connected(), catalogue, catalogue)
    assert again.status().revision == await catalogue.revision()
    assert (again.status().songs, again.segments) == (1, music(5, 6).segments)


async def test_one_process_writes_and_the_other_sees_it(connected):
    catalogue = await catalogue_of(1)
    writer = await MilvusIndex.open(connected(), catalogue, catalogue)
    reader = await MilvusIndex.open(connected(), catalogue, catalogue)
    await catalogue.put(make_new_song(2, fingerprint=music(2)))
    async with catalogue.turn(TURN):
        assert await reader.catch_up() == 0
    assert reader.revisions_behind == 1
    assert await writer.catch_up() == 1
    assert await reader.catch_up() == 0
    assert reader.status() == writer.status()
    assert await best(reader, 2) == 2


async def test_reindexing_goes_on_beside_searches_and_takes_the_place_of_the_old_one(connected, monkeypatch):
    catalogue = await catalogue_of(1, 2)
    milvus = connected(milvus_index_type="HNSW")
    reader = await MilvusIndex.open(milvus, catalogue, catalogue)
    old = milvus.in_use()
    other, found = connected(milvus_index_type="IVF_FLAT"), []
    put_in_use = other.put_in_use

    def search_first(name):
        assert name != old
        found.append(reader.search(clip(2), limit=4)[0].song_id)
        put_in_use(name)

    monkeypatch.setattr(other, "put_in_use", search_first)
    fresh = await MilvusIndex.open(other, catalogue, catalogue, fresh=True)
    assert found == [2]
    assert await best(reader, 2) == 2
    await reader.catch_up()
    assert await best(reader, 2) == 2
    assert fresh.status().segments == reader.status().segments
    assert milvus._client.list_collections() == [milvus.in_use()] != [old]


async def test_collection_of_a_reindexing_given_up_is_dropped_by_the_next(connected, monkeypatch):
    catalogue = await catalogue_of(1)
    milvus = connected()
    await MilvusIndex.open(milvus, catalogue, catalogue)
    with monkeypatch.context() as cut:
        cut.setattr(milvus, "put_in_use", lambda *_: (_ for _ in ()).throw(IndexUnavailable()))
        with pytest.raises(IndexUnavailable):
            await MilvusIndex.open(milvus, catalogue, catalogue, fresh=True)
    assert len(milvus._client.list_collections()) == 2
    await MilvusIndex.open(milvus, catalogue, catalogue, fresh=True)
    assert milvus._client.list_collections() == [milvus.in_use()]


async def test_song_that_changes_during_a_reindexing_is_there_once(connected):
    catalogue = await catalogue_of(1, 2)

    class Changing(InMemoryCatalogue):
        def __init__(self):
            self.__dict__ |= catalogue.__dict__

        async def changes(self, *, after_revision):
            first = True
            async for change in super().changes(after_revision=after_revision):
                yield change
                if first:
                    await self.put(make_new_song(1, content="new", fingerprint=music(6)), replaces=1)
                    first = False
            async for later in super().changes(after_revision=change.revision):
                yield later

    changing = Changing()
    index = await MilvusIndex.open(connected(), changing, changing, fresh=True)
    assert index.status().songs == 2
    assert index.segments == music(6).segments + music(2).segments
    assert await best(index, 6) == 1


async def test_nothing_is_left_behind_when_milvus_lite_is_closed(tmp_path):
    def listening():
        import psutil

        return {each.laddr.port for each in psutil.Process().net_connections() if each.status == psutil.CONN_LISTEN}

    before = listening()
    catalogue = await catalogue_of(1)
    milvus = Milvus(Settings(milvus_uri=str(tmp_path / "new" / "lite.db"), milvus_collection="other"))
    index = await MilvusIndex.open(milvus, catalogue, catalogue)
    assert await best(index, 1) == 1
    assert len(listening() - before) == 1
    milvus.close()
    assert listening() == before


def test_missing_address_is_named(tmp_path):
    with pytest.raises(InvalidRequest, match="SONICA_MILVUS_URI"):
        Milvus(Settings(index_kind="milvus"))


def test_absent_milvus_is_told_in_time():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(IndexUnavailable):
            Milvus(Settings(milvus_uri=uri, milvus_timeout_seconds=0.5))


def test_token_is_not_shown():
    assert "hidden" not in repr(Settings(milvus_token="user:hidden"))


def test_fingerprint_of_a_silent_song_takes_no_rows():
    from backend.models import Change
    from backend.search.milvus_index import _rows

    silent = Fingerprint(bytes(128 * 3), bytes([100] * 3), 1536, 4)
    assert list(_rows(Change(1, 1, silent), silent)) == []
