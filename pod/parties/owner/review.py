"""What a person sees before it says yes: to a request, or to another audit of a job.

Who asks, for what model and recipe, what would leave and could be carried in it, how long it takes,
who would judge, and what the pod has against it. Read without a key once the pod has examined it;
before that the offer is sealed, and whoever holds the keys can open it for a look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from fitchain.pod.compute.dataset import Card, RiskTerms
from fitchain.pod.jobs import history
from fitchain.pod.jobs.bases import OfferedBase
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.offered import Offered, local_offer, open_offer
from fitchain.pod.jobs.panel_status import PanelStatus, panel_of
from fitchain.pod.jobs.privacy_cost import PrivacyCost, cost_of
from fitchain.pod.parties.owner.asked import concerns, lost, panel_of_question, records_of, require_open
from fitchain.pod.parties.owner.disclosed import Opened, counted_records, opened_before
from fitchain.pod.parties.owner.examine import OFFERED_BASE, TRAINING_S, check_chain, dataset_of, queued_s
from fitchain.pod.parties.owner.pod import require_request
from fitchain.pod.ports.agreement import Agreement, AskedAudit, AuditTerms, State
from fitchain.pod.ports.registry import ModelEntry, Role
from fitchain.pod.ports.trust import trusted_by
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.ids import NO_MODEL, WHOLE_POOL, AgreementId, AuditRef
from fitchain.pod.values.recipe import Recipe

MOST_EARLIER = 200
"""Earlier jobs of who asks that are looked at."""


@dataclass(frozen=True)
class Asker:
    """Who asks for a job.

    Args:
        address: its account.
        role: of its pod; None where it has never run one.
        earlier: how the jobs stand that it asked this owner for before, the newest `MOST_EARLIER`.
    """

    address: str
    role: Role | None
    earlier: Mapping[State, int]


@dataclass(frozen=True)
class Times:
    """How long a training takes, as far as it is known.

    Args:
        training_s: seconds, by its rehearsal; None before it.
        before_s: seconds of the trainings that were accepted before and have not ended.
    """

    training_s: float | None
    before_s: float


@dataclass(frozen=True)
class Records:
    """The records that a job trains on, as numbers.

    Args:
        count: how many records.
        each: numbers that a model reads of one, its target among them.
    """

    count: int
    each: int

    @property
    def numbers(self) -> int:
        """All of them."""
        return self.count * self.each


@dataclass(frozen=True)
class Base:
    """The base of an offered model.

    Args:
        entry: as it is registered.
        said: what the offer says of it; None before the pod has fetched that.
        is_here: whether this home has a model of its root.
    """

    entry: ModelEntry
    said: OfferedBase | None
    is_here: bool


@dataclass(frozen=True)
class Review:
    """What is to be decided on.

    Args:
        agreement: as the chain has it.
        dataset: the name on the card of its dataset.
        terms: of the audit or the dispute; without seats there is none.
        panel: from which it draws, as it stood when it was asked for; None for the whole pool, or
            where nobody is to judge.
        records: how many it counts with at most against the cap; None where the recipe is not here.
        before: what all other audits of the dataset count.
        cap: how many records may ever be opened; None sets no limit.
        concerns: what the pod has against it, in sentences.
        examined: whether all was checked: of a request the chain's terms alone are, before the pod
            has fetched and rehearsed it.
        asker: who asked for the job.
        times: how long it takes.
        metrics_leave: whether notes to the scientist carry its metrics.
        trusted_in_pool: whom of the whole pool, as it stood when the job was requested, this home
            trusts; empty where a panel is named.
        privacy: what accepting costs of the privacy budget; None where the dataset has none.
        offered: what is to be trained, and how; None where that is not here, or was not opened.
        trained_on: the records that it trains on; likewise.
        may_reveal: whether the dataset is open to strangers by its owner's word that models may
            reveal records.
        base: of what registered model the offered one is a delta; None where it is whole.
        risk: whether a privacy-risk report is made, and what of it leaves; None where none is.
        asked: the question, where it is for another audit.
    """

    agreement: Agreement
    dataset: str
    terms: AuditTerms
    panel: PanelStatus | None
    records: int | None
    before: Opened
    cap: int | None
    concerns: tuple[str, ...]
    examined: bool
    asker: Asker
    times: Times
    metrics_leave: bool
    trusted_in_pool: tuple[str, ...] = ()
    privacy: PrivacyCost | None = None
    offered: Offered | None = None
    trained_on: Records | None = None
    may_reveal: bool = False
    base: Base | None = None
    risk: RiskTerms | None = None
    asked: AskedAudit | None = None


def review_request(home: Home, id: AgreementId) -> Review:
    """What a person should know of a request on this home's data that waits for an answer.

    Raises:
        NotFound: there is no such agreement.
        AccessRefused: its dataset is not this home's.
        Unusable: the request is answered already.
        InputRefused: what lies here of it is malformed.
        ChainUnusable: the node does not answer.
    """
    return review_job(home, require_request(home, id))


def is_own(home: Home, agreement: Agreement) -> bool:
    """Whether a job is about data of this home."""
    return agreement.terms.dataset in {row.id for row in home.journal.datasets()}


def review_job(home: Home, agreement: Agreement) -> Review:
    """What a person should know of a job on this home's data, wherever it stands.

    Raises:
        NotFound, InputRefused, ChainUnusable: as `review_request`.
    """
    id = agreement.id
    terms, card = agreement.terms.audit, dataset_of(home, agreement)[1]
    offered, examined = local_offer(home, agreement), home.journal.happened(id, history.Checked)
    if examined:
        reasons = list(home.journal.last(id, history.Checked).concerns)
    else:
        try:
            reasons = check_chain(home, agreement, card.policy, card.privacy is not None)
        except InputRefused as refusal:
            reasons = [f"the policy does not admit it: {refusal.message}"]
    return Review(
        agreement=agreement,
        dataset=card.name,
        terms=terms,
        panel=panel_of(home, agreement),
        records=counted_records(terms, offered.recipe, card) if offered else None,
        before=opened_before(home, agreement, AuditRef(id)),
        cap=card.policy.disclosure_cap,
        concerns=tuple(reasons),
        examined=examined,
        asker=read_asker(home, agreement),
        times=read_times(home, agreement),
        metrics_leave=card.policy.metrics_leave,
        base=read_base(home, agreement),
        risk=card.policy.risk,
        trusted_in_pool=_trusted_in_pool(home, terms, agreement.requested_block),
        privacy=cost_of(home, home.registry.dataset(agreement.terms.dataset), card, agreement.terms.charge),
        offered=offered,
        trained_on=records_trained_on(card, offered.recipe) if offered else None,
        may_reveal=card.is_open and card.privacy is None,
    )


def opened(home: Home, review: Review) -> Review:
    """A review with what the offer says, opened for a look.

    Args:
        home: the owner's, opened with its key.
        review: without it.

    Raises:
        As `open_offer`.
    """
    offered = open_offer(home, review.agreement)
    _, card = dataset_of(home, review.agreement)
    counted = counted_records(review.terms, offered.recipe, card)
    trained_on = records_trained_on(card, offered.recipe)
    return replace(review, offered=offered, records=counted, trained_on=trained_on)


def records_trained_on(card: Card, recipe: Recipe) -> Records | None:
    """The records that a recipe trains on; None where it names what the dataset does not have, for
    which it is declined."""
    names = [*(name for argument in recipe.inputs for name in argument), recipe.target]
    shapes = {column.name: column.shape for column in card.columns}
    if any(name not in shapes for name in names):
        return None
    used = recipe.training_count * recipe.unit_records * card.record_count // card.count
    return Records(used, sum(prod(shapes[name]) for name in names))


def read_asker(home: Home, agreement: Agreement) -> Asker:
    """Who asks for a job, and how its earlier jobs with this owner stand.

    Raises:
        ChainUnusable: the node does not answer.
    """
    address = agreement.scientist
    try:
        role = home.registry.pod(address).role
    except NotFound:
        role = None
    ids = home.agreements.list(owner=agreement.terms.owner, scientist=address)
    earlier = ids[: ids.index(agreement.id)] if agreement.id in ids else ids
    states = Counter(each.state for each in home.agreements.read_many(earlier[-MOST_EARLIER:]))
    return Asker(address, role, states)


def read_base(home: Home, agreement: Agreement) -> Base | None:
    """The base of an offered model; None where it is whole.

    Raises:
        NotFound: the chain does not know the model.
        ChainUnusable: the node does not answer.
    """
    if (base := home.registry.model(agreement.terms.model).base) == NO_MODEL:
        return None
    entry, said = home.registry.model(base), home.journal.fact(agreement.id, OFFERED_BASE)
    return Base(entry, None if said is None else OfferedBase.parse(said), home.bases.path(entry.root).exists())


def _trusted_in_pool(home: Home, terms: AuditTerms, before: int) -> tuple[str, ...]:
    """Whom this home trusts of those who stood in the whole pool before a block; nobody where that
    is not drawn from."""
    if not terms.seats or terms.panel != WHOLE_POOL:
        return ()
    trusted = sorted(trusted_by(home.chain).accounts)
    places = home.verifiers.memberships([(0, account) for account in trusted]) if trusted else []
    return tuple(account for account, kept in zip(trusted, places, strict=True) if kept.stands and kept.joined < before)


def read_times(home: Home, agreement: Agreement) -> Times:
    """How long a training takes by its rehearsal, and what is trained before it.

    Raises:
        ChainUnusable: the node does not answer.
    """
    kept = home.journal.fact(agreement.id, TRAINING_S)
    waits = agreement.state in (State.REQUESTED, State.ACCEPTED)
    return Times(None if kept is None else float(kept), queued_s(home, agreement) if waits else 0.0)


def review_question(home: Home, ref: AuditRef) -> Review:
    """What a person should know of another audit that is asked for of a job on this home's data.

    Raises:
        NotFound: nobody asked for it.
        AccessRefused: its dataset is not this home's.
        Unusable: it is answered already, or the time for it has passed.
        ChainUnusable: the node does not answer.
    """
    asked = require_open(home, ref)
    agreement = home.agreements.read(ref.agreement)
    card = dataset_of(home, agreement)[1]
    reasons = concerns(home, agreement, asked)
    if reason := lost(home, agreement, asked):
        reasons.append(f"the pod cannot consent: {reason}")
    return Review(
        agreement=agreement,
        dataset=card.name,
        terms=asked.terms,
        panel=panel_of_question(home, agreement, asked),
        records=records_of(home, asked),
        before=opened_before(home, agreement, ref),
        cap=card.policy.disclosure_cap,
        concerns=tuple(reasons),
        examined=True,
        asker=read_asker(home, agreement),
        times=read_times(home, agreement),
        metrics_leave=card.policy.metrics_leave,
        trusted_in_pool=_trusted_in_pool(home, asked.terms, asked.requested_block),
        asked=asked,
    )
