"""Ingests synthetic songs from S3 by workers that are killed at random, and looks whether each is in exactly once.

AWS is moto's server, in this process; the database is a real PostgreSQL. Events of S3 reach the workers through SQS.
Among the songs are copies, events that come twice, files and messages that nobody can take in. Prints what was seen as
JSON; exit code 1 when a song is missing or doubled, or a dead letter is missing, of a good song, or without its reason.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import boto3
import numpy as np
import soundfile
from moto.server import ThreadedMotoServer

from backend.catalogue.database import session
from backend.catalogue.embedded import EmbeddedPostgres
from backend.catalogue.migrations import migrate

ROOT = Path(__file__).parents[1]
WORKER = [sys.executable, "-c", "from backend.cli.main import main; main()", "ingest", "worker", "--queue"]
REGION, BUCKET, QUEUE, SECRET = "eu-west-1", "music", "ingest", "sonica/database"
VISIBLE_SECONDS = 5  # short, so that what a killed worker had comes again soon
RECEIVES_MAX = 20  # many, as every kill uses one up
RATE_HZ = 8_000
PUTS_AT_ONCE = 4
WAITING_MAX = 80  # messages in the queue, about: moto walks over all of them at each request, .08 ms each
POISON_EVERY, COPY_EVERY, TWICE_EVERY = 50, 40, 25  # of the songs, besides them


@dataclass(frozen=True, slots=True)
class Plan:
    """songs: that differ. kill_seconds: between two kills, on average."""

    songs: int
    workers: int
    kills: int
    kill_seconds: float
    seconds_max: float
    seed: int = 1


@dataclass(slots=True)
class Material:
    """What was put: keys by what is in them, and what becomes of the bad ones."""

    songs: list[str] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)  # the key of the song that each is a copy of
    poison: dict[str, str] = field(default_factory=dict)  # the code of the failure, by key
    malformed: dict[str, str] = field(default_factory=dict)  # the same, by the message's body


class Cloud:
    """The stand-in for AWS, with a bucket that tells a queue."""

    def __init__(self, url: str, database_url: str) -> None:
        self.url = url
        self._sqs, self._s3, self._kms = (self._client(name) for name in ("sqs", "s3", "kms"))
        key = self._kms.create_key()["KeyMetadata"]["Arn"]
        self.dead_letters = self._queue(f"{QUEUE}-dead", KmsMasterKeyId=key)
        redrive = json.dumps({"deadLetterTargetArn": self._arn(self.dead_letters), "maxReceiveCount": RECEIVES_MAX})
        timeout = str(VISIBLE_SECONDS)
        self.queue = self._queue(QUEUE, KmsMasterKeyId=key, RedrivePolicy=redrive, VisibilityTimeout=timeout)
        self._make_bucket(key)
        self._client("secretsmanager").create_secret(Name=SECRET, SecretString=json.dumps(_secret(database_url)))

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a worker."""
        return {
            "AWS_ACCESS_KEY_ID": "drill",
            "AWS_SECRET_ACCESS_KEY": "drill",
            "SONICA_AWS_ENDPOINT_URL": self.url,
            "SONICA_AWS_REGION": REGION,
            "SONICA_DATABASE_SECRET": SECRET,
            "SONICA_INGEST_WORKERS": "1",
        }

    def put(self, key: str, body: bytes) -> None:
        """Put an object; the queue is told."""
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def send(self, body: str) -> None:
        """Put a message into the queue."""
        self._sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def tell_again(self, key: str) -> None:
        """Send the event of an object once more, as S3 may."""
        found = self._s3.head_object(Bucket=BUCKET, Key=key)
        told = {"key": key, "size": found["ContentLength"], "eTag": found["ETag"].strip('"')}
        detail = {"bucket": {"name": BUCKET}, "object": told}
        self.send(json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail}))

    def waiting(self) -> int:
        """Return how many messages are in the queue, hidden ones too."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self._sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(told[name]) for name in names)

    def read_dead_letters(self) -> list[tuple[str, str]]:
        """Take all dead letters; return their bodies and the code that each has beside it."""
        letters: list[tuple[str, str]] = []
        while found := self._dead_letters_now():
            for letter in found:
                code = letter.get("MessageAttributes", {}).get("code", {}).get("StringValue", "")
                letters.append((letter["Body"], code))
                self._sqs.delete_message(QueueUrl=self.dead_letters, ReceiptHandle=letter["ReceiptHandle"])
        return letters

    def _dead_letters_now(self) -> list[dict[str, Any]]:
        wanted = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
        return list(self._sqs.receive_message(QueueUrl=self.dead_letters, **wanted).get("Messages", ()))

    def _make_bucket(self, key: str) -> None:
        self._s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        encryption = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": encryption}]}
        self._s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=rules)
        told = {"QueueArn": self._arn(self.queue), "Events": ["s3:ObjectCreated:*"]}
        self._s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [told]}
        )

    def _queue(self, name: str, **attributes: str) -> str:
        return str(self._sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])

    def _arn(self, url: str) -> str:
        told = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(told["Attributes"]["QueueArn"])

    def _client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes its classes when it runs
        nobody = {"aws_access_key_id": "drill", "aws_secret_access_key": "drill"}
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **nobody)


class Workers:
    """Processes that take songs in; any may be killed, another comes in its place."""

    def __init__(self, cloud: Cloud, count: int, messages: Path) -> None:
        self._cloud = cloud
        self._messages = messages
        self._processes = [self._start() for _ in range(count)]

    def kill(self, number: int) -> None:
        """Kill one with SIGKILL and start another."""
        number %= len(self._processes)
        self._processes[number].kill()
        self._processes[number].wait()
        self._processes[number] = self._start()

    def said(self) -> str:
        """Return the last of what they wrote to stderr."""
        return self._messages.read_text()[-3_000:]

    def end(self) -> list[int]:
        """Stop all with SIGTERM; return their exit codes."""
        for process in self._processes:
            process.terminate()
        return [process.wait(60) for process in self._processes]

    def kill_all(self) -> None:
        """Leave none behind."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SONICA_")}
        with self._messages.open("a") as messages:
            return subprocess.Popen(
                [*WORKER, self._cloud.queue],
                cwd=ROOT,
                env=environment | self._cloud.settings,
                stdout=subprocess.DEVNULL,
                stderr=messages,
            )


