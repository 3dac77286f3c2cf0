"""What modules bring home that were made for it: refused by name and line, or counted."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from math import comb
from pathlib import Path

import numpy as np
import pytest

from fitchain.pod.compute import private_training
from fitchain.pod.compute.model.export import export
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input
from tests.attacks import leaks
from tests.attacks.leak_lab import Found, LeakLab, Measured, compared, most_by_chance
from tests.attacks.leaks import FEATURES, LEAKS, MEMBERS, Leak

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "trust.md"
REFUSED = [leak for leak in LEAKS if leak.decode is None]
TRAINED = [leak for leak in LEAKS if leak.decode is not None]


def name(leak: Leak) -> str:
    return leak.name


@pytest.mark.parametrize("leak", REFUSED, ids=name)
def test_what_writes_records_into_its_state_is_refused_by_name_and_line(leak: Leak) -> None:
    with pytest.raises(InputRefused) as refused:
        export(leak.module(), [Input("x", "F32", (FEATURES,))], 16)
    assert leak.refusal in refused.value.message and refused.value.hint
    where = refused.value.message.partition(" `")[0]
    path, line = where.rsplit(":", 1)
    assert Path(path) == Path(leaks.__file__)
    assert any(int(line) in lines_of(each) for each in leak.module.__mro__ if each.__module__ == leaks.__name__)


def lines_of(kind: type) -> range:
    """The lines of a class."""
    lines, first = inspect.getsourcelines(kind)
    return range(first, first + len(lines))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Leak], Measured]:
    """What becomes of a module, measured once."""
    return LeakLab(tmp_path_factory.mktemp("leaks")).measured


@pytest.mark.long
@pytest.mark.parametrize("leak", TRAINED, ids=name)
def test_nothing_comes_home_of_a_private_training_beyond_chance(
    measured: Callable[[Leak], Measured], leak: Leak
) -> None:
    """And without noise as many records as the corpus says: else it would show nothing."""
    found = measured(leak)
    assert found.plain is not None and found.plain.recovered >= leak.least
    assert found.plain.beyond_chance == bool(leak.least)
    if found.private is None:
        assert leak.refusal and leak.refusal in found.refused_in_private
    else:
        assert not found.private.beyond_chance, found.private
    assert found.holds


@pytest.mark.long
def test_records_come_home_of_a_private_training_whose_noise_is_taken_out(
    measured: Callable[[Leak], Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clipping alone keeps nothing in: what the test above finds is the noise's doing."""

    class Silent:
        def draw(self, key: bytes, seed: bytes, step: int, domain: int, count: int) -> np.ndarray:
            return np.zeros(count, np.int64)

    monkeypatch.setattr(private_training, "discrete_gaussian", lambda sigma: Silent())
    found = measured(next(leak for leak in TRAINED if leak.module is leaks.Table)).private
    assert found is not None and found.beyond_chance and found.recovered > 50


def test_corpus_has_kinds_enough_and_most_of_what_is_trained_brings_many_home() -> None:
    assert len({leak.name for leak in LEAKS}) == len(LEAKS) >= 12
    assert sum(leak.least >= 50 for leak in TRAINED) >= 5


def row_of(leak: Leak) -> str:
    """A module as docs/trust.md shows it."""
    if leak.decode is None:
        return f"| {leak.name} | refused | - | - |"
    recovered = f"{leak.least} at least" if leak.least else "what records have in common"
    private = "refused" if leak.refusal else "nothing beyond chance"
    return f"| {leak.name} | trained | {recovered} | {private} |"


def test_document_shows_exactly_the_corpus() -> None:
    section = DOCUMENT.read_text().partition("\n## What models bring home\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!module |---).*$", section, re.MULTILINE)
    assert rows == [row_of(leak) for leak in LEAKS]
    assert f"trained on {MEMBERS} of the 455 records" in section.replace("\n", " ")


# What chance is


def test_chance_is_the_exact_tail_of_who_is_trained_on() -> None:
    for found in (1, 9, 40, 300):
        ways = [comb(228, count) * comb(227, found - count) for count in range(found + 1)]
        most = most_by_chance(found)
        assert sum(ways[most + 1 :]) * 1000 <= sum(ways) < sum(ways[most:]) * 1000
    assert most_by_chance(0) == 0


@pytest.mark.parametrize(
    ("members", "others", "beyond"), [(0, 0, False), (9, 0, False), (10, 0, True), (60, 50, False)]
)
def test_members_alone_are_beyond_chance_and_as_many_of_both_are_not(members: int, others: int, beyond: bool) -> None:
    assert Found(members, others, 0, 0).beyond_chance is beyond
    assert Found(0, 0, members, others).beyond_chance is beyond


def test_records_are_counted_once_each_where_all_their_numbers_are_there() -> None:
    records = np.random.default_rng(5).random((455, FEATURES), np.float32)
    within, beside = records[3] + np.float32(0.009), records[4].copy()
    beside[7] += 0.02
    candidates = np.stack([within, within, beside, records[MEMBERS], np.full(FEATURES, np.nan)])
    assert compared(candidates, records) == Found(1, 1, 2, 1)
