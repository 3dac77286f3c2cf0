"""Attacks that real pods play and withstand: owner, scientist and verifiers on a real chain, each
replay in a process of its own.

Each row names the rule on which it rests, of the contracts or of the pods, and what happens without
it; test_rows.py takes it out and plays again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from fitchain.pod.parties.owner import approve, reject
from fitchain.pod.parties.scientist import delivery
from fitchain.pod.parties.verifier import ConsentPolicy, Examination, examine
from fitchain.pod.ports.agreement import Outcome, Phase, State
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.proof.audit.pace import Pace
from fitchain.pod.values.errors import NotFound
from fitchain.pod.values.ids import AgreementId, AuditRef
from scripts.mutation.rules import RULES, Rule
from tests.attacks import pod_rules
from tests.attacks.attack import Attack
from tests.attacks.attack_lab import MONEY_OF, AttackLab, Caught
from tests.attacks.on_chain import CONTRACT, DEADLINE, DRAW, RELEASE, TALLY
from tests.attacks.pod_stage import (
    FOCAL,
    FRAMING,
    Stakes,
    agreed,
    decided,
    fresh,
    holders,
    ruling,
    said,
    unfinished,
    until_concluded,
)
from tests.audited_workshop import SEAT_STAKE, lazy, panel_of
from tests.chain_fixtures import ETHER
from tests.pods import HOUR_S, Party, owner_runs, scientist_runs, verifier_runs

POLICY, CONSENT = "owner's policy", "verifier's consent"
SLOW_STEP_S = 1000.0
"""Seconds of a step on a host that could not replay a job of twelve steps within an hour."""


def contracts(name: str) -> Rule:
    """A rule of the contracts by its name."""
    return next(rule for rule in RULES if rule.name == name)


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
    victim, says = trapped(lab, joins=False)
    if victim.lost == "0 FIT":
        return Caught(DRAW, "Joining", says)
    return Caught("nobody", "nowhere", says)


def joined_a_trap(lab: AttackLab) -> Caught:
    """The same with a verifier that was deceived, and joined that panel by its own transaction."""
    victim, says = trapped(lab, joins=True)
    if victim.lost == f"{SEAT_STAKE / ETHER:g} FIT":
        return Caught(TALLY, "Revealing", says)
    return Caught("nobody", "nowhere", says)


@dataclass(frozen=True)
class Victim:
    """Who walked into a trap, and what that cost."""

    party: Party
    lost: str


def trapped(lab: AttackLab, joins: bool) -> tuple[Victim, str]:
    """Play a job that a panel of five accomplices audits, and whoever they invited: let the others
    give up every seat until it is drawn, and vote it down.

    Returns:
        who was invited; how it ended, in words.
    """
    audited, party = lab.audited, lab.verifier("invited")
    owner, scientist, gang = audited.workshop.owner, audited.workshop.scientist, audited.verifiers
    trap = panel_of(scientist.home.chain, fresh("a trap"), list(gang))
    scientist.home.verifiers.invite(trap, [party.address])
    if joins:
        party.home.verifiers.join_panel(trap)
    stakes = Stakes.of(lab, party)
    with owner_runs(owner), scientist_runs(scientist), verifier_runs(party):
        id = audited.workshop.request(audit=audited.terms(panel=trap))
        audited.until(owner.has(id, "approval_needed"))
        approve(owner.home, id)
        audited.until_phase(id, Phase.JOINING)
        give_up_to(party, gang, id)
        with verifier_runs(*(one for one in gang if one.address in holders(audited, id)), examiner=agreed):
            until_concluded(audited, id)
    lost = stakes.lost(party)
    return Victim(party, lost), f"{ruling(audited, id)}; who was invited loses {lost}"


def give_up_to(victim: Party, gang: tuple[Party, ...], id: AgreementId) -> None:
    """Let the gang give up its last seat until the victim is drawn to one, or nobody is left."""
    by_address, calls = {party.address: party for party in gang}, victim.home.audits
    while True:
        seats = calls.read(AuditRef(id)).seats
        last = seats[-1].verifier
        if not last or victim.address in [seat.verifier for seat in seats]:
            return
        by_address[last].home.audits.decline(AuditRef(id), seats[-1].number)


# Who is away for a while


def away_for_a_window(lab: AttackLab) -> Caught:
    """Draw a verifier whose pod is off, and let the time to join pass: once it burned its stake."""
    audited = lab.audited
    workshop, stakes = audited.workshop, Stakes.of(lab, *audited.verifiers)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        id = workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.JOINING)
        absent, *present = audited.seated(id)
        with verifier_runs(*audited.others(absent)):
            for party in present:
                audited.until(party.has(id, "joined"))
            lab.pass_time(HOUR_S + 1)
            until_concluded(audited, id)
    says = f"{ruling(audited, id)}; who was away loses {stakes.lost(absent)}"
    if stakes.lost(absent) != "0 FIT":
        return Caught("nobody", "nowhere", says)
    with verifier_runs(absent):
        audited.until(lambda: not absent.home.verifiers.verifier(absent.address).away)
    return Caught(DEADLINE, "Joining", f"{says}, and is there again")


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
        "age": " before it was asked for, " in why,
        "members": all(member.address in why for member in members),
    }
    return f"a person is asked, and shown its {', '.join(name for name, stands in told.items() if stands)}"


# Who is slow, or cut off, beside who is lazy


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


# The key


def garbage_released(lab: AttackLab) -> Caught:
    """Win the audit, and release an identity that opens nothing."""
    audited = lab.audited
    owner, scientist = audited.workshop.owner, audited.workshop.scientist
    with owner_runs(owner), scientist_runs(scientist), verifier_runs(*audited.verifiers):
        id = audited.workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.COMMITTING)
        owner.home.keep_secret(owner.home.job_folder(id).path / "identity.age", new_identity()[0])
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
    Attack(
        "pods that never look",
        "Mismatch with the trace of zeros by two pods of three, without a word between them",
        Caught(CONTRACT, "reveal: TraceTakesNoReplay", f"Match; {KEPT}; the two lose 4 FIT, who replayed loses 0 FIT"),
        two_that_never_look,
        contracts("empty trace taken"),
        f"Mismatch; {LOST}; the two lose 0 FIT, who replayed loses 20 FIT",
    ),
    Attack(
        "a verifier invited into a trap",
        "a panel of accomplices that a stranger is invited to, and every seat given up that it does not get",
        Caught(DRAW, "Joining", f"Match; {KEPT}; who was invited loses 0 FIT"),
        invited_into_a_trap,
        contracts("who is invited is a member"),
        f"Match; {KEPT}; who was invited loses 20 FIT",
    ),
    Attack(
        "a verifier that joined a trap",
        "the same panel, joined by a stranger that was deceived: two accomplices vote it down",
        Caught(TALLY, "Revealing", f"Match; {KEPT}; who was invited loses 20 FIT"),
        joined_a_trap,
        contracts("whole stake slashed"),
        f"Match; {KEPT}; who was invited loses 1000 FIT",
    ),
    Attack(
        "a verifier's pod away for a while",
        "a pod that is off when it is drawn, and for all the time to join",
        Caught(DEADLINE, "Joining", f"Match; {KEPT}; who was away loses 0 FIT, and is there again"),
        away_for_a_window,
        contracts("silence in a joining window burns the stake"),
        f"Match; {KEPT}; who was away loses 1000 FIT",
    ),
    Attack(
        "a scientist's own panel",
        "a jury of the scientist's friends, to take price, bond, records and model of an honest owner",
        Caught(POLICY, "Requested", "a person is asked, and shown its name, creator, age, members"),
        own_panel,
        pod_rules.PANELS,
        f"Mismatch; {LOST}; its friends opened records and model",
    ),
    Attack(
        "a garbage key, and pods that kept the real one",
        "an identity that opens nothing, released by an owner that is paid for it",
        Caught(RELEASE, "Released", f"Match; {KEPT}; the scientist has its model"),
        garbage_released,
        pod_rules.KEY,
        f"Match; {KEPT}; the scientist has no model",
    ),
    Attack(
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
    Attack(
        "an owner's pod cut off for a window",
        "an owner's pod that cannot hand over its evidence until the time for it is over",
        Caught(DEADLINE, "Evidence", f"Match; {KEPT}"),
        cut_off,
        contracts("first silence of the owner is a verdict"),
        f"Withheld; {LOST}",
    ),
    Attack(
        "a replay that takes too long",
        "more steps to be trained again than a verifier's host can in the time to vote",
        Caught(CONSENT, "Joining", "all decline, and lose 0 FIT"),
        endless_replay,
        pod_rules.WORK,
        "who joined loses 6 FIT",
    ),
)
