"""The cells: which scene, how long, and what is played."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from hard_queries import scenes
from hard_queries.scenes import Scene

Role = Literal["catalog", "negative"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of query and its length; `plays` is the role of the song, or None without one."""

    kind: str
    seconds: int
    scene: Scene
    plays: Role | None = "catalog"

    @property
    def name(self) -> str:
        """The cell's name in tables, and its folder's."""
        return f"{self.kind}_{self.seconds}s"


def chosen_cells(names: str) -> list[Cell]:
    """Return the cells that a list with commas names, with or without their length; all if it is empty."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = {cell.kind for cell in CELLS} | {cell.name for cell in CELLS}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no such cell: {', '.join(unknown)}; there are {', '.join(cell.name for cell in CELLS)}")
    return [cell for cell in CELLS if not wanted or cell.kind in wanted or cell.name in wanted]


CELLS = (
    *(Cell("small_speaker", seconds, scenes.small_speaker) for seconds in (3, 5, 10)),
    Cell("car", 5, scenes.car),
    Cell("street", 5, scenes.street_corner),
    Cell("two_talkers", 5, scenes.two_talkers),
    Cell("far_room", 5, scenes.far_room),
    Cell("voice_memo", 5, scenes.memo),
    Cell("song_then_speech", 5, scenes.song_then_speech),
    Cell("speech_then_song", 5, partial(scenes.speech_then_song, seconds=5)),
    *(Cell(f"speed{per_cent:+d}", 5, partial(scenes.FASTER, per_cent=per_cent)) for per_cent in (8, -8)),
    *(Cell(f"tempo{per_cent:+d}", 5, partial(scenes.HURRIED, per_cent=per_cent)) for per_cent in (8, -8)),
    *(Cell(f"pitch{per_cent:+d}", 5, partial(scenes.HIGHER, per_cent=per_cent)) for per_cent in (6, -6)),
    Cell("hard_neg_music", 5, scenes.elsewhere, plays="negative"),
    Cell("hard_neg_speech", 5, scenes.only_speech, plays=None),
    Cell("hard_neg_car", 5, scenes.only_car, plays=None),
    Cell("hard_neg_street", 5, scenes.only_street, plays=None),
)