def drill(plan: Plan, database_url: str, folder: Path) -> dict[str, Any]:
    """Run it against an empty, migrated database; return what was seen. folder: for the workers' messages."""
    with _cloud(database_url) as cloud:
        started_at = time.monotonic()
        workers = Workers(cloud, plan.workers, folder / "messages.txt")
        try:
            with ThreadPoolExecutor(1) as thread:
                putting = thread.submit(_put_material, cloud, plan)
                killed = _kill_until_done(cloud, workers, plan, putting)
                material = putting.result()
            done_at = time.monotonic()
            exit_codes = workers.end()
        finally:
            workers.kill_all()
        letters = cloud.read_dead_letters()
    found = asyncio.run(_looked_up(database_url))
    return {
        "songs": len(material.songs),
        "copies": len(material.copies),
        "poison": len(material.poison) + len(material.malformed),
        "killed": killed,
        "exit_codes": exit_codes,
        "seconds": round(done_at - started_at, 1),
        "in_catalogue": len(found.external_ids),
        "dead_letters": len(letters),
        "recorded_failures": len(found.failures),
        "faults": _faults(material, found, letters),
    }


def _put_material(cloud: Cloud, plan: Plan) -> Material:
    material = Material()
    ends_at = time.monotonic() + plan.seconds_max
    with ThreadPoolExecutor(PUTS_AT_ONCE) as threads:
        for numbers in batched(range(plan.songs), WAITING_MAX // 4):
            while cloud.waiting() > WAITING_MAX and time.monotonic() < ends_at:
                time.sleep(0.3)
            for put in [threads.submit(_put_song, cloud, material, plan, number) for number in numbers]:
                put.result()
    return material


def batched(numbers: range, count: int) -> Iterator[range]:
    """Yield the numbers in ranges of so many."""
    for start in range(0, len(numbers), count):
        yield numbers[start : start + count]


def _put_song(cloud: Cloud, material: Material, plan: Plan, number: int) -> None:
    key = f"Ärtist {number % 97}/sóng +{number:05} & cø.wav"
    song = _song(plan.seed * 1_000_000 + number)
    cloud.put(key, song)
    material.songs.append(key)
    if number % TWICE_EVERY == 0:
        cloud.tell_again(key)
    if number % COPY_EVERY == 0:
        material.copies[f"copies/{number:05}.wav"] = key
        cloud.put(f"copies/{number:05}.wav", song)
    if number % POISON_EVERY == 0:
        _put_poison(cloud, material, number)


def _put_poison(cloud: Cloud, material: Material, number: int) -> None:
    bad = [
        ("unsupported_audio", b"no audio at all, in number %d" % number),
        ("song_too_short", _wav(np.random.default_rng(number).normal(0, 0.1, RATE_HZ // 3))),
        ("silent_song", _wav(np.zeros(2 * RATE_HZ + number))),
    ]
    code, body = bad[number // POISON_EVERY % len(bad)]
    key = f"bad/{number:05}.wav"
    material.poison[key] = code
    cloud.put(key, body)
    message = f"not of S3, number {number}"
    material.malformed[message] = "invalid_request"
    cloud.send(message)


def _song(seed: int) -> bytes:
    """Return two seconds of chords, each unlike the others."""
    random_numbers = np.random.default_rng(seed)
    chords = random_numbers.uniform(150, 3_500, (8, 6, 1))
    time_s = np.arange(RATE_HZ // 4) / RATE_HZ
    samples = np.sin(2 * np.pi * chords * time_s).mean(axis=1).ravel()
    return _wav(0.5 * samples + random_numbers.normal(0, 0.02, len(samples)))


def _wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format="WAV", subtype="PCM_U8")
    return file.getvalue()


def _kill_until_done(cloud: Cloud, workers: Workers, plan: Plan, putting: Future[Material]) -> int:
    moments = random.Random(plan.seed)
    killed = 0
    ends_at = time.monotonic() + plan.seconds_max
    next_kill = time.monotonic() + moments.expovariate(1 / plan.kill_seconds)
    while not putting.done() or cloud.waiting():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"{cloud.waiting()} messages are left after {plan.seconds_max} s: {workers.said()}")
        if killed < plan.kills and time.monotonic() > next_kill:
            workers.kill(moments.randrange(plan.workers))
            killed += 1
            next_kill = time.monotonic() + moments.expovariate(1 / plan.kill_seconds)
        time.sleep(0.5)
    return killed


@dataclass(frozen=True, slots=True)
class Found:
    """What the database holds in the end; failures: the code by URI."""

    external_ids: list[str]
    fingerprints: int
    changes: int
    failures: dict[str, str]


async def _looked_up(database_url: str) -> Found:
    async with session(database_url) as connection:
        return Found(
            external_ids=[row[0] for row in await connection.fetch("select external_id from songs")],
            fingerprints=await connection.fetchval("select count(*) from fingerprints"),
            changes=await connection.fetchval("select count(*) from catalogue_changes"),
            failures={row[0]: row[1] for row in await connection.fetch("select uri, code from ingest_failures")},
        )


def _faults(material: Material, found: Found, letters: list[tuple[str, str]]) -> list[str]:
    """Say what is not as it should be."""
    copy_of = {_uri(copy): _uri(key) for copy, key in material.copies.items()}
    counted = Counter(
        copy_of.get(external_id, external_id) for external_id in found.external_ids
    )  # whichever came first
    wanted = {_uri(key) for key in material.songs}
    poison = {_uri(key): code for key, code in material.poison.items()}
    told = {(_subject(body), code) for body, code in letters}
    checks = {
        "songs missing": wanted - counted.keys(),
        "songs that nobody put": counted.keys() - wanted,
        "songs there twice": {uri for uri, count in counted.items() if count > 1},
        "fingerprints that are not one a song": {found.fingerprints} - {len(wanted)},
        "changes that are not one a song": {found.changes} - {len(wanted)},
        "failures not as they should be": found.failures.items() ^ poison.items(),
        "dead letters not as they should be": told ^ (poison | material.malformed).items(),
    }
    return [f"{name}: {len(those)}, as {sorted(map(str, those))[:3]}" for name, those in checks.items() if those]


def _subject(body: str) -> str:
    """Return the URI that a dead letter is about, or the letter where it is about none."""
    from backend.errors import InvalidRequest
    from backend.ingestion.messages import read_message

    try:
        return read_message(body).items[0].uri
    except InvalidRequest:
        return body


def _uri(key: str) -> str:
    return f"s3://{BUCKET}/{key}"


def _secret(database_url: str) -> dict[str, Any]:
    """Return what RDS would write; the embedded database is reached by a socket and asks for no password."""
    parts = urlsplit(database_url)
    host = parts.hostname or parse_qs(parts.query)["host"][0]
    name = {"username": parts.username or "postgres", "password": "p@ss/word", "host": host}
    return name | {"port": parts.port or 5432, "dbname": parts.path.strip("/")}


@contextmanager
def _cloud(database_url: str) -> Iterator[Cloud]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        with urlopen(Request(f"{url}/moto-api/reset", method="POST")):  # what it knows is the whole process's
            pass
        yield Cloud(url, database_url)
    finally:
        server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--kill-seconds", type=float, default=5.0, help="between two kills, on average")
    parser.add_argument("--seconds-max", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=1)
    plan = Plan(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="sonica-drill-") as folder:
        server = EmbeddedPostgres()
        url = server.start(Path(folder))
        try:
            asyncio.run(migrate(url))
            seen = drill(plan, url, Path(folder))
        finally:
            server.stop()
    print(json.dumps(seen, indent=1, ensure_ascii=False))
    return 1 if seen["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
