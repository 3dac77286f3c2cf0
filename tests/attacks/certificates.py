"""Attacks on whoever checks a certificate: it would say more than is so, or hide what is not so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fitchain.cli.views.verdict import describe_verdict
from fitchain.pod.compute.dataset import RiskTerms
from fitchain.pod.ports.agreement import Audits, Outcome
from fitchain.pod.ports.chain import Chain, connect
from fitchain.pod.ports.settings import load
from fitchain.pod.ports.trust import look_at_panel, trust
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.proof.certificate import Assurance, Statement, verify
from fitchain.pod.proof.certificate.envelope import seal, unseal
from fitchain.pod.proof.certificate.risk import RiskClaim
from fitchain.pod.proof.certificate.statement import outline_of
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import FitchainError
from fitchain.pod.values.held_out import Classes, HeldOut
from fitchain.pod.values.ids import AuditRef, PanelId
from fitchain.pod.values.leaf import StateRoots, records_digest, results_word
from fitchain.pod.values.recipe.terms import SEGMENT
from fitchain.pod.values.risk import Rate, RiskReport
from fitchain.pod.values.state import model_root, optimizer_root
from tests.agreements import KEY
from tests.attacks.attack_lab import AttackLab, Caught
from tests.audit_actors import STAFF, TERMS, StakedVerifiers
from tests.certified_jobs import (
    Job,
    MadeUp,
    Parties,
    bent,
    claim_of,
    leaves_of,
    long_job,
    long_transcript,
    played,
    roots_of,
    tensors,
    with_first,
)
from tests.certified_jobs import registered as registered_card
from tests.chain_fixtures import ETHER, Account
from tests.policies import open_policy
from tests.risk_reports import made_up_report

VERIFIER = "certificate's check"


def lookalike(lab: AttackLab) -> Caught:
    """Deploy the same contracts, let a job of one's own end there as one likes, and show its
    certificate."""
    settings = lab.lookalike()
    folder = settings.home

    def account() -> Account:
        return lab.account(of=load(home=lab.home(), devnet=folder, rpc=lab.net.record.rpc, environ={}))

    parties = registered_card(account(), account(), lab.home().with_suffix(".npz"))
    job = played(parties, lab.home().with_suffix(".safetensors"), b"look-alike")
    verify(job.model, job.certificate, parties.owner.chain)  # it holds for whoever believes that deployment
    checker = connect(lab.net.settings(lab.home()))
    try:
        verify(job.model, job.certificate, checker)
    except FitchainError as error:
        return Caught(VERIFIER, f"deployment: exit {error.exit_code}", error.message)
    return Caught("nobody", "nowhere", "it holds")


def own_jury(lab: AttackLab) -> Caught:
    """Be owner and scientist in one, make a panel of accounts of one's own, and let them vote Match
    for what nobody trained."""
    attacker, seats = lab.account(10_000 * ETHER), StakedVerifiers([lab.staked() for _ in range(STAFF)])
    panel = seats.panel(attacker.chain, "Board of Reproducibility")
    job = vouched(lab, attacker, panel, seats)
    checker = connect(lab.net.settings(lab.home()))
    caught = below_sampled(job, checker)
    if caught.by != VERIFIER:
        return caught
    verdict = verify(job.model, job.certificate, checker)
    shown = str(describe_verdict(verdict, job.model).views)
    assert verdict.assurance is Assurance.VOUCHED
    assert "owner and scientist are one account; the creator of the panel is the owner and scientist" in shown
    assert all(claim not in shown for claim in ("replayed by", "trained again"))
    assert verify(job.model, job.certificate, checker, trust=[panel]).assurance is Assurance.SAMPLED
    return caught


def stuffed_panel(lab: AttackLab) -> Caught:
    """Append accounts of one's own to a panel that a checker trusts, and be drawn from these."""
    attacker, seats = lab.account(10_000 * ETHER), StakedVerifiers([lab.staked() for _ in range(STAFF)])
    known = StakedVerifiers([lab.staked() for _ in range(3)])  # verifiers of repute, which leave
    panel = known.panel(attacker.chain, "of repute")
    checker = connect(lab.net.settings(lab.home()))
    trust(checker.settings.home, look_at_panel(checker, panel))
    Verifiers(attacker.chain).invite(panel, seats.addresses)
    for one in seats.verifiers:
        Verifiers(one.chain).join_panel(panel)
    for one in known.verifiers:
        Verifiers(attacker.chain).expel(panel, one.address)
    return below_sampled(vouched(lab, attacker, panel, seats), checker)


