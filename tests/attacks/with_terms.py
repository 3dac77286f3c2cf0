"""Attacks on verifiers by what they cannot know: an environment class, or work, that no honest host
serves. Owner and scientist play together; pods of both, and of the verifiers, on a real chain.

Who joined and cannot replay loses a tenth of its seat's stake. So the terms say what a replay
takes, before anybody joins; and where what was sealed is something else, nobody has to replay it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

from fitchain.pod.compute.environment import environment_class, host_cache, installed_torch
from fitchain.pod.jobs import history
from fitchain.pod.jobs.metering import measured_work
from fitchain.pod.parties.scientist import JobRequest, draft_recipe, request
from fitchain.pod.parties.scientist.publish import read_card
from fitchain.pod.ports.agreement import Outcome, Phase, State
from fitchain.pod.ports.store import Cid
from fitchain.pod.proof.certificate import claims
from fitchain.pod.values.digest import Digest, sha256
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.recipe import Environment
from tests.attacks import pod_rules
from tests.attacks.attack import Attack
from tests.attacks.attack_lab import MONEY_OF, AttackLab, Caught
from tests.attacks.by_owners import OPENING, WHOLE, caught
from tests.attacks.pod_stage import ruling, until_concluded
from tests.attacks.with_pods import CONSENT, LOST
from tests.audited_workshop import DAY_S, AuditedWorkshop
from tests.chain_fixtures import ETHER
from tests.pods import BOND, HOUR_S, PRICE, RECIPE, owner_runs, scientist_runs, verifier_runs

NOWHERE = Environment("cpu-native", 1, installed_torch(), sha256(b"a machine that nobody else has"))
"""A class that any host trains in, and none reproduces."""


def ask(audited: AuditedWorkshop, named: Digest | None) -> AgreementId:
    """Ask for a training in that class, by terms that name it or something else.

    Args:
        audited: where it is asked.
        named: the digest that the terms have; None takes that of the default class, to which the
            recipe was drafted.
    """
    workshop, audit = audited.workshop, audited.terms()
    home, row = workshop.scientist.home, workshop.scientist.home.journal.model(workshop.model.id)
    card = read_card(home, workshop.dataset.id)
    table = {"drawn_segments": audit.drawn_segments, "verifiers": audit.verifiers, "mode": audit.mode.word}
    overrides = RECIPE | {"audit": table | {"panel": str(audit.panel)}}
    drafted = draft_recipe(home, card, row.graph, row.initial_model, overrides)
    sealed = replace(drafted, environment=NOWHERE)
    asked = JobRequest(workshop.dataset.id, row.id, bond=BOND, windows=(HOUR_S,) * 3, audit=audit)
    terms = request.terms_of(workshop.owner.address, asked, sealed, PRICE, measured_work(home, sealed, row.folder))
    terms = replace(terms, environment=named or drafted.environment.digest)
    kept = request._prepare(home, terms, sealed, row.folder, card, False)
    home.agreements.request(kept.salt, request._committed(home, kept.agreement, terms), Cid.parse(kept.offer))
    home.journal.record(kept.agreement, history.Requested(workshop.dataset.id, terms.model, str(PRICE)), once="")
    return kept.agreement


@contextmanager
def all_but_verifiers(lab: AttackLab) -> Iterator[None]:
    """Run an owner's pod that is in it, so that it compares nothing, and the scientist's."""
    unchecked = SimpleNamespace(check=pod_rules.unchecked, host_cache=host_cache, environment_class=environment_class)
    in_it = pod_rules.PodRule(
        "what an owner compares before it accepts, and before it signs",
        (
            (pod_rules.OWNER_EXAMINES, "check_terms", pod_rules.unchecked),
            (pod_rules.OWNER_EXAMINES, "environment", unchecked),
            (claims, "check_recipe", pod_rules.unchecked),
        ),
    )
    with in_it.taken_out():
        workshop = lab.audited.workshop
        with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
            yield


def class_of_nobody(lab: AttackLab) -> Caught:
    """Agree on a class that no verifier has, so that each that joins loses a tenth."""
    audited = lab.audited
    with all_but_verifiers(lab), verifier_runs(*audited.verifiers):
        id = ask(audited, NOWHERE.digest)
        audited.until(lambda: audited.audit(id).phase is Phase.WAITING or drawn_again(audited, id))
        if drawn_again(audited, id):
            return Caught("nobody", "nowhere", f"who joined loses {lost_in(audited, id)}")
        lab.pass_time(DAY_S + 1)
        until_concluded(audited, id)
    return Caught(CONSENT, "Joining", f"{ruling(audited, id)}; all decline, and lose {lost_in(audited, id)}")


def class_that_was_not_named(lab: AttackLab) -> Caught:
    """Let the terms name the default class, and seal a recipe of one that no verifier has."""
    audited = lab.audited
    with all_but_verifiers(lab), verifier_runs(*audited.verifiers):
        id = ask(audited, None)
        audited.until(lambda: audited.audit(id).phase is Phase.CONCLUDED or drawn_again(audited, id))
        lost = f"who joined loses {lost_in(audited, id)}"
        if audited.audit(id).verdict is not Outcome.WITHHELD:
            return Caught("nobody", "nowhere", lost)
    return Caught(OPENING, "Committing", f"{ruling(audited, id)}; {lost}")


def lost_in(audited: AuditedWorkshop, id: AgreementId) -> str:
    """What all seats of an audit have lost by now, in words."""
    penalties = audited.workshop.scientist.home.audits.penalties(AuditRef(id))
    return f"{sum(penalties.values()) / ETHER:g} FIT"


def drawn_again(audited: AuditedWorkshop, id: AgreementId) -> bool:
    """Whether votes came to nothing, so that seats are drawn anew; after a first Withheld the same
    stand once more."""
    audit = audited.audit(id)
    return audit.round > 0 and not audit.withheld_before


def work_that_was_not_stated(lab: AttackLab) -> Caught:
    """State less work in the terms than a step of the sealed graph takes."""
    stated = lab.honest.facts(None).work
    return caught(lab.examine(lab.honest, work=replace(stated, operations=stated.operations - 1)))


REFUNDED = MONEY_OF[State.REFUNDED]

TERMS_ATTACKS = (
    Attack(
        "a class that honest verifiers cannot serve",
        "an environment that no host but the owner's reproduces, agreed on by owner and scientist",
        Caught(CONSENT, "Joining", f"Inconclusive; {REFUNDED}; all decline, and lose 0 FIT"),
        class_of_nobody,
        pod_rules.CLASS,
        "who joined loses ",  # three tenths of 20 FIT in each of the votes that come to nothing
    ),
    Attack(
        "a class that the terms do not name",
        "the default class in the terms, and in the sealed recipe one that no host but the owner's reproduces",
        Caught(OPENING, "Committing", f"Withheld; {LOST}; who joined loses 0 FIT"),
        class_that_was_not_named,
        pod_rules.NAMED_CLASS,
        "who joined loses ",  # three tenths of 20 FIT in each of the votes that come to nothing
    ),
    Attack(
        "a replay that the terms do not state",
        "a sealed graph of which a step takes more than the terms say",
        Caught(OPENING, WHOLE, "Withheld: what was agreed on cannot be trained: a step of the graph takes"),
        work_that_was_not_stated,
        pod_rules.STATED_WORK,
        "Match",
    ),
)
