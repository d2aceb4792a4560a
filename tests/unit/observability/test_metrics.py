from __future__ import annotations

from dataclasses import replace

from backend.observability.metrics import Metrics
from tests.factories import make_recognition, make_song


def test_metrics_are_apart_when_there_are_two_apps() -> None:
    one, other = Metrics(), Metrics()
    one.describe_index(songs=3, segments=40)

    assert b"sonica_index_songs 3.0" in one.exposition()
    assert b"sonica_index_songs 0.0" in other.exposition()


def test_time_of_a_recognition_is_kept_apart_from_that_of_its_steps() -> None:
    metrics = Metrics()
    metrics.observe_recognition(
        replace(make_recognition(make_song(1)), cache="memory", timings_ms={"total": 40.0, "cache": 3.0})
    )

    exposition = metrics.exposition().decode()
    labels = 'cache="memory",outcome="match",tier="origin"'
    assert f"sonica_recognition_seconds_sum{{{labels}}} 0.04" in exposition
    assert 'sonica_recognition_stage_seconds_sum{stage="cache",tier="origin"} 0.003' in exposition
    assert 'stage="total"' not in exposition


def test_answer_without_timings_is_counted_when_it_was_looked_up_only() -> None:
    metrics = Metrics()
    metrics.observe_recognition(make_recognition())

    exposition = metrics.exposition().decode()
    assert 'outcome="no_match",reason="below_threshold",tier="origin"} 1.0' in exposition
    assert "sonica_recognition_seconds_count{" not in exposition
    assert "sonica_match_score_ratio_count 0.0" in exposition


def test_build_is_named() -> None:
    assert 'version="1.2.3"' in Metrics(version="1.2.3").exposition().decode()
