"""A verifier's consent: whether it takes a seat, before it owes anything.

A verifier that was drawn owes nothing until it joins. What its policy refuses, or its stake, its
chain or its host cannot serve, it declines at once, so that somebody else is drawn. Joining a panel
or the pool is a transaction of its own, and is its trust in whoever draws from there; the policy
says the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fitchain.pod.compute import environment
from fitchain.pod.compute.dataset import Card
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.links import LinkChain
from fitchain.pod.ports.agreement import Audit, AuditTerms, Terms
from fitchain.pod.ports.memory import free_memory
from fitchain.pod.ports.verifiers import Verifier
from fitchain.pod.proof.audit.evidence import MOST_ROWS
from fitchain.pod.proof.audit.pace import REPLAY_SHARE, SLOW_HOST, Pace, steps_beside
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import EnvironmentRefused, InputRefused, NotFound, StoreUnusable
from fitchain.pod.values.ids import WHOLE_POOL
from fitchain.pod.values.limits import CARD
from fitchain.pod.values.recipe import DEFAULT_CLASS, Environment

MEMORY_SHARE = 0.5
"""How much of the memory that is free a replay may take by what is known before: beside a step's
values there are the state's bytes, torch itself, and whoever else needs some."""
DEFAULT_THREADS = 1


@dataclass(frozen=True)
class Replay:
    """What a replay takes of its host, by the terms.

    Args:
        steps: that are trained again.
        seconds: that they take at most.
    """

    steps: int = 0
    seconds: float = 0.0

    def __add__(self, other: Replay) -> Replay:
        return Replay(self.steps + other.steps, self.seconds + other.seconds)


NOTHING = Replay()


@dataclass(frozen=True)
class ConsentPolicy:
    """What a verifier asks of an audit whose seat it takes.

    Args:
        pool: whether it sits in audits whose verifiers are drawn from the whole pool.
        least_fee: FIT, base units, of its seat.
        highest_stake: FIT, base units, that its seat may lock; None sets no limit but its stake.
        most_steps: how many steps it trains again at most, in this audit and those that it has yet
            to vote in together; None: as many as fit into half of the time to vote at its pace.
        most_memory: bytes that a step's values may take; None: half of what is free here.
        pace: how fast this host trains.
        modes: the disclosure modes in which it works.
    """

    pool: bool = True
    least_fee: int = 0
    highest_stake: int | None = None
    most_steps: int | None = None
    most_memory: int | None = None
    pace: Pace = SLOW_HOST
    modes: tuple[AuditMode, ...] = tuple(AuditMode)

    def replay(self, audit: Audit, terms: Terms) -> Replay:
        """What the replay of an audit takes here.

        Args:
            audit: as it stands.
            terms: of the agreement.
        """
        steps = min(audit.audited * terms.segment_steps, terms.steps)
        return Replay(steps, self.pace.seconds(terms.work, steps + steps_beside(steps, terms.segment_steps)))

    def refusal(self, audit: Audit, terms: AuditTerms, replay: Replay, waiting: Replay = NOTHING) -> str:
        """Why it does not take a seat; empty where it does.

        Args:
            audit: as it stands.
            terms: of the audit.
            replay: what its replay takes.
            waiting: likewise, all replays of audits that it joined and has yet to vote in.
        """
        if terms.panel == WHOLE_POOL and not self.pool:
            return "its verifiers are drawn from the whole pool"
        if terms.mode not in self.modes:
            return f"its mode is {terms.mode}"
        if audit.fee_per_seat < self.least_fee:
            return f"a seat earns {amount_text(audit.fee_per_seat)} FIT, less than {amount_text(self.least_fee)}"
        if self.highest_stake is not None and audit.seat_stake > self.highest_stake:
            return f"a seat locks {amount_text(audit.seat_stake)} FIT, more than {amount_text(self.highest_stake)}"
        beside = f" beside {waiting.steps} of other audits" if waiting.steps else ""
        asked = f"{replay.steps} steps are to be trained again{beside}"
        whole = replay + waiting
        if self.most_steps is not None and whole.steps > self.most_steps:
            return f"{asked}, more than {self.most_steps}"
        if whole.seconds > REPLAY_SHARE * audit.window:
            return f"{asked}, which may take {whole.seconds:.0f} s here, and a vote is due within {audit.window} s"
        return ""

    def memory_refusal(self, step_bytes: int, free_bytes: int) -> str:
        """Why this host has not the memory for a replay; empty where it has.

        Args:
            step_bytes: that a step's values take.
            free_bytes: of memory.
        """
        most = int(MEMORY_SHARE * free_bytes)
        most = most if self.most_memory is None else min(most, self.most_memory)
        if step_bytes <= most:
            return ""
        return f"a step takes {step_bytes >> 20} MiB of memory, more than the {most >> 20} MiB that it may take here"