def borrowed_names(lab: AttackLab) -> Caught:
    """Of a panel that a checker trusts, name those that are bought in a panel of one's own, and
    draw from that."""
    attacker, seats = lab.account(10_000 * ETHER), StakedVerifiers([lab.staked() for _ in range(STAFF)])
    honest = [lab.staked() for _ in range(5)]
    trusted = StakedVerifiers([*honest, *seats.verifiers]).panel(lab.account().chain, "ten of repute")
    checker = connect(lab.net.settings(lab.home()))
    trust(checker.settings.home, look_at_panel(checker, trusted))
    return below_sampled(vouched(lab, attacker, seats.panel(attacker.chain, "five of the ten"), seats), checker)


def at_once(lab: AttackLab) -> Caught:
    """Make everything up, and put begin, all anchors and finish into one block."""
    owner = lab.account(10_000 * ETHER)
    parties = registered_card(owner, lab.account(10_000 * ETHER), lab.home().with_suffix(".npz"))
    job = played(parties, lab.home().with_suffix(".safetensors"), b"at once", at_once=True)
    verdict = verify(job.model, job.certificate, connect(lab.net.settings(lab.home())))
    shown = str(describe_verdict(verdict, job.model).views)
    if (sentence := "begin, all anchors and finish stand in one block") in shown:
        return Caught(VERIFIER, "duration: said", sentence)
    return Caught("nobody", "nowhere", "nothing is said")


def vouched(lab: AttackLab, attacker: Account, panel: PanelId, seats: StakedVerifiers) -> Job:
    """A job of one account with itself, for which a panel's seats voted Match."""
    parties = registered_card(attacker, attacker, lab.home().with_suffix(".npz"))
    audit = replace(TERMS, mode=AuditMode.SAMPLED, panel=panel)
    job = played(parties, lab.home().with_suffix(".safetensors"), bytes(panel), audit=audit)
    seats.conclude(attacker.chain, job.id, Outcome.MATCH)
    Audits(attacker.chain).release(AuditRef(job.id), KEY)
    return job


def below_sampled(job: Job, checker: Chain) -> Caught:
    """What a checker that asks for drawn verifiers of its own trust is told."""
    try:
        verify(job.model, job.certificate, checker, Assurance.SAMPLED)
    except FitchainError as error:
        assert "fitchain trust add" in error.hint
        return Caught(VERIFIER, f"level: exit {error.exit_code}", error.message)
    return Caught("nobody", "nowhere", "it holds")


# Transcripts behind an outline


def hidden_order(lab: AttackLab) -> Caught:
    """Train a segment on records of one's own choice, and certify the transcript by an outline, in
    which that leaf is not listed."""
    parties, path = strangers(lab), lab.home().with_suffix(".safetensors")

    def easier(made: MadeUp) -> MadeUp:
        return bent(made, 3, records=records_digest(np.zeros(16, np.uint64)))

    job = played(parties, path, b"order behind an outline", bend=easier)
    return refuted(lab, replace(job, certificate=job.issue(most_leaves=0)), "outline")


def hidden_beginning(lab: AttackLab) -> Caught:
    """Train on from weights of one's own, so many steps that certificates hold an outline, and
    leave the first leaf out of it."""
    elsewhere = StateRoots(model_root(tensors(7)), optimizer_root({}))
    job = long_job(strangers(lab), lab.home().with_suffix(".safetensors"), with_first(elsewhere))
    told = job.transcript
    honest = long_transcript(job.recipe, told.ctx, told.seed)
    shown = Statement.parse(unseal(job.issue(transcript=honest.transcript, states=honest.states))[0])
    outline = outline_of(told, job.recipe.group_leaves, job.delivered)
    opened = tuple(each for each in outline.opened if each.leaf.index)
    lying = replace(shown, transcript_root=told.root, leaves=replace(outline, opened=opened))
    return refuted(lab, replace(job, certificate=seal(lying.encode(), job.keys)), "leaves")


