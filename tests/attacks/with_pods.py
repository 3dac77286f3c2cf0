"""Attacks that real pods play and withstand: owner, scientist and verifiers on a real chain, each
replay in a process of its own.

Each row names the rule on which it rests, of the contracts or of the pods, and what happens without
it; test_rows.py takes it out and plays again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fitchain.pod.jobs.exchange import fetch_folder
from fitchain.pod.parties.owner import approve, reject
from fitchain.pod.parties.scientist import delivery
from fitchain.pod.parties.verifier import ConsentPolicy, Examination, examine
from fitchain.pod.parties.verifier.examine import EVIDENCE
from fitchain.pod.ports.agreement import Outcome, Phase, State
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.evidence import Evidence, files_of
from fitchain.pod.proof.audit.pace import Pace
from fitchain.pod.proof.audit.vote import trace_digest
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import AccessRefused, InputRefused, NotFound, StoreUnusable
from fitchain.pod.values.ids import AgreementId, AuditRef
from scripts.mutation.rules import RULES, Rule
from tests.attacks import pod_rules
from tests.attacks.attack_lab import MONEY_OF, AttackLab, Caught
from tests.attacks.on_chain import CONTRACT, DEADLINE, DRAW, RELEASE
from tests.attacks.pod_rules import PodRule
from tests.audited_workshop import AuditedWorkshop, lazy, panel_of
from tests.chain_fixtures import ETHER
from tests.pods import HOUR_S, Party, owner_runs, scientist_runs, verifier_runs

POLICY, CONSENT = "owner's policy", "verifier's consent"
SLOW_STEP_S = 1000.0
"""Seconds of a step on a host that could not replay a job of twelve steps within an hour."""


@dataclass(frozen=True)
class PodAttack:
    """An attack that pods play.

    Args:
        name: what it is called, also in docs/trust.md.
        tried: how it is tried.
        caught: what catches it, where, and how it ends.
        play: plays it; what really caught it.
        rule: on which it rests, of `scripts.mutation.rules` or of `pod_rules`.
        without: how it ends without that rule.
    """

    name: str
    tried: str
    caught: Caught
    play: Callable[[AttackLab], Caught]
    rule: Rule | PodRule
    without: str


def contracts(name: str) -> Rule:
    """A rule of the contracts by its name."""
    return next(rule for rule in RULES if rule.name == name)


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
        fetch_folder(store, cid, folder / EVIDENCE, files_of(chain_record.audited), identity)
        Evidence.read(folder / EVIDENCE)
    except (AccessRefused, InputRefused):
        return Examination(Outcome.WITHHELD, ZERO)
    return constant(Outcome.MATCH, lambda record: record.seed)(store, cid, identity, chain_record, folder)


def two_that_never_look(lab: AttackLab) -> Caught:
    """Two of three vote Mismatch with the trace of zeros, against an honest owner and an honest
    third."""
    audited = lab.audited
    workshop, stakes = audited.workshop, Stakes.of(lab, *audited.verifiers)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        id = workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.JOINING)
        honest, *blind = audited.seated(id)
        with verifier_runs(honest, *audited.others(honest, *blind)), verifier_runs(*blind, examiner=FOCAL):
            audited.until(honest.has(id, "revealed"))
            refused = partial(said, id=id, text="TraceTakesNoReplay")
            audited.until(lambda: decided(audited, id) or all(map(refused, blind)))
            if by_contract := not decided(audited, id):
                lab.pass_time(HOUR_S + 1)
            until_concluded(audited, id)
    says = f"{ruling(audited, id)}; the two lose {stakes.lost(*blind)}, who replayed loses {stakes.lost(honest)}"
    return Caught(CONTRACT, "reveal: TraceTakesNoReplay", says) if by_contract else Caught("nobody", "nowhere", says)


def invited_into_a_trap(lab: AttackLab) -> Caught:
    """Invite a verifier into a panel of five accomplices, give up every seat that it does not get,
    and vote it down."""
    audited, victim = lab.audited, lab.verifier("invited")
    owner, scientist, gang = audited.workshop.owner, audited.workshop.scientist, audited.verifiers
    trap = panel_of(scientist.home.chain, fresh("a trap"), list(gang))
    scientist.home.verifiers.invite(trap, [victim.address])
    stakes = Stakes.of(lab, victim)
    with owner_runs(owner), scientist_runs(scientist), verifier_runs(victim):
        id = audited.workshop.request(audit=audited.terms(panel=trap))
        approve(owner.home, id)
        audited.until_phase(id, Phase.JOINING)
        give_up_to(victim, gang, id)
        with verifier_runs(*(party for party in gang if party.address in holders(audited, id)), examiner=agreed):
            until_concluded(audited, id)
    says = f"{ruling(audited, id)}; who was invited loses {stakes.lost(victim)}"
    if victim.has(id, "joined")():
        return Caught("nobody", "nowhere", says)
    return Caught(DRAW, "Joining", says)


def holders(audited: AuditedWorkshop, id: AgreementId) -> list[str]:
    """Who is drawn to the seats of an audit."""
    return [seat.verifier for seat in audited.audit(id).seats if seat.verifier]


def give_up_to(victim: Party, gang: tuple[Party, ...], id: AgreementId) -> None:
    """Let the gang give up its last seat until the victim is drawn to one, or nobody is left."""
    by_address, calls = {party.address: party for party in gang}, victim.home.audits
    while True:
        seats = calls.read(AuditRef(id)).seats
        last = seats[-1].verifier
        if not last or victim.address in [seat.verifier for seat in seats]:
            return
        by_address[last].home.audits.decline(AuditRef(id), seats[-1].number)


# The owner's policy


def own_panel(lab: AttackLab) -> Caught:
    """Name a panel of one's own as a scientist, to take price, bond, records and model of an honest
    owner, whose policy asks nobody about the panels that it names."""
    audited = lab.audited
    owner, scientist = audited.workshop.owner, audited.workshop.scientist
    name = fresh("friends")
    own = panel_of(scientist.home.chain, name, list(audited.verifiers))
    with owner_runs(owner), scientist_runs(scientist):
        id = audited.workshop.request(audit=audited.terms(panel=own))
        asked = owner.has(id, "approval_needed")
        audited.until(lambda: asked() or scientist.state(id) not in (State.REQUESTED,))
        if asked():
            assert scientist.state(id) is State.REQUESTED
            (why,) = owner.told(id, "approval_needed")["why"]
            reject(owner.home, id)
            return Caught(POLICY, "Requested", shown_of(why, name, scientist, audited.verifiers))
        with verifier_runs(*audited.verifiers, examiner=thieving):
            until_concluded(audited, id)
    return Caught("nobody", "nowhere", f"{ruling(audited, id)}; its friends opened records and model")


def thieving(*args: Any) -> Examination:
    """Open everything, and say that nothing of it was trained."""
    assert examine(*args).outcome is Outcome.MATCH, "records and model are there to be taken"
    return FRAMING(*args)


def shown_of(why: str, name: str, creator: Party, members: tuple[Party, ...]) -> str:
    """What a person is shown of a panel."""
    told = {
        "name": name in why,
        "creator": f"made by {creator.address} (the scientist)" in why,
        "age": " ago, " in why,
        "members": all(member.address in why for member in members),
    }
    return f"a person is asked, and shown its {', '.join(name for name, stands in told.items() if stands)}"


# Who is absent, slow, or cut off


def one_absent_and_one_lazy(lab: AttackLab) -> Caught:
    """Of the three that are drawn one never comes, and one votes without a replay."""
    audited = lab.audited
    workshop, stakes = audited.workshop, Stakes.of(lab, *audited.verifiers)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        id = workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.JOINING)
        absent, sluggard, worker = audited.seated(id)
        with verifier_runs(worker, *audited.others(absent, sluggard, worker)), verifier_runs(sluggard, examiner=lazy):
            audited.until(worker.has(id, "joined"))
            audited.until(sluggard.has(id, "joined"))
            lab.pass_time(HOUR_S + 1)
            until_concluded(audited, id)
    absent.home.verifiers.present()  # it was held to be away, and is there for the next
    lost = f"the absent one loses {stakes.lost(absent)}, the lazy one {stakes.lost(sluggard)}"
    says = f"{ruling(audited, id)}; {lost}, who replayed {stakes.lost(worker)}"
    settled = workshop.scientist.state(id) is State.SETTLED
    return Caught(DEADLINE, "Joining", says) if settled else Caught("nobody", "nowhere", says)


def cut_off(lab: AttackLab) -> Caught:
    """Cut an owner's line until the time for evidence is over."""
    audited = lab.audited
    workshop = audited.workshop
    with scientist_runs(workshop.scientist), verifier_runs(*audited.verifiers):
        with owner_runs(workshop.owner):
            id = workshop.request(audit=audited.terms())
            workshop.until_state(id, State.AUDITING)
        audited.until_phase(id, Phase.EVIDENCE)
        lab.pass_time(HOUR_S + 1)
        audited.until(lambda: audited.audit(id).withheld_before or decided(audited, id))
        with owner_runs(workshop.owner):
            until_concluded(audited, id)
    says = ruling(audited, id)
    lost = workshop.scientist.state(id) is State.FORFEITED
    return Caught("nobody", "nowhere", says) if lost else Caught(DEADLINE, "Evidence", says)


