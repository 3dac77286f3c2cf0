"""Who gets what by a verdict: the table adds up, and the documents show it.

The contracts are played against it in tests/contracts/Payouts.t.sol.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.ports.agreement import Audit, AuditTerms, Outcome, Phase, Seat, Terms
from fitchain.pod.proof.audit.payouts import (
    AUDITED,
    DISPUTED,
    EVIDENCE_WITHHELD,
    KEY_WITHHELD,
    Goes,
    Payout,
    fee_per_seat,
    markdown,
    payout_of,
    sentence,
)
from fitchain.pod.proof.certificate.claims import REFUTING
from fitchain.pod.values.digest import ZERO, sha256
from fitchain.pod.values.ids import AgreementId, DatasetId, ModelId

ROOT = Path(__file__).parent.parent
ID = AgreementId(sha256(b"agreement"))
TERMS = Terms("", DatasetId(ZERO), ModelId(ZERO), ZERO, 100, 10, 4, 0, 0, 0, 0, 0)
ROWS = [*AUDITED.values(), *DISPUTED.values(), KEY_WITHHELD, EVIDENCE_WITHHELD]
amounts = st.integers(0, 10**24)


def audit(verdict: Outcome, disputed: bool = False) -> Audit:
    seats = tuple(Seat(number, "", True, False, True, True) for number in range(3))
    return Audit(ID, Phase.CONCLUDED, 0, verdict, disputed, 1, 0, 1, 1, 3, ZERO, seats)


@given(st.sampled_from(ROWS), st.booleans(), amounts, amounts, amounts, amounts, st.integers(0, 100), st.integers(0, 3))
def test_whatever_is_locked_is_paid_or_burned(
    row: Payout, disputed: bool, price: int, bond: int, fee: int, counter_bond: int, steps_done: int, paid: int
) -> None:
    seats = (0, 3) if disputed else (3, 0)
    agreed = AuditTerms(verifiers=seats[0], dispute_verifiers=seats[1], fee=fee, counter_bond=counter_bond)
    terms = replace(TERMS, price=price, bond=fee + bond, audit=agreed)
    found = row.amounts(terms, steps_done, paid)
    assert found.verifiers == paid * fee_per_seat(agreed)
    locked = price + fee + bond + fee + (counter_bond if disputed else 0)
    assert found.owner + found.scientist + found.verifiers + found.burned == locked
    assert min(found.owner, found.scientist, found.burned) >= 0


@pytest.mark.parametrize("table", [AUDITED, DISPUTED])
def test_every_verdict_has_a_row(table: dict[Outcome, Payout]) -> None:
    assert set(table) == set(Outcome) - {Outcome.NONE}


@pytest.mark.parametrize("row", ROWS)
def test_no_vote_is_paid_and_slashed(row: Payout) -> None:
    assert not row.paid & row.slashed


@pytest.mark.parametrize("table", [AUDITED, DISPUTED])
def test_the_owner_loses_its_bond_by_the_verdicts_that_refute_a_certificate(table: dict[Outcome, Payout]) -> None:
    assert {verdict for verdict, row in table.items() if row.bond is not Goes.OWNER} == set(REFUTING)


@pytest.mark.parametrize("disputed", [False, True])
def test_a_withheld_verdict_is_paid_by_what_was_withheld(disputed: bool) -> None:
    withheld = audit(Outcome.WITHHELD, disputed)
    assert payout_of(withheld, []) is EVIDENCE_WITHHELD
    assert payout_of(withheld, [Outcome.WITHHELD, Outcome.MATCH, Outcome.WITHHELD]) is AUDITED[Outcome.WITHHELD]
    assert payout_of(audit(Outcome.WITHHELD), [Outcome.MATCH] * 2) is KEY_WITHHELD


def test_a_row_reads_as_a_sentence() -> None:
    assert sentence(DISPUTED[Outcome.INCONCLUSIVE], disputed=True) == (
        "price the owner's; bond back; verifiers a fee each who voted Match or Mismatch; counter-bond back"
    )


def tables(document: Path) -> list[str]:
    return re.findall(r"^\| verdict \| price .*\n(?:\|.*\n)+", document.read_text(), re.M)


def test_documents_show_the_table() -> None:
    shown = {path.name: tables(path) for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}
    assert shown["audits.md"] == [markdown(disputed=False), markdown(disputed=True)]
    assert [table for found in shown.values() for table in found if table not in shown["audits.md"]] == []
