"""Whole audited jobs: a workshop whose dataset may be audited, a panel of verifiers with pods, and
examiners that do not do their work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.jobs import history
from fitchain.pod.parties.scientist import publish_model
from fitchain.pod.parties.verifier import Examination, examine
from fitchain.pod.ports.agreement import Audit, AuditTerms, Outcome, Phase
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import EnvironmentRefused
from fitchain.pod.values.ids import AgreementId, AuditRef, PanelId
from tests.chain_fixtures import ETHER
from tests.limits import LIMIT_S
from tests.pods import HOUR_S, Party, Workshop, module_file, offer_table
from tests.policies import open_policy

FEE, COUNTER_BOND = ETHER, 2 * ETHER
SEAT_STAKE = 20 * FEE
TENTH = SEAT_STAKE // 10
"""What a seat loses that joined and was absent."""
DAY_S = 86_400
PANEL = 5
"""Members of a panel: as many as a jury of three needs."""


def panel_of(creator: Chain, name: str, members: list[Party]) -> PanelId:
    """A panel of somebody's making that verifiers join; on contracts where an invitation is enough
    they stand there already."""
    id = Registry(creator).create_panel(name)
    Verifiers(creator).invite(id, [party.address for party in members])
    for party in members:
        if not party.home.verifiers.membership(id, party.address).stands:
            party.home.verifiers.join_panel(id)
    return id


def lazy(*args: Any) -> Examination:
    """Votes Match with a trace of its own making."""
    return replace(examine(*args), outcome=Outcome.MATCH, trace=sha256(b"no replay"))


def elsewhere(*args: Any) -> Examination:
    """Reproduces no class."""
    raise EnvironmentRefused("the probe gives something else here")


@dataclass(frozen=True)
class AuditedWorkshop:
    """A workshop whose dataset may be audited, and verifiers that have staked and form a panel."""

    workshop: Workshop
    verifiers: tuple[Party, ...]
    panel: PanelId

    def terms(self, **changes: Any) -> AuditTerms:
        """Terms of an audit by three of the panel."""
        settings: dict[str, Any] = {
            "drawn_segments": 2,
            "verifiers": 3,
            "mode": AuditMode.SAMPLED,
            "panel": self.panel,
            "window": HOUR_S,
            "wait": DAY_S,
            "fee_per_seat": FEE,
            "seat_stake": SEAT_STAKE,
        }
        return AuditTerms(**settings | changes)

    def disputable(self, **changes: Any) -> AuditTerms:
        """Terms without an audit, under which a dispute is heard by three of the panel."""
        return self.terms(verifiers=0, dispute_verifiers=3, counter_bond=COUNTER_BOND, **changes)

    def audit(self, id: AgreementId, ordinal: int = 0) -> Audit:
        """An audit as it stands."""
        return self.workshop.scientist.home.audits.read(AuditRef(id, ordinal))

    def until(self, reached: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
        """Wait until something is reached; what everybody said is in the error."""
        try:
            self.workshop.until(reached, limit_s)
        except AssertionError as late:
            said = "\n".join(line for party in self.verifiers for line in (party.side.name, *party.said[-8:]))
            raise AssertionError(f"{late}\n{said}") from None

    def until_phase(self, id: AgreementId, phase: Phase, ordinal: int = 0, round: int = 0) -> Audit:
        """Wait until an audit stands where it should; the audit."""
        self.until(lambda: (self.audit(id, ordinal).phase, self.audit(id, ordinal).round) == (phase, round))
        return self.audit(id, ordinal)

    def until_wiped(self, id: AgreementId, *parties: Party, ordinal: int = 0) -> None:
        """Wait until verifiers are through with an audit."""
        for party in parties:
            self.until(partial(party.home.journal.happened, AuditRef(id, ordinal), history.Wiped))

    def owed(self) -> list[int]:
        """What owner and scientist could withdraw."""
        parties = self.workshop.owner, self.workshop.scientist
        return [party.home.agreements.owed(party.address) for party in parties]

    def stakes(self) -> dict[str, int]:
        """The stakes of the verifiers, by address."""
        calls = self.workshop.scientist.home.verifiers
        return {account.address: account.stake for account in calls.verifiers([one.address for one in self.verifiers])}

    def lost_since(self, before: dict[str, int]) -> dict[str, int]:
        """What verifiers have lost since then, by address."""
        return {address: before[address] - have for address, have in self.stakes().items() if have != before[address]}

    def free(self) -> bool:
        """Whether no seat has any stake reserved."""
        calls = self.workshop.scientist.home.verifiers
        return not any(account.locked for account in calls.verifiers([one.address for one in self.verifiers]))

    def undecided(self) -> list[AuditRef]:
        """The audits of all agreements whose votes are still to come: time that passes makes
        absent who joined them."""
        home = self.workshop.scientist.home
        opened = home.chain.events("Audits", "AuditOpened")
        refs = [AuditRef(AgreementId(event.args["id"]), event.args["ordinal"]) for event in opened]
        return [ref for ref in refs if home.audits.read(ref).phase < Phase.MATCHED]

    def seated(self, id: AgreementId, ordinal: int = 0) -> list[Party]:
        """Who is drawn to or sits in the seats of an audit, by seat."""
        by_address = {party.address: party for party in self.verifiers}
        return [by_address[seat.verifier] for seat in self.audit(id, ordinal).seats if seat.verifier]

    def others(self, *parties: Party) -> list[Party]:
        """The panel's other members."""
        return [party for party in self.verifiers if party not in parties]

    def names(self, id: AgreementId) -> list[str]:
        """The chain's events of an agreement."""
        return [event.name for event in self.workshop.owner.home.agreements.events(id)]


def changed(before: list[int], after: list[int]) -> list[int]:
    """How much each of several amounts grew."""
    return [have - had for had, have in zip(before, after, strict=True)]


AUDITABLE: dict[str, Any] = {
    "manual_approval": False,
    "disclosure_mode": AuditMode.SAMPLED,
    "disclosure_cap": None,
}
"""The policy of a dataset that verifiers of the panels which it names may see."""


def audited_by(workshop: Workshop, verifiers: Sequence[Party], table: Path, **offer: Any) -> AuditedWorkshop:
    """Let a workshop's owner offer its table once more, to be audited by a panel of these
    verifiers; `offer` as `offer_table` takes it."""
    home = workshop.scientist.home
    panel = panel_of(home.chain, "neighbours", list(verifiers))
    policy = open_policy(panels=(str(panel),), **AUDITABLE)
    dataset = offer_table(workshop.owner, table, policy=policy, **offer)
    model = publish_model(home, module_file(home.settings.home), dataset.id, name="Tiny")
    return AuditedWorkshop(replace(workshop, dataset=dataset, model=model), tuple(verifiers), panel)


@pytest.fixture(scope="module")
def audited(workshop: Workshop, table_path: Path, open_verifier: Callable[[str], Party]) -> AuditedWorkshop:
    return audited_by(workshop, [open_verifier(f"verifier-{number}") for number in range(PANEL)], table_path)