def endless_replay(lab: AttackLab) -> Caught:
    """Ask verifiers for a replay that their hosts cannot finish in the time to vote, so that each
    that joins loses a tenth."""
    audited = lab.audited
    workshop, stakes = audited.workshop, Stakes.of(lab, *audited.verifiers)
    slow = ConsentPolicy(pace=Pace(step_s=SLOW_STEP_S))
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        with verifier_runs(*audited.verifiers, policy=slow, examiner=unfinished):
            id = workshop.request(audit=audited.terms())
            audited.until(lambda: audited.audit(id).phase in (Phase.WAITING, Phase.COMMITTING))
            if audited.audit(id).phase is Phase.COMMITTING:
                seated = audited.seated(id)
                lab.pass_time(HOUR_S * 4 // 5)
                audited.until(lambda: audited.audit(id).round > 0)
                says = f"who joined loses {stakes.lost(*seated)}"
            else:
                says = f"all decline, and lose {stakes.lost(*audited.verifiers)}"
        with verifier_runs(*audited.verifiers):  # hosts that are quick enough
            if audited.audit(id).phase is Phase.WAITING:
                lab.pass_time(HOUR_S + 1)
            until_concluded(audited, id)
    return Caught(CONSENT, "Joining", says) if says.startswith("all") else Caught("nobody", "nowhere", says)


def unfinished(*args: Any) -> Examination:
    """Train and train, and have nothing to say yet."""
    raise StoreUnusable("the replay is not done yet")


# The key


def garbage_released(lab: AttackLab) -> Caught:
    """Win the audit, and release an identity that opens nothing."""
    audited = lab.audited
    owner, scientist = audited.workshop.owner, audited.workshop.scientist
    with owner_runs(owner), scientist_runs(scientist), verifier_runs(*audited.verifiers):
        id = audited.workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.COMMITTING)
        owner.home.keep_secret(owner.home.job_folder(id) / "identity.age", new_identity()[0])
        audited.until(scientist.has(id, "complained"))
        seated, received = audited.seated(id), scientist.has(id, "received")
        lacks_it = partial(said, id=id, text="there is no job.age")
        audited.until(lambda: received() or all(map(lacks_it, seated)))
        lab.pass_time(HOUR_S + 1)
        until_concluded(audited, id)
    try:
        has_it = delivery(scientist.home, id).model.exists()
    except NotFound:
        return Caught("nobody", "nowhere", f"{ruling(audited, id)}; the scientist has no model")
    assert has_it
    return Caught(RELEASE, "Released", f"{ruling(audited, id)}; the scientist has its model")


