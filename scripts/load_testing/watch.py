"""What the server's process takes meanwhile: CPU, and memory over time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import psutil

_HOUR = 3600.0
MEGABYTE = 1e6


class Reading(NamedTuple):
    """What a process had taken at a time."""

    at: float  # time.monotonic()
    cpu_seconds: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Growth:
    """A straight line through the memory's readings."""

    bytes_per_hour: float
    bytes: float  # over the time that was looked at

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> Growth:
        """Fit it, by least squares; there are two readings at least."""
        at = np.array([reading.at for reading in readings])
        slope = float(np.polyfit(at - at[0], [reading.resident_bytes for reading in readings], 1)[0])
        return cls(slope * _HOUR, slope * float(at[-1] - at[0]))


class Watch:
    """Readings of a process, the oldest first."""

    def __init__(self, process_id: int) -> None:
        self._process = psutil.Process(process_id)
        self.readings: list[Reading] = []
        self.read()

    def read(self) -> Reading:
        """Take a reading."""
        cpu = self._process.cpu_times()
        self.readings.append(Reading(time.monotonic(), cpu.user + cpu.system, self._process.memory_info().rss))
        return self.readings[-1]

    @property
    def cpu_seconds(self) -> float:
        """From the first reading to the last one."""
        return self.readings[-1].cpu_seconds - self.readings[0].cpu_seconds

    @property
    def resident_bytes_max(self) -> int:
        """The largest reading."""
        return max(reading.resident_bytes for reading in self.readings)


@contextmanager
def watching(process_id: int, *, every_seconds: float = 0.25) -> Iterator[Watch]:
    """Read until the context ends, and once more then."""
    watch, ended = Watch(process_id), threading.Event()

    def go_on() -> None:
        with suppress(psutil.NoSuchProcess):  # the requests will have told
            while not ended.wait(every_seconds):
                watch.read()

    reader = threading.Thread(target=go_on)
    reader.start()
    try:
        yield watch
    finally:
        ended.set()
        reader.join()
        with suppress(psutil.NoSuchProcess):
            watch.read()
