"""A stand-in for AWS, empty before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.aws import Aws, running_aws


@pytest.fixture(scope="session")
def shared_aws() -> Iterator[Aws]:
    with running_aws() as aws:
        yield aws


@pytest.fixture
def aws(shared_aws: Aws) -> Aws:
    shared_aws.reset()
    return shared_aws
