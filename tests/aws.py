"""AWS for tests: moto's server, in this process, on this machine's loopback alone."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import boto3
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
_NOBODY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}  # moto asks for a signature, whoever's


@dataclass(frozen=True, slots=True)
class Aws:
    """A stand-in for AWS with clients for what a test prepares and looks up."""

    url: str

    @property
    def settings(self) -> dict[str, str]:
        """Settings of the program that talks to it, in lower case, without SONICA_."""
        return {"aws_endpoint_url": self.url, "aws_region": REGION}

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that talks to it."""
        return _NOBODY | {f"SONICA_{name.upper()}": value for name, value in self.settings.items()}

    def client(self, service: str) -> Any:
        """Return a client that is nobody's in particular."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def make_bucket(self, name: str) -> Any:
        """Make an empty bucket; return it as boto3 shows it."""
        bucket = boto3.resource(
            "s3", endpoint_url=self.url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        ).Bucket(name)
        bucket.create(CreateBucketConfiguration={"LocationConstraint": REGION})
        return bucket

    def make_queue(self, name: str, *, receives_max: int = 3, visible_seconds: int = 30) -> tuple[str, str]:
        """Make a queue with a dead-letter queue; return the URLs of both."""
        sqs = self.client("sqs")
        dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": receives_max}
        attributes = {"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": str(visible_seconds)}
        return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"], dead

    def put_quickly(self, bucket: str, objects: dict[str, bytes]) -> None:
        """Put many objects at once, past HTTP; whoever wants to be notified is not."""
        backend = s3_backends["123456789012"]["aws"]
        for key, body in objects.items():
            backend.put_object(bucket, key, body)

    def reset(self) -> None:
        """Forget everything."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")):
            pass


@contextmanager
def running_aws() -> Iterator[Aws]:
    """Start a stand-in on a free port, with credentials of nobody for what runs in this process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    with patch.dict(os.environ, _NOBODY):
        server.start()
        try:
            host, port = server.get_host_and_port()
            yield Aws(f"http://{host}:{port}")
        finally:
            server.stop()
