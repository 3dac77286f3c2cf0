"""Every attack that pods play is caught as its row says, and succeeds where its rule is taken out:
of the pods, in this process; of the contracts, on a chain that has others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.mutation.rules import Rule
from tests.attacks.attack import Attack, first_of_its_catcher
from tests.attacks.attack_lab import AttackLab
from tests.attacks.pod_rules import PodRule
from tests.attacks.rows import WITH_PODS
from tests.speeds import nightly_unless


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackLab]:
    made = AttackLab(tmp_path_factory.mktemp("lab"), processes=False)
    yield made
    made.close()


OF_PODS = [attack for attack in WITH_PODS if isinstance(attack.rule, PodRule)]
OF_CONTRACTS = [attack for attack in WITH_PODS if isinstance(attack.rule, Rule)]


def test_each_rests_on_a_rule() -> None:
    assert [*OF_PODS, *OF_CONTRACTS] and len(OF_PODS) + len(OF_CONTRACTS) == len(WITH_PODS)


@pytest.mark.long
@pytest.mark.parametrize("attack", WITH_PODS, ids=lambda attack: attack.name)
def test_is_caught_as_its_row_says(lab: AttackLab, attack: Attack) -> None:
    assert attack.differs(attack.play(lab)) == ""


@pytest.mark.parametrize(
    "attack", nightly_unless(first_of_its_catcher(OF_PODS), OF_PODS), ids=lambda attack: attack.name
)
def test_succeeds_on_pods_without_its_rule(lab: AttackLab, attack: Attack) -> None:
    assert isinstance(attack.rule, PodRule)
    with attack.rule.taken_out():
        played = attack.play(lab)
    assert attack.succeeds(played), played.says


@pytest.mark.nightly
@pytest.mark.parametrize("attack", OF_CONTRACTS, ids=lambda attack: attack.name)
def test_succeeds_on_contracts_without_its_rule(tmp_path: Path, attack: Attack) -> None:
    assert isinstance(attack.rule, Rule)
    lab = AttackLab(tmp_path, processes=False, without=attack.rule)
    try:
        played = attack.play(lab)
    finally:
        lab.close()
    assert attack.succeeds(played), played.says
