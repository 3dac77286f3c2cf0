"""A verifier's consent: whether it takes a seat, before it owes anything.

A verifier that was drawn owes nothing until it joins. What its policy refuses, or its stake, its
chain or its host cannot serve, it declines at once, so that somebody else is drawn. Joining a panel
or the pool is a transaction of its own, and is its trust in whoever draws from there; the policy
says the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fitchain.pod.compute import environment
from fitchain.pod.compute.dataset import Card
from fitchain.pod.compute.dataset.card import CARD_BYTES
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.links import LinkChain
from fitchain.pod.ports.agreement import Audit, AuditTerms, Terms
from fitchain.pod.ports.chain.base import amount_text
from fitchain.pod.ports.verifiers import Verifier
from fitchain.pod.proof.audit.evidence import MOST_ROWS
from fitchain.pod.proof.certificate.timing import STEP_S
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import EnvironmentRefused, InputRefused, NotFound, StoreUnusable
from fitchain.pod.values.ids import WHOLE_POOL
from fitchain.pod.values.recipe import DEFAULT_CLASS, Environment

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
        most = round(REPLAY_SHARE * audit.window / self.step_s)
        most = most if self.most_steps is None else min(most, self.most_steps)
        if steps + waiting > most:
            beside = f" beside {waiting} of other audits" if waiting else ""
            return f"{steps} steps are to be trained again{beside}, more than {most}"
        return ""


# Many parameters: what the verifier asks, and how it stands.
def refusal(
    home: Home,
    policy: ConsentPolicy,
    links: LinkChain,
    audit: Audit,
    verifier: Verifier,
    waiting: int,
    patient: bool,
) -> str:
    """The first reason to decline a seat, from cheap to dear; empty where there is none.

    Args:
        home: the verifier's.
        policy: its own.
        links: its hash chain.
        audit: as it stands.
        verifier: its account, as it stands.
        waiting: steps that it has yet to train again for other audits.
        patient: whether what is not to be had now is waited for.

    Raises:
        ChainUnusable, StoreUnusable, NotFound: it cannot be said now.
    """
    agreed, terms = home.agreements.terms(audit.id), home.agreements.audit_terms(audit.ref)
    if reason := policy.refusal(audit, terms, replayed_steps(audit, agreed), waiting):
        return reason
    if verifier.free < audit.seat_stake:
        free, needed = amount_text(verifier.free), amount_text(audit.seat_stake)
        return f"{free} FIT of its stake are free, and the seat locks {needed}"
    if links.link(verifier, audit.opening) is None:
        return "its hash chain does not serve this audit: it was renewed after the opening, or is too far from it"
    if (count := home.chain.call("Registry", "dataset", agreed.dataset)["count"]) > MOST_ROWS:
        return f"the dataset has {count} records, more than an audit looks at"
    return unfit_host(home, agreed, patient)


def replayed_steps(audit: Audit, terms: Terms) -> int:
    """The most steps that the replay of an audit takes."""
    return min(audit.audited * terms.segment_steps, terms.steps)


def unfit_host(home: Home, terms: Terms, patient: bool) -> str:
    """Why this host cannot replay a job, as far as can be known before its recipe is opened; empty
    where it can.

    Jobs are of the default class, or of one whose probe their dataset's card publishes: a host must
    reproduce each of them. A card that is none, or that nobody has any more, publishes nothing:
    else an owner could empty a jury by withdrawing it.

    Args:
        home: the verifier's.
        terms: of the agreement.
        patient: whether a card that is not to be had now is waited for.

    Raises:
        ChainUnusable: it cannot be said now.
        StoreUnusable, NotFound: likewise, where it is patient.
    """
    cache = environment.host_cache()
    try:
        environment.describe_host(DEFAULT_CLASS, DEFAULT_THREADS, cache)
        for name, probe in _published_probes(home, terms, patient).items():
            wanted = Environment(name, DEFAULT_THREADS, environment.installed_torch(), Digest.parse(probe))
            environment.check(wanted, cache)
    except EnvironmentRefused as error:
        return error.message
    return ""


def _published_probes(home: Home, terms: Terms, patient: bool) -> Mapping[str, str]:
    """The probes that a job's dataset publishes, by their classes."""
    home.add_peer(terms.owner)
    try:
        return Card.parse(home.store.cat(home.registry.dataset(terms.dataset).card, CARD_BYTES)).probes
    except InputRefused:
        return {}
    except (NotFound, StoreUnusable):
        if patient:
            raise
        return {}
