"""Every attack of the registry is caught as its row says; and a draw finds fakes as often as the
formula says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from math import comb
from pathlib import Path

import pytest

from fitchain.pod.proof.audit.vote import Outcome
from scripts.mutation.forge_copy import Fate, ForgeCopy
from scripts.mutation.rules import RULES
from tests.attacks import detection
from tests.attacks.attack import Attack, first_of_its_catcher
from tests.attacks.attack_lab import AttackLab
from tests.attacks.observed import OBSERVED
from tests.attacks.on_forge import FORGE_ATTACKS, ForgeAttack
from tests.attacks.pod_rules import PodRule
from tests.attacks.rows import ATTACKS, UNCAUGHT, WITH_PODS
from tests.speeds import long_unless, nightly_unless

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "trust.md"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackLab]:
    made = AttackLab(tmp_path_factory.mktemp("lab"), processes=False)
    yield made
    made.close()


IN_ROWS = [attack for attack in ATTACKS if attack not in WITH_PODS]
"""What pods play stands in test_with_pods.py, so that another process may play it meanwhile."""
ON_RULES = [attack for attack in IN_ROWS if attack.rule]


@pytest.mark.parametrize("attack", long_unless(first_of_its_catcher(IN_ROWS), IN_ROWS), ids=lambda attack: attack.name)
def test_is_caught_as_its_row_says(lab: AttackLab, attack: Attack) -> None:
    assert attack.differs(attack.play(lab)) == ""


@pytest.mark.parametrize(
    "attack", nightly_unless(first_of_its_catcher(ON_RULES), ON_RULES), ids=lambda attack: attack.name
)
def test_succeeds_without_its_rule(lab: AttackLab, attack: Attack) -> None:
    assert isinstance(attack.rule, PodRule)
    with attack.rule.taken_out():
        played = attack.play(lab)
    assert attack.succeeds(played), played.says


@pytest.mark.long
@pytest.mark.parametrize("attack", UNCAUGHT, ids=lambda attack: attack.name)
def test_what_is_not_caught_ends_as_its_row_says(lab: AttackLab, attack: Attack) -> None:
    assert attack.differs(attack.play(lab)) == ""


@pytest.mark.parametrize("attack", FORGE_ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_on_the_contracts_names_the_rule_on_which_it_rests(attack: ForgeAttack) -> None:
    rule = next(rule for rule in RULES if rule.name == attack.rule)
    assert attack.test.partition(".")[0] in rule.tests.split("|")


@pytest.fixture(scope="module")
def forge_copy() -> Iterator[ForgeCopy]:
    with ForgeCopy.made() as copy:
        yield copy


@pytest.mark.nightly
@pytest.mark.parametrize("attack", FORGE_ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_on_the_contracts_is_caught_by_its_rule(forge_copy: ForgeCopy, attack: ForgeAttack) -> None:
    rule = next(rule for rule in RULES if rule.name == attack.rule)
    contract, _, test = attack.test.partition(".")
    assert forge_copy.fate(rule.source, rule.broken(), contract, test) is Fate.NOTICED


def test_honest_job_matches(lab: AttackLab) -> None:
    found = lab.examine(lab.honest)
    assert (found.outcome, found.problems) == (Outcome.MATCH, ())


def test_every_attack_has_a_name_of_its_own() -> None:
    names = [attack.name for attack in (*ATTACKS, *UNCAUGHT)]
    assert len(set(names)) == len(names)


def row_of(attack: Attack) -> str:
    """An attack as docs/trust.md shows it."""
    caught = attack.caught
    found = f"{float(detection.of_attack(caught.faked).chance):.0%}" if caught.faked else attack.found or "always"
    return f"| {attack.name} | {attack.tried} | {caught.by} | {caught.step} | {found} |"


def test_document_shows_exactly_the_attacks() -> None:
    section = DOCUMENT.read_text().partition("\n## Attacks\n")[2].partition("\n## ")[0]
    caught, _, uncaught = section.partition("\n### What is not caught\n")
    assert rows_in(caught) == [row_of(attack) for attack in ATTACKS]
    assert rows_in(uncaught) == [f"| {each.name} | {each.tried} | {each.caught.says} |" for each in UNCAUGHT]


def rows_in(section: str) -> list[str]:
    """The rows of a section's table."""
    return re.findall(r"^\| (?!attack |# |---).*$", section, re.MULTILINE)


RULED = {attack.name for attack in ATTACKS if attack.rule} | {attack.name for attack in FORGE_ATTACKS}


def test_what_was_observed_is_played_and_rests_on_a_rule_that_is_taken_out() -> None:
    assert {each.number for each in OBSERVED} == set(range(1, 16))
    assert [name for each in OBSERVED for name in each.attacks if name not in RULED] == []
    assert all(each.attacks for each in OBSERVED)


def test_document_names_what_was_observed_and_its_rules() -> None:
    section = DOCUMENT.read_text().partition("\n## The rule behind each attack\n")[2].partition("\n## ")[0]
    assert rows_in(section) == [str(each) for each in OBSERVED]


# Detection


@pytest.mark.parametrize("rate", detection.table(), ids=lambda rate: f"{rate.faked} of {rate.segments}, q={rate.drawn}")
def test_draws_find_fakes_as_often_as_the_formula_says(rate: detection.Rate) -> None:
    assert rate.holds, f"{rate.hits} of {detection.DRAWS} draws, and the interval is {rate.low} to {rate.high}"


FAKED = {attack.name: attack.caught.faked for attack in ATTACKS if attack.caught.faked}


@pytest.mark.parametrize("faked", FAKED.values(), ids=FAKED)
def test_draws_find_an_attack_as_often_as_the_formula_says(faked: tuple[int, ...]) -> None:
    assert detection.of_attack(faked).holds


def test_interval_holds_its_share_and_no_less() -> None:
    low, high = detection.interval(1000, Fraction(1, 3))
    mass = [comb(1000, hits) * Fraction(1, 3) ** hits * Fraction(2, 3) ** (1000 - hits) for hits in range(1001)]
    assert sum(mass[:low]) <= Fraction(1, 200) < sum(mass[: low + 1])
    assert sum(mass[high + 1 :]) <= Fraction(1, 200) < sum(mass[high:])
