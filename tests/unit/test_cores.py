"""Cores: what is there, but no more than the container may use."""

import os

import pytest

from backend import cores as module
from backend.cores import cores


@pytest.fixture
def quota(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path / "cpu.max"


@pytest.mark.parametrize(
    ("content", "expected"),
    [("200000 100000\n", 2), ("150000 100000\n", 2), ("10000 100000\n", 1), ("6400000 100000\n", 8)],
)
def test_quota_of_the_container_counts(quota, content, expected):
    quota.write_text(content)
    assert cores() == expected


@pytest.mark.parametrize("content", ["max 100000\n", "", "1 0\n", "a b\n", None])
def test_all_cores_count_when_there_is_no_quota(quota, content):
    if content is not None:
        quota.write_text(content)
    assert cores() == 8


def test_machine_says_it_where_processes_have_no_affinity(quota, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1
