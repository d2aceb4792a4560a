"""PostgreSQL and Redis are killed, paused and restarted while a server recognises, ingests and deletes."""

from __future__ import annotations

from pathlib import Path

import pytest
from load_testing.clips import Clip
from load_testing.faults import Damage, FaultPlan, run_faults
from load_testing.service import Service, breakable_service
from load_testing.writes import Ledger, broken_promises

from tests.load.conftest import clip_of, target_of, truth_of

PLAN = FaultPlan(clients=8, rate=10, away_seconds=1.0, after_seconds=1.5)
SETTINGS = {  # memory keeps next to nothing, so that the parts are asked
    "SONICA_CACHE_TTL_SECONDS": "0.5",
    "SONICA_CACHE_STALE_SECONDS": "0",
    "SONICA_INDEX_POLL_SECONDS": "0.2",
}


@pytest.fixture(scope="module")
def damage(catalogue: Path, clips: list[Clip]) -> Damage:
    """What all faults together did."""
    with breakable_service(catalogue, SETTINGS) as served:
        return run_faults(served, target_of(served), truth_of(served, clips), PLAN)


def test_no_answer_is_wrong_when_parts_break(damage: Damage) -> None:
    assert damage.wrong == 0
    assert len(damage.effects) == 7  # without a fault, and three of each part
    assert all(effect.requests > 0 for effect in damage.effects)


def test_no_recognition_fails_when_parts_break(damage: Damage) -> None:
    assert {f"{effect.kind} {effect.part}": effect.errors for effect in damage.effects if effect.errors} == {}


def test_no_acknowledged_write_is_lost_when_parts_break(damage: Damage) -> None:
    assert damage.acknowledged > 0, damage
    assert damage.broken_promises == []


def test_broken_promises_are_found_when_there_are_some(served: Service) -> None:
    known, unknown = clip_of(1, 1.0), clip_of(100, 2.0)
    ledger = Ledger(added={"song-1": known, "song-2": known, "never-there": unknown}, deleted={"song-1"})

    assert broken_promises(served.url, ledger) == [
        "never-there is lost",
        "song-1 was deleted and is there",
        "song-1 was deleted and is recognised",
        "song-2 is not recognised",
        "never-there is not recognised",
    ]
