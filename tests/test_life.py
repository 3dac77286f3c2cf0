"""A job's history out of what the chain tells: no line of what another account sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from fitchain.pod.jobs.life import verifiers_life
from fitchain.pod.ports.agreement import Agreements, Outcome
from fitchain.pod.values.ids import AgreementId, AuditRef
from tests.audit_actors import plain_vote
from tests.audit_scenario import AuditScenario


def lived(scenario: AuditScenario, address: str, id: AgreementId) -> list[str]:
    """What a verifier's history says of its seat, by the chain."""
    home: Any = SimpleNamespace(keys=SimpleNamespace(address=address))
    events = Agreements(scenario.parties.owner.chain).events(id)
    return [entry.kind for _, entry, _, _ in verifiers_life(home, AuditRef(id), events)]


def test_who_gave_its_seat_back_has_no_vote_of_whoever_took_it(scenario: AuditScenario) -> None:
    id = scenario.ended()
    gone, *_ = scenario.drawn(id)
    gone.decline()
    scenario.staff.join(scenario.parties.owner.chain, id)
    seats = scenario.seated(id)
    scenario.vote(id, [plain_vote(Outcome.MISMATCH)] * len(seats))
    assert lived(scenario, gone.account.address, id) == ["drawn", "declined"]
    assert lived(scenario, seats[0].account.address, id) == ["drawn", "joined", "committed", "revealed"]