def worse_leaf(lab: AttackLab) -> Caught:
    """Deliver a leaf as the best, and open a better result of another in the same certificate."""
    parties, path = strangers(lab), lab.home().with_suffix(".safetensors")
    recipe = replace(parties.recipe, evaluate=SEGMENT, best="accuracy")
    claim, records = claim_of(recipe, 4), recipe.held_out_count
    assert claim is not None
    right = Classes(2, records, records, (records - 4, 0, 0, 4), 0.25, 8 * (records - 4))
    better = replace(claim, result=HeldOut(records, right))

    def one_better(made: MadeUp) -> MadeUp:
        return bent(made, 4, held_out=better.digest)

    job = played(parties, path, b"a worse leaf", recipe=recipe, delivered=7, bend=one_better)
    told = job.transcript
    honest = leaves_of(recipe, told.ctx, told.seed, recipe.leaf_count, 7)
    shown = Statement.parse(unseal(job.issue(transcript=honest.transcript, states=honest.states))[0])
    assert shown.evaluations is not None
    evaluations = (*shown.evaluations[:3], better, *shown.evaluations[4:])
    lying = replace(shown, transcript_root=told.root, leaves=told.leaves, evaluations=evaluations)
    return refuted(lab, replace(job, certificate=seal(lying.encode(), job.keys)), "delivered leaf")


def swapped_report(lab: AttackLab) -> Caught:
    """Bind a risk report in the last leaf, and show a milder one once the model is delivered."""
    owner, scientist = (lab.account(10_000 * ETHER) for _ in range(2))
    policy = open_policy(risk=RiskTerms(summary_leaves=True))
    parties = registered_card(owner, scientist, lab.home().with_suffix(".npz"), policy)
    last = parties.recipe.leaf_count - 1
    result = claim_of(parties.recipe, last)
    assert result is not None
    counts = {"members": parties.recipe.training_count, "non_members": parties.recipe.held_out_count}
    rates = (Rate(0.01, 0, 2), Rate(0.001, 0, 2))
    made = made_up_report(model=roots_of(parties.recipe, last).model, rates=rates, **counts)
    made = replace(made, references=(sha256(b"training"),))

    def claim(report: RiskReport) -> RiskClaim:
        parts = report.parts
        words = (parts.digest, parts.references, parts.findings, result.digest)
        return RiskClaim(*words, report.summary, report.details_digest)

    def bound(made_up: MadeUp) -> MadeUp:
        return bent(made_up, last, held_out=results_word(result.digest, made.parts))

    job = played(parties, lab.home().with_suffix(".safetensors"), b"report", bend=bound)
    honest = job.issue(risk=claim(made))
    verify(job.model, honest, connect(lab.net.settings(lab.home())))
    milder = replace(made, summary=replace(made.summary, auc=0.5))
    lying = replace(Statement.parse(unseal(honest)[0]), risk=claim(milder))
    return refuted(lab, replace(job, certificate=seal(lying.encode(), job.keys)), "results")


def strangers(lab: AttackLab) -> Parties:
    """An owner and a scientist who know each other alone."""
    owner, scientist = (lab.account(10_000 * ETHER) for _ in range(2))
    return registered_card(owner, scientist, lab.home().with_suffix(".npz"))


def refuted(lab: AttackLab, job: Job, step: str) -> Caught:
    """What a checker says of a certificate that claims what is not so."""
    try:
        verify(job.model, job.certificate, connect(lab.net.settings(lab.home())))
    except FitchainError as error:
        return Caught(VERIFIER, f"{step}: exit {error.exit_code}", error.message)
    return Caught("nobody", "nowhere", "it holds")
