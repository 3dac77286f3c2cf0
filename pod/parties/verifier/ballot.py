"""What a verifier votes, as its journal keeps it until it is shown, and what hides it until then."""

from __future__ import annotations

import json
from dataclasses import dataclass

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Audit, Outcome, Submission, audit_id
from fitchain.pod.values.digest import Digest, canonical_json, sha256


@dataclass(frozen=True)
class Ballot:
    """What this pod votes in one round."""

    outcome: Outcome
    trace: Digest


def question_of(home: Home, audit: Audit, submission: Submission) -> str:
    """What a vote is about. After a reorganisation of the chain the same round may ask about other
    segments, another run or other evidence, and a vote on what was there before would be a lie."""
    run, seed = home.agreements.run_record(audit.id), home.audits.segment_seed(audit.ref)
    words = seed, run.seed, run.transcript_root, run.delivery, submission.evidence, submission.round
    return str(sha256(canonical_json([str(word) for word in words])))


def keep_ballot(home: Home, audit: Audit, ballot: Ballot, question: str = "") -> None:
    """Write the vote of an audit's round down, before it is committed to. What was written on
    another question stays beside it, since the chain may come back to that.

    Args:
        home: the verifier's.
        audit: as it stands.
        ballot: the vote.
        question: what it is about; empty where that is not known.
    """
    journal = home.journal
    if before := journal.fact(audit.ref, _name(audit)):
        journal.keep_fact(audit.ref, f"{_name(audit)}/{json.loads(before).get('question', '')}", before)
    body = {"outcome": ballot.outcome.name, "trace": str(ballot.trace), "question": question}
    journal.keep_fact(audit.ref, _name(audit), json.dumps(body))


def kept_ballot(home: Home, audit: Audit, question: str | None = None) -> Ballot | None:
    """The vote of an audit's round on a question, if it was written down; without one the last that
    was."""
    for name in (_name(audit), f"{_name(audit)}/{question}"):
        written = home.journal.fact(audit.ref, name)
        body = json.loads(written) if written else {}
        if written and question in (None, body.get("question", "")):
            return Ballot(Outcome[body["outcome"]], Digest.parse(body["trace"]))
    return None


def vote_salt(home: Home, audit: Audit) -> Digest:
    """What hides a vote until it is revealed: derived from the pod's secret, so that a restart
    finds it."""
    return Digest(home.keys.derive("fitchain/vote/v2", audit_id(audit.ref), audit.round))


def _name(audit: Audit) -> str:
    return f"ballot/{audit.round}"
