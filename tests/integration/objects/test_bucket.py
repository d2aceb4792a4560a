"""Objects of S3, by moto's server: bounded reads, whole writes, conditions, pages, breaks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend.errors import ObjectChanged, ObjectNotFound, ObjectStoreUnavailable, ObjectTooLarge
from backend.objects.bucket import Bucket
from backend.settings import Settings
from tests.aws import Aws


@pytest.fixture
def bucket(aws: Aws) -> Bucket:
    aws.make_bucket("music")
    return Bucket.open("music", Settings(**aws.settings))


def test_object_is_read_back_with_what_is_known_of_it(bucket: Bucket, tmp_path: Path) -> None:
    etag = bucket.put("a b/ü+.wav", b"0123456789", metadata={"title": "Song"})

    known = bucket.head("a b/ü+.wav")
    downloaded = bucket.download("a b/ü+.wav", tmp_path / "song", bytes_max=10)

    assert known == downloaded
    assert (known.uri, known.size_bytes, known.etag) == ("s3://music/a b/ü+.wav", 10, etag)
    assert known.metadata == {"title": "Song"}
    assert (tmp_path / "song").read_bytes() == b"0123456789"
    assert bucket.get("a b/ü+.wav", bytes_max=10) == b"0123456789"
    assert bucket.get("a b/ü+.wav", bytes_max=10, first=3, count=4) == b"3456"
    assert bucket.get("a b/ü+.wav", bytes_max=10, first=8) == b"89"


def test_object_larger_than_allowed_is_refused_and_leaves_no_file(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("large", b"0123456789")

    with pytest.raises(ObjectTooLarge, match="10 bytes, 9 at most"):
        bucket.download("large", tmp_path / "large", bytes_max=9)
    with pytest.raises(ObjectTooLarge):
        bucket.get("large", bytes_max=9)

    assert list(tmp_path.iterdir()) == []


def test_missing_object_and_missing_bucket_are_told_apart_from_a_store_that_is_away(
    aws: Aws, bucket: Bucket, tmp_path: Path
) -> None:
    assert bucket.head("none") is None
    bucket.delete("none")
    for missing in (bucket, Bucket.open("nowhere", Settings(**aws.settings))):
        with pytest.raises(ObjectNotFound):
            missing.get("none", bytes_max=1)
        with pytest.raises(ObjectNotFound):
            missing.download("none", tmp_path / "none", bytes_max=1)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    away = Bucket.open("music", Settings(aws_endpoint_url=f"http://127.0.0.1:{port}", aws_region="eu-west-1"))
    with pytest.raises(ObjectStoreUnavailable):
        away.put("a", b"")


def test_only_the_first_of_two_writers_creates_an_object(bucket: Bucket) -> None:
    etag = bucket.put("pointer", b"one", if_absent=True)
    with pytest.raises(ObjectChanged):
        bucket.put("pointer", b"two", if_absent=True)
    assert bucket.get("pointer", bytes_max=9) == b"one"

    second = bucket.put("pointer", b"two", if_etag=etag)
    assert second != etag
    with pytest.raises(ObjectChanged):
        bucket.put("pointer", b"three", if_etag=etag)
    assert bucket.get("pointer", bytes_max=9) == b"two"


def test_pages_of_a_listing_are_one_sequence_in_the_order_of_keys(aws: Aws, bucket: Bucket) -> None:
    keys = [f"songs/{number:04}" for number in range(1_005)]  # a page has 1,000
    aws.put_quickly("music", dict.fromkeys((*reversed(keys), "others/1"), b"x"))

    assert [found.key for found in bucket.list("songs/")] == keys
    assert [found.key for found in bucket.list("songs/", after=keys[1_002])] == keys[1_003:]
    first = next(bucket.list())
    assert (first.key, first.size_bytes, first.etag) == ("others/1", 1, bucket.head("others/1").etag)


def test_large_file_goes_up_in_parts_and_comes_back_the_same(bucket: Bucket, tmp_path: Path) -> None:
    content = bytes(range(256)) * (9 << 12)  # 9 MiB: above the 8 from which boto3 sends parts
    (tmp_path / "up").write_bytes(content)
    bucket.upload("large", tmp_path / "up")

    bucket.download("large", tmp_path / "down", bytes_max=len(content))
    assert (tmp_path / "down").read_bytes() == content
    bucket.delete("large")
    assert bucket.head("large") is None


class Breaking(BaseHTTPRequestHandler):
    """Sends three bytes of an answer and breaks off; a request for the rest gets the next three."""

    content = b"0123456789"
    etags: tuple[str, ...] = ('"e"',)  # of the first answer, of the second, ...; the last one from then on
    asked: list[str | None]

    def do_GET(self) -> None:
        self.asked.append(self.headers["Range"])
        etag = self.etags[min(len(self.asked), len(self.etags)) - 1]
        if self.headers["If-Match"] not in (None, etag):
            self.send_response(412)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first = int((self.headers["Range"] or "bytes=0-")[6:-1])
        rest = self.content[first:]
        self.send_response(206 if self.headers["Range"] else 200)
        for name, value in (("Content-Length", len(rest)), ("ETag", etag)):
            self.send_header(name, str(value))
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 20:00:00 GMT")
        self.end_headers()
        self.wfile.write(rest[:4])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type[Breaking], Bucket]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    handler = type("Handler", (Breaking,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        yield handler, Bucket.open("music", Settings(aws_endpoint_url=url, aws_region="eu-west-1"))
        server.shutdown()
        thread.join()


def test_download_goes_on_where_it_broke_off(breaking: tuple[type[Breaking], Bucket], tmp_path: Path) -> None:
    handler, bucket = breaking
    found = bucket.download("song", tmp_path / "song", bytes_max=10)
    assert (tmp_path / "song").read_bytes() == b"0123456789"
    assert found.size_bytes == 10
    assert handler.asked == [None, "bytes=4-", "bytes=8-"]


def test_download_of_an_object_that_is_replaced_meanwhile_is_given_up(
    breaking: tuple[type[Breaking], Bucket], tmp_path: Path
) -> None:
    handler, bucket = breaking
    handler.etags = ('"e"', '"f"')
    with pytest.raises(ObjectChanged):
        bucket.download("song", tmp_path / "song", bytes_max=10)
    assert not (tmp_path / "song").exists()
