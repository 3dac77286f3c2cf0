"""A verifier that follows the rules never loses stake: audits with real pods, replays and evidence,
in which one seat of three is dishonest at random, and so is the owner.

Forge plays a thousand with made-up votes (tests/contracts/Honest.t.sol). One training serves all
of these: each is another audit of it. Who is dishonest in which, and how, is the same in every run;
who sits where is the chain's draw.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pytest

from fitchain.pod.jobs.turns import Turns
from fitchain.pod.parties import asker
from fitchain.pod.parties.asker import Question
from fitchain.pod.parties.owner import answer, evidence
from fitchain.pod.parties.owner.evidence import build_evidence
from fitchain.pod.parties.verifier import Examination, Verifier, examine
from fitchain.pod.ports.agreement import Audit, Outcome, Phase
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.evidence import write_evidence
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.ids import AgreementId, AuditRef
from tests.attacks import cheats
from tests.attacks.pod_stage import FRAMING, agreed, unfinished
from tests.audited_workshop import FEE, AuditedWorkshop, elsewhere
from tests.limits import LIMIT_S
from tests.pods import HOUR_S, Party, owner_runs, running, scientist_runs

AT_ONCE, SEED = 4, 2117
LOOK_S = 0.3
"""So many pods that look more often leave their replays too little of the processor."""
SILENT = "says nothing"
EXAMINERS: dict[str, Callable[..., Examination]] = {
    "says Match without a replay": agreed,
    "says Mismatch without a look": FRAMING,
    "says Withheld without a look": lambda *args: Examination(Outcome.WITHHELD, ZERO),
    "says that it cannot judge": elsewhere,
    SILENT: unfinished,
}
Spoil = Callable[[Path, ChainRecord], object]
EVIDENCE: dict[str, Spoil] = {
    "an honest owner": lambda place, chain_record: None,
    "one more honest owner": lambda place, chain_record: None,
    "another state": lambda place, chain_record: cheats.other_state_file(place, chain_record.audited[-1], "weight"),
    "another leaf's path": lambda place, chain_record: cheats.other_path(place),
    "other metrics": lambda place, chain_record: cheats.other_metrics(place),
    "a file left out": lambda place, chain_record: (place / "records.bin").write_bytes(b""),
}
SEALED_TO_FEWER = "evidence that one seat cannot open"


@dataclass(frozen=True)
class Cast:
    """Who is dishonest in an audit, and how.

    Args:
        seat: the dishonest one; None: all are honest.
        conduct: what it does, of `EXAMINERS`.
        owner: what its owner does, of `EVIDENCE`, or `SEALED_TO_FEWER`.
    """

    seat: int | None
    conduct: str
    owner: str

    @classmethod
    def of(cls, ref: AuditRef) -> Cast:
        """That of an audit, by its ordinal alone."""
        dice = Random(f"{SEED}/{ref.ordinal}")
        return cls(
            dice.choice((0, 1, 2, 0, 1, 2, None)),
            dice.choice(list(EXAMINERS)),
            dice.choice([*EVIDENCE, SEALED_TO_FEWER]),
        )

    def awaited(self, audit: Audit) -> bool:
        """Whether nobody but its silent seat has yet to vote."""
        missing = [seat.number for seat in audit.seats if seat.joined and not seat.committed]
        silent = self.conduct == SILENT and audit.phase is Phase.COMMITTING
        return silent and missing == [self.seat]


def acting(party: Party) -> Callable[..., Examination]:
    """Examines as the audit's cast says of the seat that the party has."""

    def examiner(store: Any, cid: Any, identity: str, chain_record: ChainRecord, *rest: Any) -> Examination:
        cast, seat = Cast.of(chain_record.ref), party.home.audits.read(chain_record.ref).seat_of(party.address)
        dishonest = seat is not None and seat.number == cast.seat
        return (EXAMINERS[cast.conduct] if dishonest else examine)(store, cid, identity, chain_record, *rest)

    return examiner


