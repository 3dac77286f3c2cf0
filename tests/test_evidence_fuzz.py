"""Whatever an owner keeps and shows, a verifier comes to a verdict on it: a few odd states and
files with `make test`, more with `make test-long`, and with `make nightly` new ones every night."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any

import pytest

from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.vote import Outcome
from tests.audits import Case, trained_here
from tests.evidence_fuzz import JOBS, ODDITIES, keep_odd_state, odd_file, verdict
from tests.parser_fuzz import Mutator
from tests.speeds import LONG, NIGHTLY

QUICK = ("AdamW", "Adafactor", "pulled AdamW")
CASES = {"": 4, LONG: len(ODDITIES), NIGHTLY: 2_000}
MARKS: dict[str, Any] = {"": (), LONG: pytest.mark.long, NIGHTLY: (pytest.mark.nightly, pytest.mark.timeout(4 * 3600))}
EVERY = [
    pytest.param(name, speed, marks=MARKS[speed], id=f"{name}-{speed or 'quick'}")
    for speed in CASES
    for name in (JOBS if speed else QUICK)
]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Honest jobs of six segments, by their names."""
    place = tmp_path_factory.mktemp("jobs")

    @cache
    def job(name: str) -> Case:
        return trained_here(place / name / "job", LocalStore(place / "store", place / "home"), **JOBS[name])

    return job


@pytest.fixture(autouse=True)
def without_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def seeds(speed: str, what: str) -> Iterator[str]:
    """The same in every run, but for the night's."""
    seed = secrets.randbits(32) if speed == NIGHTLY else what
    return (f"{seed} {number}" for number in range(CASES[speed]))


@pytest.mark.parametrize(("name", "speed"), EVERY)
def test_odd_state_is_a_mismatch_or_withheld(honest: Callable[[str], Case], name: str, speed: str) -> None:
    for number, seed in enumerate(seeds(speed, f"states of {name}")):
        case = honest(name).copy(f"{speed}-{number}")
        is_other = keep_odd_state(case, Random(seed), ODDITIES[number % len(ODDITIES)] if speed == LONG else None)
        assert (verdict(case, case.facts(None)).outcome is Outcome.MATCH) is not is_other, f"seed {seed!r}"
        shutil.rmtree(case.folder)


@pytest.mark.parametrize(("name", "speed"), EVERY)
def test_odd_file_is_no_match_unless_it_says_the_same(honest: Callable[[str], Case], name: str, speed: str) -> None:
    job = honest(name)
    facts = job.facts(None)
    said = verdict(job, facts)
    assert said.outcome is Outcome.MATCH
    for seed in seeds(speed, f"files of {name}"):
        found = verdict(job, facts, odd_file(Mutator(seed)))
        assert found.outcome is not Outcome.MATCH or found.content == said.content, f"seed {seed!r}"
