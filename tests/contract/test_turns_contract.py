"""What Turns promises, held for each adapter."""

from __future__ import annotations

import pytest

from backend.catalogue.in_memory import InMemoryCatalogue
from backend.ports import Turns


@pytest.fixture(params=["in_memory", "postgres"])
def turns(request: pytest.FixtureRequest) -> Turns:
    """Each adapter."""
    return InMemoryCatalogue() if request.param == "in_memory" else request.getfixturevalue("postgres_catalogue")


async def test_turn_is_refused_while_another_has_it_and_given_afterwards(turns: Turns) -> None:
    for _ in range(2):
        async with turns.turn("one") as ours, turns.turn("one") as theirs, turns.turn("another") as other:
            assert (ours, theirs, other) == (True, False, True)
    async with turns.turn("one") as ours:
        assert ours


async def test_turn_is_given_back_when_what_was_done_failed(turns: Turns) -> None:
    with pytest.raises(MemoryError):
        async with turns.turn("one"):
            raise MemoryError
    async with turns.turn("one") as ours:
        assert ours
