"""What attacks that pods play have in common: stakes before and after, verdicts in words, and
verifiers that do not do their work."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitchain.pod.jobs.exchange import fetch_folder
from fitchain.pod.parties.verifier import Examination
from fitchain.pod.parties.verifier.examine import EVIDENCE
from fitchain.pod.ports.agreement import Outcome, Phase
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.evidence import Evidence, files_of
from fitchain.pod.proof.audit.vote import trace_digest
from fitchain.pod.values import limits
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import AccessRefused, InputRefused, StoreUnusable
from fitchain.pod.values.ids import AgreementId
from tests.attacks.attack_lab import MONEY_OF, AttackLab
from tests.audited_workshop import AuditedWorkshop
from tests.chain_fixtures import ETHER
from tests.pods import Party


@dataclass(frozen=True)
class Stakes:
    """What verifiers had at stake before an attack.

    Args:
        lab: where it is played.
        before: by account, in base units.
    """

    lab: AttackLab
    before: dict[str, int]

    @classmethod
    def of(cls, lab: AttackLab, *parties: Party) -> Stakes:
        """What they have now."""
        return cls(lab, cls._read(lab, parties))

    @staticmethod
    def _read(lab: AttackLab, parties: tuple[Party, ...]) -> dict[str, int]:
        calls = lab.audited.workshop.scientist.home.verifiers
        return {account.address: account.stake for account in calls.verifiers([party.address for party in parties])}

    def lost(self, *parties: Party) -> str:
        """What parties have lost since, all together, in words."""
        now = self._read(self.lab, parties)
        return f"{sum(self.before[party.address] - now[party.address] for party in parties) / ETHER:g} FIT"


def ruling(audited: AuditedWorkshop, id: AgreementId) -> str:
    """The verdict, and where bond and price went, in words."""
    words = audited.audit(id).verdict.name.title()
    state = audited.workshop.scientist.state(id)
    return f"{words}; {MONEY_OF[state]}" if state in MONEY_OF else words


def until_concluded(audited: AuditedWorkshop, id: AgreementId) -> None:
    """Wait until an audit is over."""
    audited.until(lambda: audited.audit(id).phase is Phase.CONCLUDED)


def decided(audited: AuditedWorkshop, id: AgreementId) -> bool:
    """Whether there is a verdict."""
    return audited.audit(id).verdict is not Outcome.NONE


def fresh(name: str) -> str:
    """A name that no panel has yet."""
    return f"{name} {os.urandom(4).hex()}"


def said(party: Party, id: AgreementId, text: str) -> bool:
    """Whether a pod said something about a job."""
    return any(line.startswith(id.short) and text in line for line in party.said)


def holders(audited: AuditedWorkshop, id: AgreementId) -> list[str]:
    """Who is drawn to the seats of an audit."""
    return [seat.verifier for seat in audited.audit(id).seats if seat.verifier]


# Votes without a look


def constant(outcome: Outcome, state: Callable[[ChainRecord], Digest]) -> Callable[..., Examination]:
    """An examiner that looks at nothing: it votes the trace of states that all are one, which its
    friends come to likewise."""

    def examiner(
        store: Any, cid: Any, identity: Any, chain_record: ChainRecord, folder: Path, *rest: Any
    ) -> Examination:
        states = [state(chain_record)] * len(chain_record.audited)
        return Examination(outcome, trace_digest(chain_record.audit, chain_record.round, states))

    return examiner


FOCAL = constant(Outcome.MISMATCH, lambda chain_record: ZERO)
"""Votes with whoever does not look either, without a word between them."""
FRAMING = constant(Outcome.MISMATCH, lambda chain_record: chain_record.seed)
"""Votes with its friends."""


def agreed(store: Any, cid: Any, identity: str, chain_record: ChainRecord, folder: Path, *rest: Any) -> Examination:
    """Opens the evidence, for who votes Match keeps the job's identity, and votes Match with its
    friends."""
    try:
        fetch_folder(store, cid, folder / EVIDENCE, files_of(chain_record.audited), identity, limits.EVIDENCE)
        Evidence.read(folder / EVIDENCE)
    except (AccessRefused, InputRefused):
        return Examination(Outcome.WITHHELD, ZERO)
    return constant(Outcome.MATCH, lambda record: record.seed)(store, cid, identity, chain_record, folder)


def unfinished(*args: Any) -> Examination:
    """Train and train, and have nothing to say yet."""
    raise StoreUnusable("the replay is not done yet")
