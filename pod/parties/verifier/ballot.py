"""What a verifier votes, as its journal keeps it until it is shown, and what hides it until then."""

from __future__ import annotations

import json
from dataclasses import dataclass

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Audit, Outcome, audit_id
from fitchain.pod.values.digest import Digest


@dataclass(frozen=True)
class Ballot:
    """What this pod votes in one round."""

    outcome: Outcome
    trace: Digest


def keep_ballot(home: Home, audit: Audit, ballot: Ballot) -> None:
    """Write the vote of an audit's round down, before it is committed to."""
    body = {"outcome": ballot.outcome.name, "trace": str(ballot.trace)}
    home.journal.keep_fact(audit.ref, _name(audit), json.dumps(body))


def kept_ballot(home: Home, audit: Audit) -> Ballot | None:
    """The vote of an audit's round, if it was written down."""
    if (written := home.journal.fact(audit.ref, _name(audit))) is None:
        return None
    body = json.loads(written)
    return Ballot(Outcome[body["outcome"]], Digest.parse(body["trace"]))


def vote_salt(home: Home, audit: Audit) -> Digest:
    """What hides a vote until it is revealed: derived from the pod's secret, so that a restart
    finds it."""
    return Digest(home.keys.derive("fitchain/vote/v2", audit_id(audit.ref), audit.round))


def _name(audit: Audit) -> str:
    return f"ballot/{audit.round}"
