"""Who gets what by a verdict: the table adds up, and the documents show it.

The contracts' library is compared with it in tests/contracts/Payouts.t.sol.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.ports.agreement import Audit, AuditKind, AuditTerms, Outcome, Phase, Seat, Terms
from fitchain.pod.proof.audit.payouts import (
    AGAIN,
    ANSWERED,
    AUDITED,
    DEADLINE_MISSED,
    DISPUTED,
    GIVEN_BACK,
    KEY_WITHHELD,
    UNDISPUTED,
    Amounts,
    Escrow,
    Goes,
    Payout,
    markdown,
    payout_of,
    payouts,
    sentence,
)
from fitchain.pod.proof.certificate.assurance import REFUTING
from fitchain.pod.values.digest import ZERO, Root, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import AgreementId, AuditRef, DatasetId, ModelId

ROOT = Path(__file__).parent.parent
ID = AgreementId(sha256(b"agreement"))
NOWHERE = Root(ZERO)
TERMS = Terms("", DatasetId(ZERO), NOWHERE, ModelId(ZERO), NOWHERE, ZERO, ZERO, 100, 10, 4, 0, 0, 0, 0, 0, 0, 0, 0)
ROWS = [
    *AUDITED.values(),
    *DISPUTED.values(),
    *AGAIN.values(),
    ANSWERED,
    KEY_WITHHELD,
    DEADLINE_MISSED,
    UNDISPUTED,
    GIVEN_BACK,
]
ESCROW = Escrow(price=101, bond=301, seats=3, fee=30, counter_bond=51)
amounts = st.integers(0, 10**24)
seats = st.sampled_from((1, 3, 5, 15))


def audit(verdict: Outcome, kind: AuditKind = AuditKind.FIRST) -> Audit:
    taken = tuple(Seat(number, "", True, True, True, False) for number in range(3))
    ordinal = 1 if kind is AuditKind.AGAIN else 0
    return Audit(
        ref=AuditRef(ID, ordinal),
        phase=Phase.CONCLUDED,
        kind=kind,
        verdict=verdict,
        round=0,
        window=600,
        deadline=1,
        wait_deadline=1,
        opened_block=1,
        opening=1,
        audited=3,
        fee_per_seat=1,
        seat_stake=20,
        seed=ZERO,
        withheld_before=False,
        segments_fixed=True,
        complained=False,
        submitted=True,
        exhausted=False,
        seats=taken,
    )


@given(st.sampled_from(ROWS), seats, amounts, amounts, amounts, amounts, st.data())
def test_whatever_is_locked_is_paid_or_burned(
    row: Payout, seats: int, price: int, spare: int, fee: int, counter_bond: int, data: st.DataObject
) -> None:
    escrow = Escrow(price, seats * fee + spare, seats, fee, counter_bond)
    voted = data.draw(st.integers(0, seats)) if row.paid else 0
    paid = data.draw(st.integers(0, voted))
    found = row.amounts(escrow, paid, voted)
    assert found.verifiers == paid * fee
    assert found.owner + found.scientist + found.verifiers + found.burned == escrow.whole
    assert min(found.owner, found.scientist, found.burned) >= 0


@pytest.mark.parametrize("kind", AuditKind)
def test_every_verdict_has_a_row(kind: AuditKind) -> None:
    assert set(payouts(kind)) == set(Outcome) - {Outcome.NONE}


@pytest.mark.parametrize("kind", AuditKind)
def test_paid_is_the_vote_that_is_the_verdict_and_no_vote_without_a_replay(kind: AuditKind) -> None:
    for verdict, row in payouts(kind).items():
        assert row.paid == (verdict if verdict in (Outcome.MATCH, Outcome.MISMATCH) else None)


@pytest.mark.parametrize("kind", [AuditKind.FIRST, AuditKind.DISPUTE])
def test_the_owner_loses_its_bond_by_the_verdicts_that_refute_a_certificate(kind: AuditKind) -> None:
    assert {verdict for verdict, row in payouts(kind).items() if row.bond is not Goes.OWNER} == set(REFUTING)


@pytest.mark.parametrize("verdict", AGAIN)
def test_another_audit_moves_no_money_of_the_first(verdict: Outcome) -> None:
    escrow = Escrow.of_another_audit(AuditTerms(verifiers=3, fee_per_seat=30))
    paid = 2 if AGAIN[verdict].paid else 0
    assert AGAIN[verdict].amounts(escrow, paid) == Amounts(0, 90 - 30 * paid, 30 * paid, 0)


def test_a_match_pays_who_released_and_burns_what_a_complaint_cost() -> None:
    assert AUDITED[Outcome.MATCH].amounts(replace(ESCROW, counter_bond=0), paid=1, voted=2) == Amounts(402, 30, 30, 30)


def test_fees_of_a_mismatch_come_out_of_the_bond() -> None:
    assert DISPUTED[Outcome.MISMATCH].amounts(ESCROW, paid=3) == Amounts(0, 101 + 90 + 51 + 105, 90, 106)


def test_a_dispute_without_quorum_halves_the_price_and_gives_the_rest_back() -> None:
    assert DISPUTED[Outcome.INCONCLUSIVE].amounts(ESCROW) == Amounts(301 + 50, 51 + 90 + 51, 0, 0)


def test_an_earlier_complaint_that_a_seat_answers_returns_the_counter_bond() -> None:
    lost, back = (row.amounts(ESCROW, paid=3) for row in (DISPUTED[Outcome.MATCH], ANSWERED))
    assert (back.scientist - lost.scientist, lost.owner - back.owner, lost.burned - back.burned) == (51, 25, 26)


def test_nobody_gains_who_is_owner_and_scientist_in_one() -> None:
    for row in (DEADLINE_MISSED, KEY_WITHHELD, AUDITED[Outcome.MISMATCH], AUDITED[Outcome.WITHHELD]):
        found = row.amounts(ESCROW, paid=2 if row.paid else 0)
        assert found.owner + found.scientist < ESCROW.whole


@pytest.mark.parametrize(("paid", "voted"), [(2, 1), (4, 4), (1, 4), (-1, 0)])
def test_more_seats_than_there_are_cannot_be_paid(paid: int, voted: int) -> None:
    with pytest.raises(InputRefused, match="cannot be paid"):
        AUDITED[Outcome.MATCH].amounts(ESCROW, paid, voted)


def test_nobody_is_paid_where_the_table_names_nobody() -> None:
    with pytest.raises(InputRefused, match="cannot be paid"):
        AUDITED[Outcome.WITHHELD].amounts(ESCROW, paid=1)


def test_what_a_job_locks() -> None:
    audited = replace(TERMS, price=100, bond=300, audit=AuditTerms(verifiers=3, fee_per_seat=7, counter_bond=9))
    assert Escrow.of_job(audited, steps_done=33) == Escrow(33, 300, 3, 7, 0)
    silent = replace(audited, audit=replace(audited.audit, verifiers=0, dispute_verifiers=5))
    assert Escrow.of_job(silent) == Escrow(100, 300, 0, 7, 0)
    assert Escrow.of_job(silent, disputed=True) == Escrow(100, 300, 5, 7, 9)


def test_a_withheld_verdict_is_paid_by_what_was_withheld() -> None:
    matched = [Outcome.MATCH] * 2
    assert payout_of(audit(Outcome.WITHHELD), matched) is KEY_WITHHELD
    assert payout_of(audit(Outcome.WITHHELD, AuditKind.DISPUTE), matched) is KEY_WITHHELD
    for kind in AuditKind:
        assert payout_of(audit(Outcome.WITHHELD, kind), []) is payouts(kind)[Outcome.WITHHELD]
        mixed = [Outcome.WITHHELD, Outcome.MATCH, Outcome.WITHHELD]
        assert payout_of(audit(Outcome.WITHHELD, kind), mixed) is payouts(kind)[Outcome.WITHHELD]


def test_a_row_reads_as_a_sentence() -> None:
    assert sentence(DISPUTED[Outcome.INCONCLUSIVE], AuditKind.DISPUTE) == (
        "price half to the owner, half back to the scientist; bond back; "
        "verifiers nobody; the fees back to the scientist; counter-bond back"
    )
    assert sentence(AGAIN[Outcome.MATCH], AuditKind.AGAIN) == (
        "verifiers a fee each who voted Match; the rest back to the asker"
    )


def tables(document: Path) -> list[str]:
    return re.findall(r"^\| verdict \| (?:price|verifiers) .*\n(?:\|.*\n)+", document.read_text(), re.M)


def test_documents_show_the_table() -> None:
    shown = {path.name: tables(path) for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}
    assert shown["audits.md"] == [markdown(kind) for kind in AuditKind]
    assert [table for found in shown.values() for table in found if table not in shown["audits.md"]] == []