KEPT = MONEY_OF[State.SETTLED]
LOST = MONEY_OF[State.FORFEITED]

POD_ATTACKS = (
    PodAttack(
        "pods that never look",
        "Mismatch with the trace of zeros by two pods of three, without a word between them",
        Caught(CONTRACT, "reveal: TraceTakesNoReplay", f"Match; {KEPT}; the two lose 4 FIT, who replayed loses 0 FIT"),
        two_that_never_look,
        contracts("empty trace taken"),
        f"Mismatch; {LOST}; the two lose 0 FIT, who replayed loses 20 FIT",
    ),
    PodAttack(
        "a verifier invited into a trap",
        "a panel of accomplices that a stranger is invited to, and every seat given up that it does not get",
        Caught(DRAW, "Joining", f"Match; {KEPT}; who was invited loses 0 FIT"),
        invited_into_a_trap,
        contracts("who is invited is a member"),
        f"Match; {KEPT}; who was invited loses 20 FIT",
    ),
    PodAttack(
        "a scientist's own panel",
        "a jury of the scientist's friends, to take price, bond, records and model of an honest owner",
        Caught(POLICY, "Requested", "a person is asked, and shown its name, creator, age, members"),
        own_panel,
        pod_rules.PANELS,
        f"Mismatch; {LOST}; its friends opened records and model",
    ),
    PodAttack(
        "a garbage key, and pods that kept the real one",
        "an identity that opens nothing, released by an owner that is paid for it",
        Caught(RELEASE, "Released", f"Match; {KEPT}; the scientist has its model"),
        garbage_released,
        pod_rules.KEY,
        f"Match; {KEPT}; the scientist has no model",
    ),
    PodAttack(
        "one absent and one lazy",
        "of three pods that are drawn one that never comes, and one that votes without a replay",
        Caught(
            DEADLINE,
            "Joining",
            f"Match; {KEPT}; the absent one loses 0 FIT, the lazy one 20 FIT, who replayed 0 FIT",
        ),
        one_absent_and_one_lazy,
        contracts("nobody is drawn for who is silent"),
        f"Inconclusive; {MONEY_OF[State.REFUNDED]}; the absent one loses 0 FIT, the lazy one 0 FIT",
    ),
    PodAttack(
        "an owner's pod cut off for a window",
        "an owner's pod that cannot hand over its evidence until the time for it is over",
        Caught(DEADLINE, "Evidence", f"Match; {KEPT}"),
        cut_off,
        contracts("first silence of the owner is a verdict"),
        f"Withheld; {LOST}",
    ),
    PodAttack(
        "a replay that takes too long",
        "more steps to be trained again than a verifier's host can in the time to vote",
        Caught(CONSENT, "Joining", "all decline, and lose 0 FIT"),
        endless_replay,
        pod_rules.WORK,
        "who joined loses 6 FIT",
    ),
)
