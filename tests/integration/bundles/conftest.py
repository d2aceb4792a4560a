"""A stand-in for AWS, empty before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backend.bundles.objects import BucketObjects
from backend.objects.bucket import Bucket
from backend.settings import Settings
from tests.aws import Aws, running_aws
from tests.bundles import Place

BUCKET = "bundles"


@pytest.fixture(scope="package")
def shared_aws() -> Iterator[Aws]:
    with running_aws() as aws:
        yield aws


@pytest.fixture
def aws(shared_aws: Aws) -> Aws:
    shared_aws.reset()
    shared_aws.make_bucket(BUCKET)
    return shared_aws


@pytest.fixture
def place(aws: Aws) -> Place:
    """Bundles in the bucket, below a prefix."""
    return Place(BucketObjects(Bucket.open(BUCKET, Settings(**aws.settings)), "sonica/"))
