"""A real server under load: right answers, an orderly refusal of what is too much, and memory that ends its growth."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from load_testing.clients import OK, Load, Sample
from load_testing.clips import Clip
from load_testing.generator import Generator
from load_testing.service import Service, service
from load_testing.soak import Soaked, SoakPlan
from load_testing.truth import Asked
from load_testing.watch import Growth, Reading, watching

from tests.load.conftest import SECONDS_MAX, target_of, truth_of

ROOT = Path(__file__).parents[2]
OVERLOADED = "503 overloaded"  # with Retry-After: without it the generator says so


def outcomes(samples: list[Sample]) -> Counter[str]:
    return Counter(sample.outcome for sample in samples)


@pytest.mark.parametrize("load", [
    Load(clients=8, seconds=SECONDS_MAX, requests=160, fresh=True),
    Load(clients=8, seconds=SECONDS_MAX, requests=160),
    Load(clients=8, seconds=SECONDS_MAX, requests=80, form="audio", fresh=True),
])  # fmt: skip
def test_every_answer_is_right_when_eight_clients_ask_at_once(served: Service, asked: Asked, load: Load) -> None:
    with Generator(target_of(served), asked) as generator:
        samples = list(generator.send(load).samples)

    assert outcomes(samples) == {OK: load.requests}
    assert {sample.cache for sample in samples} == ({"miss"} if load.fresh else {"memory"})


def test_what_is_too_much_is_told_to_come_again_and_served_when_the_rush_is_over(
    catalogue: Path, clips: list[Clip]
) -> None:
    with service(catalogue, {"SONICA_CONCURRENT_REQUESTS_MAX": "2"}) as served:
        asked = truth_of(served, clips[-4:])
        with Generator(target_of(served), asked) as generator:
            rush = Load(clients=16, seconds=SECONDS_MAX, requests=320, fresh=True)
            rushed = outcomes(list(generator.send(rush).samples))
            after = outcomes(list(generator.send(replace(rush, clients=2, requests=20)).samples))

    assert rushed.keys() == {OK, OVERLOADED}
    assert after == {OK: 20}


def test_memory_ends_its_growth_when_hundreds_of_clips_are_recognised(catalogue: Path, clips: list[Clip]) -> None:
    plan = SoakPlan(minutes=0.1, rate=60, clients=8, warm_up_share=0.4, growth_mb_max=12, form="mixed")
    with service(catalogue, {"SONICA_CACHE_BYTES_MAX": "1000000"}) as served:
        asked = truth_of(served, clips[-4:])
        assert served.process_id is not None
        with (
            Generator(target_of(served), asked) as generator,
            watching(served.process_id) as watch,
        ):
            soaked = Soaked.of(plan, generator.send(plan.load), watch)

    assert soaked.requests == 360
    assert (soaked.errors, soaked.wrong) == ({}, 0)
    assert soaked.flat, soaked
    assert len(soaked.p99_ms) == 6
    assert all(soaked.p99_ms)


@pytest.mark.parametrize(("grown", "flat"), [(0, True), (7e6, True), (9e6, False)])
def test_memory_is_not_flat_when_it_grows_by_more_than_allowed(grown: float, flat: bool) -> None:
    readings = [Reading(float(at), 0.0, int(50e6 + grown * at / 100)) for at in range(101)]
    plan = SoakPlan(minutes=1, rate=1, clients=1, warm_up_share=0, growth_mb_max=8)
    soaked = Soaked(plan, 1, {}, 0, None, [], 1.0, Growth.of(readings), [])

    assert soaked.flat is flat
    assert soaked.growth.bytes_per_hour == pytest.approx(36 * grown, abs=100)


def test_table_and_document_tell_of_each_load_when_the_script_is_run(
    served: Service, clips: list[Clip], tmp_path: Path
) -> None:
    for number, clip in enumerate(clips):
        (tmp_path / f"{number}.wav").write_bytes(clip.wav())
    common = [
        "--clips",
        str(tmp_path),
        "--url",
        served.url,
        "--process-id",
        str(served.process_id),
        "--clip-count",
        "6",
    ]
    words = [
        *common,
        "measure",
        "--clients",
        "2",
        "--rate",
        "20",
        "--form",
        "fingerprint",
        "--seconds",
        "1",
        "--json",
        "-",
    ]
    done = subprocess.run(
        [sys.executable, "scripts/load.py", *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(each["load"]["rate"], each["cached"]) for each in document["loads"]] == [
        (None, 1.0), (None, 0.0), (20.0, 1.0), (20.0, 0.0),
    ]  # fmt: skip
    assert all(each["wrong"] == 0 and each["errors"] == {} and each["latencies_ms"] for each in document["loads"])
    assert "fingerprint, never seen, 20/s" in done.stderr