# Many parameters: what the verifier asks, and how it stands.
def refusal(
    home: Home,
    policy: ConsentPolicy,
    links: LinkChain,
    audit: Audit,
    verifier: Verifier,
    waiting: Replay,
    patient: bool,
) -> str:
    """The first reason to decline a seat, from cheap to dear; empty where there is none.

    Args:
        home: the verifier's.
        policy: its own.
        links: its hash chain.
        audit: as it stands.
        verifier: its account, as it stands.
        waiting: what it has yet to train again for other audits.
        patient: whether what is not to be had now is waited for.

    Raises:
        ChainUnusable, StoreUnusable, NotFound: it cannot be said now.
    """
    agreed, terms = home.agreements.terms(audit.id), home.agreements.audit_terms(audit.ref)
    if reason := policy.refusal(audit, terms, policy.replay(audit, agreed), waiting):
        return reason
    if verifier.free < audit.seat_stake:
        free, needed = amount_text(verifier.free), amount_text(audit.seat_stake)
        return f"{free} FIT of its stake are free, and the seat locks {needed}"
    if links.link(verifier, audit.opening) is None:
        return "its hash chain does not serve this audit: it was renewed after the opening, or is too far from it"
    if (count := home.chain.call("Registry", "dataset", agreed.dataset)["count"]) > MOST_ROWS:
        return f"the dataset has {count} records, more than an audit looks at"
    if reason := policy.memory_refusal(agreed.step_bytes, free_memory()):
        return reason
    return unfit_host(home, agreed, patient)


def unfit_host(home: Home, terms: Terms, patient: bool) -> str:
    """Why this host does not reproduce the environment that the terms name; empty where it does.

    The terms have no more than the digest of its record. Known beforehand are the classes whose
    probes ship, and those that the dataset's card publishes; whatever else it may be, who joined
    could not know it. A card that is none, or that nobody has any more, publishes nothing.

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
        wanted = _named(terms.environment, environment.shipped_environments())
        if wanted is None:
            wanted = _named(terms.environment, _published(home, terms, patient))
        default = Environment(DEFAULT_CLASS, DEFAULT_THREADS, environment.installed_torch())
        if wanted is None and environment.shipped_probe(default) is None:  # what others with this torch draft
            wanted = _named(terms.environment, [environment.describe_host(DEFAULT_CLASS, DEFAULT_THREADS, cache)])
        if wanted is None:
            return (
                f"the terms name the environment {terms.environment.short}, which is none that ships or that the "
                "dataset's card publishes"
            )
        environment.check(wanted, cache)
    except EnvironmentRefused as error:
        return error.message
    return ""


def _named(digest: Digest, environments: Iterable[Environment]) -> Environment | None:
    """The environment that a digest names."""
    return next((each for each in environments if each.digest == digest), None)


def _published(home: Home, terms: Terms, patient: bool) -> Iterator[Environment]:
    """The environments whose probes a job's dataset publishes, of classes known here and with this
    host's torch; the probes do not say for how many threads they are, so that running them tells.
    More than this host has cores it does not train with."""
    torch = environment.installed_torch()
    for name, probe in _published_probes(home, terms, patient).items():
        if name in environment.CLASSES:
            for threads in range(1, (os.cpu_count() or 1) + 1):
                yield Environment(name, threads, torch, Digest.parse(probe))


def _published_probes(home: Home, terms: Terms, patient: bool) -> Mapping[str, str]:
    """The probes that a job's dataset publishes, by their classes."""
    home.add_peer(terms.owner)
    try:
        return Card.parse(home.store.cat(home.registry.dataset(terms.dataset).card, CARD.text_bytes)).probes
    except InputRefused:
        return {}
    except (NotFound, StoreUnusable):
        if patient:
            raise
        return {}
