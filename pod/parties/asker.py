"""Whoever asks for another audit of a settled run, by a panel of its own trust: an account with
FIT, whatever else it is.

It pays the fees, commits to a nonce, and draws with it once the owner consents; what the seats do
not earn, and all of it where the owner is silent, is its own again. What is needed to go on is
written down before the question is sent, and found again by its commitment on the chain: the same
question asked again takes the interrupted or open one up, and is paid once. Only where its answer
has been told is it another question.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from fitchain.pod.jobs import history
from fitchain.pod.jobs.asker import asker_nonce
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.life import askers_life, note_sent
from fitchain.pod.jobs.turns import ASKER_RANK, Turns, describe_verdict
from fitchain.pod.ports.agreement import AskedAudit, AuditTerms, Outcome, Phase, State, commit_nonce
from fitchain.pod.ports.keys import Keys
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.proof.audit.plan import LEAST_STAKE_FEES, MOST_STAKE_FEES, default_draws, seat_fee
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest, sha256
from fitchain.pod.values.errors import InputRefused, NotFound, Unusable
from fitchain.pod.values.ids import WHOLE_POOL, AgreementId, AuditRef, PanelId

SEATS = 3
WINDOW_S, DAY_S, MOST_WAIT_S = 3600, 86_400, 7 * 86_400
WAIT_WINDOWS = 8
"""How long too few verifiers are waited for: a day, or so many phases."""


@dataclass(frozen=True)
class Question:
    """What is asked of another audit; None: left open.

    Args:
        panel: whom to draw from; zero for the whole pool.
        verifiers: how many, odd.
        drawn_segments: besides those that are always audited; else enough for a tenth.
        mode: what they see.
        fee_per_seat: FIT in base units; else what the replay is worth by the job's price, and no
            less than the deployment takes.
        seat_stake: FIT in base units that a seat locks and can lose; else twenty fees.
        window: seconds of each phase; else as long as the job's own, and at least an hour.
        wait: seconds for which too few verifiers are waited for; else a day, or eight phases.
        consent_window: seconds for the owner to consent.
    """

    panel: PanelId
    verifiers: int = SEATS
    drawn_segments: int | None = None
    mode: AuditMode = AuditMode.SAMPLED
    fee_per_seat: int | None = None
    seat_stake: int | None = None
    window: int | None = None
    wait: int | None = None
    consent_window: int = DAY_S


class QuestionState(Enum):
    """Where a question stands."""

    ASKED = "the owner may consent"
    UNANSWERED = "the owner did not consent in time; the fees are the asker's again"
    OPENED = "it is audited"
    CONCLUDED = "there is a verdict"


@dataclass(frozen=True)
class Answer:
    """A question as it stands.

    Args:
        asked: as the chain has it.
        state: what came of it so far.
        phase: of the audit; NONE before the owner consents.
        verdict: NONE until there is one.
    """

    asked: AskedAudit
    state: QuestionState
    phase: Phase = Phase.NONE
    verdict: Outcome = Outcome.NONE

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in (QuestionState.UNANSWERED, QuestionState.CONCLUDED)


def terms_of(home: Home, id: AgreementId, question: Question) -> AuditTerms:
    """Put the terms of another audit together, with what the question leaves open filled in.

    Raises:
        NotFound: this deployment has no such agreement.
        InputRefused: no such number of seats, no such fee, or data would be shown to nobody in
            particular.
        Unusable: the job is not settled.
    """
    agreement = home.agreements.read(id)
    if agreement.state not in (State.SETTLED, State.HALVED):
        raise Unusable(
            f"{id.short} is {agreement.state.name.lower()}, and only a job that is settled is audited again",
            f"see `fitchain job show {id.short}`",
        )
    if question.verifiers % 2 == 0 or question.verifiers < 1:
        raise InputRefused(f"an audit has an odd number of seats, not {question.verifiers}")
    if question.panel == WHOLE_POOL and question.mode is not AuditMode.OPEN:
        raise InputRefused(
            f"the mode {question.mode} shows records to a panel, and none is named",
            "name one with --panel; `fitchain panel list` shows them",
        )
    job = agreement.terms
    drawn = question.drawn_segments
    drawn = default_draws(job.steps, job.segment_steps) if drawn is None else drawn
    sampling = Sampling.of(job.steps, job.segment_steps, drawn)
    drawn = min(drawn, sampling.segments)  # no more can be drawn than there are
    floor = home.chain.constants.fee_floor
    fee = seat_fee(job.price, 0, sampling, question.verifiers, floor)
    fee = fee if question.fee_per_seat is None else question.fee_per_seat
    window = max(WINDOW_S, job.audit.window) if question.window is None else question.window
    wait = min(MOST_WAIT_S, max(DAY_S, WAIT_WINDOWS * window)) if question.wait is None else question.wait
    stake = MOST_STAKE_FEES * fee if question.seat_stake is None else question.seat_stake
    if fee < floor or not LEAST_STAKE_FEES * fee <= stake <= MOST_STAKE_FEES * fee:
        raise InputRefused(
            f"a seat earns at least {amount_text(floor)} FIT and locks ten to twenty times its fee, "
            f"not {amount_text(fee)} and {amount_text(stake)} FIT"
        )
    return AuditTerms(
        drawn_segments=drawn,
        verifiers=question.verifiers,
        mode=question.mode,
        panel=question.panel,
        window=window,
        wait=wait,
        fee_per_seat=fee,
        seat_stake=stake,
    )


def ask_again(home: Home, id: AgreementId, terms: AuditTerms, consent_window: int = DAY_S) -> AuditRef:
    """Ask for another audit and lock its fees, unless the same was asked from this home and its
    answer has not been told yet (`follow`).

    Args:
        home: the asker's, opened with its key.
        id: the agreement.
        terms: of the audit.
        consent_window: seconds for the owner to consent.

    Returns:
        which audit it is.

    Raises:
        ChainUnusable: the account cannot pay, or the contract refuses.
        Unusable: too few of those who stand in the panel, or in the pool, could be drawn.
    """
    _catch_up(home)  # else what was sent, and is not on the chain now, would be sent again
    fresh = _open_question(home, id, terms)
    if isinstance(fresh, AuditRef):
        note_sent(home, askers_life, fresh)
        return fresh
    agreement = home.agreements.read(id)
    parties = agreement.terms.owner, agreement.scientist, home.keys.address
    home.verifiers.require_eligible(terms.panel, parties, terms.verifiers)
    commitment = question_commitment(home.keys, id, fresh)
    keep_question(home, id, terms, commitment, fresh)
    ref = home.agreements.ask_again(id, terms, commitment, consent_window)
    home.journal.record(ref, history.AskedAgain(str(terms.panel), amount_text(terms.fees)), once="")
    return ref


def _catch_up(home: Home) -> None:
    """Bring to the chain whatever this home sent before."""
    home.chain.rebroadcast()
    home.chain.catch_up()


def open_question(home: Home, id: AgreementId, terms: AuditTerms) -> AuditRef | None:
    """The question that `ask_again` takes up instead of locking fees for another; None where it
    asks anew.

    Raises:
        ChainUnusable: the node does not answer.
    """
    _catch_up(home)
    question = _open_question(home, id, terms)
    return question if isinstance(question, AuditRef) else None


def _open_question(home: Home, id: AgreementId, terms: AuditTerms) -> AuditRef | bytes:
    """The question of the same terms that this home asked and whose answer it was not told, or was
    told and the chain took back since; else the fresh bytes of one: of one that was written down
    and never sent, or new ones."""
    new, written = fresh_bytes(home.keys, id, home.chain.block("latest").number), home.journal.fact(id, _last(terms))
    if written is None:
        return new
    commitment = Digest.parse(written)
    was_told = home.journal.fact(id, _answered(commitment)) is not None
    for asked in home.agreements.asked_audits(id, asker=home.keys.address):
        if asked.nonce_commitment == commitment:
            return new if was_told and read_answer(home, asked.ref).over else asked.ref
    fresh = home.journal.fact(id, _kept(commitment))
    return new if was_told or fresh is None else bytes.fromhex(fresh)


def fresh_bytes(keys: Keys, id: AgreementId, height: int) -> bytes:
    """The fresh bytes of a question that is asked when the chain has so many blocks: derived, so
    that a lost journal's are found again near the block of the question; others in every block, so
    that a question that the chain took back is not asked again with a nonce that is known."""
    return keys.derive("fitchain/question/v2", id, height)


def keep_question(home: Home, id: AgreementId, terms: AuditTerms, commitment: Digest, fresh: bytes) -> None:
    """Write down what is needed to go on with a question."""
    home.journal.keep_fact(id, _kept(commitment), fresh.hex())
    home.journal.keep_fact(id, _last(terms), str(commitment))


def question_commitment(keys: Keys, id: AgreementId, fresh: bytes) -> Digest:
    """What a question commits to."""
    return commit_nonce(asker_nonce(keys, id, sha256(fresh)))


def read_answer(home: Home, ref: AuditRef) -> Answer:
    """How a question stands.

    Raises:
        NotFound: nobody asked it.
        ChainUnusable: the node does not answer.
    """
    asked = home.agreements.asked_audit(ref)
    if not asked.consented:
        late = asked.taken_back or home.chain.block("latest").timestamp > asked.deadline
        return Answer(asked, QuestionState.UNANSWERED if late else QuestionState.ASKED)
    audit = home.audits.read(ref)
    state = QuestionState.CONCLUDED if audit.phase is Phase.CONCLUDED else QuestionState.OPENED
    return Answer(asked, state, audit.phase, audit.verdict)


def follow(home: Home, turns: Turns, ref: AuditRef, log: Callable[[str], None]) -> Answer:
    """Do what a question asks of its asker now: draw once the owner consented, bring the audit on
    in turn, take back what is its own.

    Args:
        home: the asker's, opened with its key.
        turns: remembers what was due since when; the same in every call.
        ref: the audit.
        log: told what was done.

    Returns:
        how it stands.

    Raises:
        NotFound: this home did not ask.
        FitchainError: it cannot be done now; calling again goes on from there.
    """
    _catch_up(home)
    answer = read_answer(home, ref)
    match answer.state:
        case QuestionState.OPENED:
            if turns.bring_on(home.audits.read(ref), ASKER_RANK, nonce_of(home, answer.asked)):
                log("brought the audit on")
        case QuestionState.UNANSWERED if not answer.asked.taken_back:
            receipt = home.agreements.take_back(ref)
            home.journal.record(ref, history.TakenBack(**history.paid(receipt)), once="")
            log("the owner did not consent in time: took the fees back")
        case QuestionState.CONCLUDED:
            if verdict := describe_verdict(home, home.audits.read(ref)):
                log(verdict)
    if answer.over:
        # By what it committed to: behind a reorganisation its number may be another question's.
        commitment = answer.asked.nonce_commitment
        if home.journal.fact(ref.agreement, _answered(commitment)) is None:
            note_sent(home, askers_life, ref)
        _collect(home, ref)
        home.journal.keep_fact(ref.agreement, _answered(commitment), answer.state.name)
        home.journal.record(ref, history.Answered(answer.state.name), once=f"{commitment}/{answer.state.name}")
    return answer


def nonce_of(home: Home, asked: AskedAudit) -> Digest:
    """The nonce that a question of this home committed to.

    Raises:
        NotFound: it was asked from another home.
    """
    fresh = home.journal.fact(asked.ref.agreement, _kept(asked.nonce_commitment))
    if fresh is None:
        raise NotFound(
            f"the journal does not know the question for audit {asked.ref.ordinal} of {asked.ref.agreement.short}",
            "follow it from the home that asked",
        )
    return asker_nonce(home.keys, asked.ref.agreement, sha256(bytes.fromhex(fresh)))


def _collect(home: Home, ref: AuditRef) -> None:
    """Collect what this account is owed: fees that no seat earned."""
    if home.agreements.owed(home.keys.address):
        receipt = home.agreements.withdraw()
        home.journal.record(ref, history.FeesCollected(**history.paid(receipt)))


def _kept(commitment: Digest) -> str:
    """Name of the fact that holds the fresh bytes of a question."""
    return f"asking/{commitment}"


def _answered(commitment: Digest) -> str:
    """Name of the fact that holds the answer that was told of a question."""
    return f"answered/{commitment}"


def _last(terms: AuditTerms) -> str:
    """Name of the fact that holds the commitment of the last question of these terms."""
    words = {name: str(value) for name, value in sorted(vars(terms).items())}
    return f"asked/{sha256(json.dumps(words).encode()).short}"