@contextmanager
def dishonest_owner() -> Iterator[None]:
    """Let the owner's pod make evidence as the audit's cast says."""

    def written(job: Path, target: Path, chain_record: ChainRecord, *rest: Any) -> tuple[str, ...]:
        names = write_evidence(job, target, chain_record, *rest)
        if (spoil := EVIDENCE.get(Cast.of(chain_record.ref).owner)) is not None:
            spoil(target, chain_record)
        return names

    def built(home: Any, store: Any, audit: Audit, recipients: Any) -> Any:
        fewer = Cast.of(audit.ref).owner == SEALED_TO_FEWER
        return build_evidence(home, store, audit, recipients[1:] if fewer else recipients)

    with patch.object(evidence, "write_evidence", written), patch.object(answer, "build_evidence", built):
        yield


@contextmanager
def everybody(audited: AuditedWorkshop) -> Iterator[None]:
    """Run the owner's pod and all verifiers', each as it is cast."""
    with ExitStack() as stack:
        stack.enter_context(dishonest_owner())
        stack.enter_context(owner_runs(audited.workshop.owner))
        for party in audited.verifiers:
            how: dict[str, Any] = {"look_s": LOOK_S, "retry_s": 0.2, "turn_s": 0, "final_blocks": 0}
            stack.enter_context(running(Verifier(party.home, party.say, examiner=acting(party), **how)))
        yield


@pytest.fixture(scope="module")
def settled(audited: AuditedWorkshop) -> AgreementId:
    """A job that nobody audited yet."""
    with owner_runs(audited.workshop.owner), scientist_runs(audited.workshop.scientist):
        id = audited.workshop.request()
        audited.until(audited.workshop.owner.has(id, "wiped"))
    return id


def conclude(audited: AuditedWorkshop, stranger: Party, refs: list[AuditRef], pass_time: Callable[[int], None]) -> None:
    """Follow audits until each has a verdict; time passes once all that are left wait for who is
    silent."""
    turns, deadline, left = Turns(stranger.home, 0), time.monotonic() + LIMIT_S, list(refs)
    while left:
        assert time.monotonic() < deadline, "\n".join(line for party in audited.verifiers for line in party.said[-6:])
        left = [ref for ref in left if not asker.follow(stranger.home, turns, ref, stranger.said.append).over]
        if left and all(Cast.of(ref).awaited(stranger.home.audits.read(ref)) for ref in left):
            pass_time(HOUR_S + 1)
        time.sleep(0.1)


def liars(audited: AuditedWorkshop, ref: AuditRef) -> set[str]:
    """Who sat in the dishonest seat of an audit, in any of its votes."""
    events = audited.workshop.owner.home.audits.events(ref)
    joined = [event.args for event in events if event.name == "Joined"]
    return {args["verifier"] for args in joined if args["seat"] == Cast.of(ref).seat}


@pytest.mark.timeout(5 * LIMIT_S)
@pytest.mark.parametrize(
    "audits", [pytest.param(8, marks=pytest.mark.long), pytest.param(20, marks=pytest.mark.nightly)]
)
def test_who_follows_the_rules_never_loses_stake(
    audited: AuditedWorkshop,
    settled: AgreementId,
    open_party: Callable[..., Party],
    pass_time: Callable[[int], None],
    audits: int,
) -> None:
    stranger, calls, stakes = open_party("stranger"), audited.workshop.owner.home.audits, audited.stakes()
    refs: list[AuditRef] = []
    with everybody(audited):
        for _ in range(audits // AT_ONCE):
            batch = []
            for drawn in range(AT_ONCE):
                asked = Question(audited.panel, drawn_segments=drawn, fee_per_seat=FEE, window=HOUR_S)
                terms = asker.terms_of(stranger.home, settled, asked)
                batch.append(asker.ask_again(stranger.home, settled, terms))
            conclude(audited, stranger, batch, pass_time)
            refs += batch
    penalties = {ref: calls.penalties(ref) for ref in refs}
    for ref, lost in penalties.items():
        assert set(lost) <= liars(audited, ref), f"{ref}: {Cast.of(ref)} {calls.read(ref).verdict.name}"
    assert sum(audited.lost_since(stakes).values()) == sum(sum(lost.values()) for lost in penalties.values()) > 0
    verdicts = [calls.read(ref).verdict for ref in refs]
    assert len(set(refs)) == audits and {Outcome.MATCH, Outcome.MISMATCH, Outcome.WITHHELD} <= set(verdicts)
