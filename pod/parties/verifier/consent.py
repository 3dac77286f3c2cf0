"""A verifier's consent: whether it takes a seat, before it owes anything.

A verifier that was drawn owes nothing until it joins. What its policy refuses, or its stake, its
chain or its host cannot serve, it declines at once, so that somebody else is drawn. Joining a panel
or the pool is a transaction of its own, and is its trust in whoever draws from there; the policy
says the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fitchain.pod.compute import environment
from fitchain.pod.compute.dataset import Card
from fitchain.pod.compute.dataset.card import CARD_BYTES
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.verifier.links import LinkChain
from fitchain.pod.ports.agreement import Audit, AuditTerms, Terms
from fitchain.pod.ports.chain.base import amount_text
from fitchain.pod.ports.verifiers import Verifier
from fitchain.pod.proof.audit.evidence import MOST_ROWS
from fitchain.pod.proof.certificate.timing import STEP_S
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import EnvironmentRefused, InputRefused
from fitchain.pod.values.ids import WHOLE_POOL
from fitchain.pod.values.recipe import DEFAULT_CLASS

REPLAY_SHARE = 0.5
"""How much of the time to vote a replay may take by what is known before."""
DEFAULT_THREADS = 1


@dataclass(frozen=True)
class ConsentPolicy:
    """What a verifier asks of an audit whose seat it takes.

    Args:
        pool: whether it sits in audits whose verifiers are drawn from the whole pool.
        least_fee: FIT, base units, of its seat.
        highest_stake: FIT, base units, that its seat may lock; None sets no limit but its stake.
        most_steps: how many steps it trains again at most, in this audit and those that it has yet
            to vote in together; None: as many as fit into half of the time to vote at `step_s`.
        step_s: seconds that a step takes here at the least.
        modes: the disclosure modes in which it works.
    """

    pool: bool = True
    least_fee: int = 0
    highest_stake: int | None = None
    most_steps: int | None = None
    step_s: float = STEP_S
    modes: tuple[AuditMode, ...] = tuple(AuditMode)

    def refusal(self, audit: Audit, terms: AuditTerms, steps: int, waiting: int = 0) -> str:
        """Why it does not take a seat; empty where it does.

        Args:
            audit: as it stands.
            terms: of the audit.
            steps: that its replay takes.
            waiting: likewise, of the audits that it joined and has yet to vote in.
        """
        if terms.panel == WHOLE_POOL and not self.pool:
            return "its verifiers are drawn from the whole pool"
        if terms.mode not in self.modes:
            return f"its mode is {terms.mode}"
        if audit.fee_per_seat < self.least_fee:
            return f"a seat earns {amount_text(audit.fee_per_seat)} FIT, less than {amount_text(self.least_fee)}"
        if self.highest_stake is not None and audit.seat_stake > self.highest_stake:
            return f"a seat locks {amount_text(audit.seat_stake)} FIT, more than {amount_text(self.highest_stake)}"
        most = int(REPLAY_SHARE * audit.window / self.step_s)
        most = most if self.most_steps is None else min(most, self.most_steps)
        if steps + waiting > most:
            beside = f" beside {waiting} of other audits" if waiting else ""
            return f"{steps} steps are to be trained again{beside}, more than {most}"
        return ""


def refusals(
    home: Home, policy: ConsentPolicy, links: LinkChain, audit: Audit, verifier: Verifier, waiting: int
) -> Iterator[str]:
    """Every reason to decline a seat, from cheap to dear.

    Args:
        home: the verifier's.
        policy: its own.
        links: its hash chain.
        audit: as it stands.
        verifier: its account, as it stands.
        waiting: steps that it has yet to train again for other audits.

    Raises:
        ChainUnusable, StoreUnusable, NotFound: it cannot be said now.
    """
    agreed, terms = home.agreements.terms(audit.id), home.agreements.audit_terms(audit.ref)
    if reason := policy.refusal(audit, terms, replayed_steps(audit, agreed), waiting):
        yield reason
    if verifier.free < audit.seat_stake:
        free, needed = amount_text(verifier.free), amount_text(audit.seat_stake)
        yield f"{free} FIT of its stake are free, and the seat locks {needed}"
    if links.link(verifier, audit.opening) is None:
        yield "its hash chain does not serve this audit: it was renewed later, or is far behind"
    if (count := home.chain.call("Registry", "dataset", agreed.dataset)["count"]) > MOST_ROWS:
        yield f"the dataset has {count} records, more than an audit looks at"
    if reason := unfit_host(home, agreed):
        yield reason


def replayed_steps(audit: Audit, terms: Terms) -> int:
    """The most steps that the replay of an audit takes."""
    return min(audit.audited * terms.segment_steps, terms.steps)


def unfit_host(home: Home, terms: Terms) -> str:
    """Why this host cannot replay a job, as far as can be known before its recipe is opened.

    Jobs are of the classes whose probes their dataset's card names, or of the default class where
    it names none: a host must reproduce each of them.

    Raises:
        ChainUnusable, StoreUnusable, NotFound: it cannot be said now.
    """
    cache = environment.host_cache()
    try:
        probes = _probes(home, terms)
    except InputRefused as error:
        return f"the card of its dataset is none: {error.message}"
    try:
        for name, probe in probes.items():
            here = str(environment.describe_host(name, DEFAULT_THREADS, cache).probe)
            if here != probe:
                return f"this host does not reproduce the class {name} as the dataset's card names it"
        if not probes:
            environment.describe_host(DEFAULT_CLASS, DEFAULT_THREADS, cache)
    except EnvironmentRefused as error:
        return error.message
    return ""
