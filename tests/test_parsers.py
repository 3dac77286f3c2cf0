"""Whatever is read of what somebody else made either is understood or refused by a FitchainError:
mutated inputs, few of each kind with `make test`, 2,000 with `make test-long`, 50,000 with `make
nightly`."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.parser_fuzz import PARSERS, Parser, fuzz
from tests.speeds import LONG, NIGHTLY

INPUTS = {"": 60, LONG: 2_000, NIGHTLY: 50_000}
MARKS: dict[str, Any] = {"": (), LONG: pytest.mark.long, NIGHTLY: (pytest.mark.nightly, pytest.mark.timeout(4 * 3600))}


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("speed", [pytest.param(speed, marks=MARKS[speed], id=speed or "quick") for speed in INPUTS])
def test_mutated_input_is_understood_or_refused(
    name: str, speed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same inputs in every run, but for the night's."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    seed = secrets.randbits(32) if speed == NIGHTLY else name
    fuzz(PARSERS[name], INPUTS[speed], seed, tmp_path)


@pytest.mark.parametrize("name", PARSERS)
def test_good_input_is_understood(name: str, tmp_path: Path) -> None:
    """Else its mutations would all be refused for the same reason."""
    unchanged = Parser(PARSERS[name].read, PARSERS[name].good, lambda _, data: data)
    assert fuzz(unchanged, 40, name, tmp_path) > 10


def test_traceback_is_told_with_its_input(tmp_path: Path) -> None:
    def broken(data: bytes, place: Path) -> None:
        raise KeyError(data)

    with pytest.raises(AssertionError, match=r"input 0 of seed 'x' raises KeyError"):
        fuzz(Parser(broken, lambda _: [b"{}"]), 5, "x", tmp_path)
