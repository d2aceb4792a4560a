"""Cars from within and from the kerb, wind, horns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hard_queries.rooms import heard_in, living_room, reflections
from hard_queries.sound import (
    RATE,
    Generator,
    Samples,
    drift,
    hiss,
    level,
    levelled,
    low_passed,
    murmur,
    placed,
    resonated,
)
from hard_queries.voices import drawn_talker, talk

TURNS_A_KILOMETRE = (6600, 3900, 2600, 2000, 1600)  # of the engine, by gear
SHIFTS_AT_HZ = 24  # 1,440 turns a minute: the driver stays in the highest gear that turns faster
SOUND_METRES_A_SECOND = 343
WHEELBASE_METRES = 2.7


def driving(length: int, rng: Generator) -> Samples:
    """What a phone in a car hears besides music: engine, road and wind at a speed that changes."""
    cruising = rng.uniform(8, 36)
    speed = drift(length, rng, 2, 0.8 * cruising, 1.2 * cruising)  # metres a second
    parts = (
        rng.uniform(0.3, 1.0) * levelled(engine(speed, rng)),
        rng.uniform(0.5, 1.2) * levelled(road(speed, rng)),
        rng.uniform(0.2, 1.2) * cruising / 30 * levelled(wind(speed, rng)),
    )
    inside = heard_in(sum(parts, np.zeros(length)), cabin(rng))
    for _ in range(3):  # the cabin's lowest modes boom
        inside = inside + rng.uniform(0.5, 2) * resonated(inside, rng.uniform(50, 180), rng.uniform(3, 8))
    return inside


def cabin(rng: Generator) -> Samples:
    """Panes, seats and roof: reflections within 25 ms."""
    return reflections(rng, int(rng.integers(20, 60)), rng.uniform(0.015, 0.025), rng.uniform(-2, 6))


def engine(speed: Samples, rng: Generator) -> Samples:
    """Half orders of the crankshaft's turning (length,), the even ones strong as in four cylinders."""
    by_gear = np.array(TURNS_A_KILOMETRE)[:, None] / 1000 * speed  # turns a second
    gear = np.maximum((by_gear > SHIFTS_AT_HZ).sum(axis=0) - 1, 0)
    turning = low_passed(by_gear[gear, np.arange(speed.size)] - by_gear[gear[0], 0], 2) + by_gear[gear[0], 0]
    angle = 2 * np.pi * np.cumsum(turning) / RATE
    sound = np.zeros(speed.size)
    for order in np.arange(0.5, 16.5, 0.5):
        strength = rng.lognormal(0, 0.6) * (1 if order % 2 == 0 else 0.25) / order
        sound += strength * drift(speed.size, rng, 0.5, 0.6, 1.4) * np.sin(order * angle + rng.uniform(0, 6.3))
    return sound


def road(speed: Samples, rng: Generator) -> Samples:
    """Rumble and tyres, the louder the faster, and joints that both axles roll over."""
    rumble = murmur(speed.size, rng, rng.uniform(60, 200), poles=2)
    tyres = hiss(speed.size, rng, rng.uniform(600, 1200), 0.7)
    sound = (rumble + rng.uniform(0.2, 0.6) * tyres) * speed / speed.mean()
    metres = np.cumsum(speed) / RATE
    spacing, seconds = rng.uniform(8, 25), np.arange(RATE // 4) / RATE
    thump = np.sin(2 * np.pi * rng.uniform(35, 90) * seconds) * np.exp(-seconds / rng.uniform(0.02, 0.06))
    strength = rng.uniform(0, 6) * np.sqrt(np.mean(sound**2))
    for joint in np.arange(rng.uniform(0, spacing), metres[-1], spacing):
        for axle in (0, WHEELBASE_METRES):
            sound += strength * placed(speed.size, thump, int(np.searchsorted(metres, joint + axle)))
    return sound


def wind(speed: Samples, rng: Generator) -> Samples:
    """Air along the panes: it grows with more than the square of the speed, and flutters."""
    rush = hiss(speed.size, rng, rng.uniform(300, 2000), 0.5)  # a window that is open a little whistles higher
    return rush * (speed / speed.mean()) ** 2.5 * drift(speed.size, rng, 0.3, 0.6, 1.4)


def street(length: int, rng: Generator) -> Samples:
    """What a phone at the kerb hears besides music: a town, passing cars, people, perhaps a horn."""
    town = levelled(murmur(length, rng, rng.uniform(150, 500)))
    cars = sum((passing(length, rng, vehicle) for _ in range(rng.integers(1, 4))), np.zeros(length))
    people = sum((talk(length, rng, drawn_talker(rng)) for _ in range(rng.integers(2, 5))), np.zeros(length))
    people = low_passed(heard_in(people, living_room(rng, metres=6)), 3000)
    sound = rng.uniform(0.2, 0.6) * town + levelled(cars) + rng.uniform(0.2, 0.7) * levelled(people)
    if rng.random() < 0.5:
        horns = passing(length, rng, horn)
        sound += rng.uniform(0.5, 1.5) * horns / max(level(horns), 1e-9)
    return sound


def gusts(length: int, rng: Generator) -> Samples:
    """Wind on the microphone: little but bass, in bursts; a root mean square of 1."""
    flow = np.exp(drift(length, rng, 0.4, -2.5, 0.5)) * drift(length, rng, 0.05, 0.5, 1.5)
    sound = low_passed(rng.standard_normal(length), rng.uniform(20, 80), poles=2) * flow
    return sound / np.sqrt(np.mean(sound**2))


def vehicle(length: int, rng: Generator) -> Samples:
    """A car as one hears it outside: tyres, and an engine at a steady speed."""
    speed = np.full(length, rng.uniform(8, 20))
    tyres = hiss(length, rng, rng.uniform(700, 1300), 0.5)
    return rng.uniform(0.3, 1) * levelled(engine(speed, rng)) + tyres


def horn(length: int, rng: Generator) -> Samples:
    """Two buzzing notes about a third apart, pressed once or twice."""
    seconds, sound, pitch = np.arange(length) / RATE, np.zeros(length), rng.uniform(320, 480)
    for note in (pitch, pitch * rng.uniform(1.18, 1.28)):
        for harmonic in range(1, int(7000 / note)):
            sound += harmonic**-0.6 * np.sin(2 * np.pi * note * harmonic * seconds + rng.uniform(0, 6.3))
    pressed = np.zeros(length)
    for _ in range(rng.integers(1, 3)):
        blast = np.ones(int(rng.uniform(0.15, 1.2) * RATE))
        pressed = np.maximum(pressed, placed(length, blast, int(rng.integers(0, length))))
    return low_passed(pressed, 30) * sound


def passing(length: int, rng: Generator, source: Callable[[int, Generator], Samples]) -> Samples:
    """Move a source along a straight road: nearer is louder, and sound that is under way shifts its pitch."""
    speed, aside = rng.uniform(8, 25) * rng.choice([-1, 1]), rng.uniform(2.5, 12)
    seconds = np.arange(length) / RATE
    along = speed * (seconds - rng.uniform(-0.5, length / RATE + 0.5))
    metres = np.hypot(aside, along)
    late = metres / SOUND_METRES_A_SECOND * RATE
    spare = int(late.max()) + 1
    emitted = source(length + spare, rng)
    return np.interp(np.arange(length) + spare - late, np.arange(emitted.size), emitted) / metres
