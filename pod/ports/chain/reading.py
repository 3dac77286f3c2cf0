"""Readings: what is read of a chain in several steps, where each step depends on the one before.

A reading is a generator that yields what it wants read and is sent the answers. So several of them
go on together, and a step of all of them is one batch: how many HTTP requests they take depends on
the longest, not on how many they are.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeAlias, TypeVar

from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.reads import Read

T = TypeVar("T")
Reading: TypeAlias = Generator[Sequence[Read], list[Any], T]


def carry_out(chain: Chain, reading: Reading[T]) -> T:
    """Read all that a reading wants; returns what it returns, and raises as `Chain.batch` and it
    do."""
    try:
        wanted = next(reading)
        while True:
            wanted = reading.send(chain.batch(wanted))
    except StopIteration as end:
        result: T = end.value
        return result


def together(*readings: Reading[Any]) -> Reading[tuple[Any, ...]]:
    """Several readings as one, each of whose steps is a step of all that are not done; returns what
    each of them returns."""
    results: list[Any] = [None] * len(readings)
    wanted: dict[int, Sequence[Read]] = {}

    def go_on(number: int, answers: list[Any] | None) -> None:
        reading = readings[number]
        try:
            wanted[number] = next(reading) if answers is None else reading.send(answers)
        except StopIteration as end:
            wanted.pop(number, None)
            results[number] = end.value

    for number in range(len(readings)):
        go_on(number, None)
    while wanted:
        asked = dict(wanted)
        answers = iter((yield [read for reads in asked.values() for read in reads]))
        for number, reads in asked.items():
            go_on(number, [next(answers) for _ in reads])
    return tuple(results)
