"""What a verifier's pod knows of its seats: the votes that it committed to and has not shown yet.

Its link, its salt and its hash chain derive from the key. A vote does not: it comes out of the
evidence again, which the seat's identity opens, or is one of two that look at nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.life import verifiers_life
from fitchain.pod.parties.recovery.lines import write_recovered
from fitchain.pod.parties.recovery.report import Recovery
from fitchain.pod.parties.verifier.ballot import Ballot, keep_ballot, kept_ballot, vote_salt
from fitchain.pod.parties.verifier.examine import EVIDENCE, examine
from fitchain.pod.ports.agreement import Audit, Outcome, Phase, Seat, audit_id
from fitchain.pod.proof.audit.chain_record import read_chain_record, with_parents
from fitchain.pod.proof.audit.evidence import Evidence
from fitchain.pod.proof.audit.vote import commitment
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import ChainUnusable, EnvironmentRefused, FitchainError
from fitchain.pod.values.job_folder import Scratch, scratch


def recover_seats(home: Home, recovery: Recovery) -> None:
    """Find every seat that this account was drawn for; of those that committed to a vote, the vote.

    Raises:
        ChainUnusable: the node does not answer.
    """
    for audit in home.audits.read_many(home.audits.drawn_for(home.keys.address)):
        write_recovered(home, audit.id, verifiers_life(home, audit.ref, home.agreements.events(audit.id)))
        seat = audit.seat_of(home.keys.address)
        if audit.phase is Phase.CONCLUDED or seat is None:
            continue
        recovery.has("seat", audit.ref, audit.phase.name.lower())
        if seat.joined and not seat.revealed and audit.phase <= Phase.REVEALING:
            _recover_vote(home, recovery, audit, seat)


def _recover_vote(home: Home, recovery: Recovery, audit: Audit, seat: Seat) -> None:
    tenth = f"who joined and is absent loses {amount_text(audit.seat_stake // 10)} FIT of its stake"
    if not seat.committed:
        if not home.audit_folder(audit.ref).seat_identity.exists():
            what = "the identity that its evidence is sealed to"
            recovery.lacks("seat", audit.ref, what, f"nothing can be examined: {tenth}")
        return  # else the pod examines the evidence and votes, as it would have
    if kept_ballot(home, audit) is not None:
        return
    wanted = home.audits.commitment(audit, seat.number)
    reason = "which the node has forgotten" if wanted is None else ""
    if wanted is not None:
        words = audit_id(audit.ref), audit.round, home.keys.address
        try:
            for ballot in _candidates(home, audit):
                if commitment(*words, ballot.outcome, ballot.trace, vote_salt(home, audit)) == wanted:
                    keep_ballot(home, audit, ballot)
                    recovery.has("vote", audit.ref, f"{ballot.outcome.name.lower()}, as it was committed to")
                    return
            reason = "and the evidence comes to another one now"
        except ChainUnusable:
            raise
        except FitchainError as error:
            reason = f"and cannot be come to again: {error.message}"
    what = f"the vote that it committed to, {reason}"
    recovery.lacks("vote", audit.ref, what, f"it cannot be shown: {tenth}", "fitchain pod recover --again")


def _candidates(home: Home, audit: Audit) -> Iterator[Ballot]:
    """What may have been voted: what needs no look, then what the evidence comes to."""
    yield Ballot(Outcome.WITHHELD, ZERO)
    yield Ballot(Outcome.INCONCLUSIVE, ZERO)
    if (submission := home.audits.submission(audit)) is None or submission.evidence is None:
        return
    chain_record, folder = (
        with_parents(home.chain, read_chain_record(home.chain, audit, submission.round)),
        home.audit_folder(audit.ref),
    )
    home.add_peer(home.agreements.terms(audit.id).owner)
    secret = home.read_secret(folder.seat_identity)
    with scratch(folder.path, Scratch.AUDIT) as workspace:
        try:
            examined = examine(home.store, submission.evidence, secret, chain_record, workspace, launcher=home.launcher)
        except EnvironmentRefused:
            return
        if examined.outcome is Outcome.MATCH and not folder.released_identity.exists():
            identity = Evidence.read(workspace / EVIDENCE, len(chain_record.leaves)).identity
            if identity is not None:
                home.keep_secret(folder.released_identity, identity)
        yield Ballot(examined.outcome, examined.trace)
