"""Asking for a training: a recipe is drafted, rehearsed, sealed to the owner and requested."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from fitchain.pod.compute import environment
from fitchain.pod.compute.dataset import Card
from fitchain.pod.jobs import history
from fitchain.pod.jobs.asker import asker_nonce
from fitchain.pod.jobs.exchange import send_folder
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import ModelRow, RequestRow
from fitchain.pod.jobs.metering import measured_work
from fitchain.pod.jobs.privacy_cost import PrivacyCost, cost_of
from fitchain.pod.jobs.rehearsal import MOCK_LIMIT_BYTES, rehearse
from fitchain.pod.jobs.retry import Log
from fitchain.pod.jobs.worker.events import Finished
from fitchain.pod.parties.scientist.publish import MODEL_FILES, read_card
from fitchain.pod.ports.agreement import AuditTerms, Terms, agreement_id, commit_nonce
from fitchain.pod.ports.agreement.descent import trained_parents
from fitchain.pod.ports.chain import Receipt
from fitchain.pod.ports.registry import DatasetEntry, ModelEntry, Role
from fitchain.pod.ports.store import Cid
from fitchain.pod.proof.audit.disclosure import disclosure
from fitchain.pod.proof.audit.storage import require_evidence_fits
from fitchain.pod.proof.descent import rows_to_keep
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.delta import WEIGHTS
from fitchain.pod.values.digest import ZERO, Digest, Root
from fitchain.pod.values.errors import (
    ChainUnusable,
    InputRefused,
    NodeUnreachable,
    NotFound,
    NotMinedYet,
    Reverted,
    Unusable,
    host_errors,
    require_faultless,
)
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.ids import AgreementId, DatasetId, ModelId
from fitchain.pod.values.job_folder import GRAPH, OFFER_FILES, RECIPE, JobFolder, Scratch, scratch
from fitchain.pod.values.recipe import Recipe, draft
from fitchain.pod.values.recipe.draft import groups_in
from fitchain.pod.values.recipe.faults import faults_of
from fitchain.pod.values.recipe.parameter_groups import group_faults
from fitchain.pod.values.work import StepWork

DAY_S = 86_400
WINDOWS = (DAY_S, DAY_S, DAY_S)
SENT_AT, SENT_ON, GIVEN_UP, UNHEARD = "sent_at", "sent_on", "given_up", "unheard"
"""Facts of a request in the journal: when somebody asked for it last, by the chain's time; on which
chain and deployment; why it is not sent by itself any more; that its pod alone wrote down that it
was sent."""
LOCK = "requests.lock"


@dataclass(frozen=True)
class JobRequest:
    """A training as a scientist asks for it.

    Args:
        dataset: what to train on.
        model: what to train; published from this home.
        recipe_overrides: terms of the recipe that differ from the defaults
            (`fitchain.pod.values.recipe.TERMS`).
        price: in base units of FIT, locked at once together with the fees of an agreed audit; None
            takes the card's.
        bond: in base units of FIT, what the owner risks; None asks for as much as the price, and no
            less than the fees of an audit or a dispute.
        windows: seconds for acceptance, training and dispute.
        audit: who audits the training, or a dispute about it; None: nobody. They stand in the
            recipe, whatever its overrides say.
        rehearsed: train the first segments on the card's mock data here first.
        recipe_source: where its overrides come from, a file say, for what is said against them.
    """

    dataset: DatasetId
    model: ModelId
    recipe_overrides: Mapping[str, Any] = field(default_factory=dict)
    price: int | None = None
    bond: int | None = None
    windows: tuple[int, int, int] = WINDOWS
    audit: AuditTerms | None = None
    rehearsed: bool = True
    recipe_source: str = ""


def request_job(home: Home, request: JobRequest, on_cost: Callable[[PrivacyCost], None] | None = None) -> AgreementId:
    """Ask the owner of a dataset to train a model.

    An identical request that was interrupted is taken up again, so that asking twice pays once.

    Args:
        home: the scientist's, opened with its key.
        request: what is asked for.
        on_cost: told what it costs of the dataset's privacy budget, before anything is sent.

    Returns:
        the agreement's id.

    Raises:
        NotFound: no such dataset or model, or its owner has no pod.
        InputRefused: the recipe does not fit the dataset, the graph or the policy.
        ChainUnusable: too little FIT or ETH, or the contract refuses.
        Unusable: dataset or model is retired, or too few of those who stand in the panel, or in the
            pool, could be drawn.
    """
    card, row = read_card(home, request.dataset), home.journal.model(request.model)
    price = card.price if request.price is None else request.price
    audit = request.audit or AuditTerms()
    recipe = _keeping_rows(home, request, recipe_of(home, card, request, _recipe_audit(audit) if audit.seats else None))
    card.admit(recipe, price, home.keys.address, disclosure(audit, recipe, card))
    graph = Graph.parse((row.folder / GRAPH).read_bytes())
    graph.check(environment.environment_class(recipe.environment.name).admits)
    if audit.seats:
        require_evidence_fits(recipe, graph, card, audit.drawn_segments)
    dataset = home.registry.dataset(request.dataset)
    cost = _require_fitting(home, dataset, card, recipe)
    if cost is not None and on_cost is not None:
        on_cost(cost)
    work = measured_work(home, recipe, row.folder)
    card.policy.admit_memory(work.bytes)
    terms = terms_of(dataset.owner, request, recipe, price, work)
    home.chain.require_fit(price + audit.locked, "the request")
    home.chain.catch_up()
    kept = _interrupted(home, terms)
    if kept is None or not _is_on_chain(home, kept):  # what is there was open then, and has its jury
        _require_open(home, dataset, home.registry.model(request.model))
        if audit.seats:
            parties = terms.owner, home.keys.address, home.keys.address
            home.verifiers.require_eligible(audit.panel, parties, audit.seats)
    home.register_or_update(Role.SCIENTIST)  # the owner seals notes and delivery to it
    kept = kept or _prepare(home, terms, recipe, row.folder, card, request.rehearsed)
    with _sending(home, wait=True):
        home.journal.keep_fact(kept.agreement, SENT_AT, str(home.chain.block("latest").timestamp))
        home.journal.keep_fact(kept.agreement, SENT_ON, deployment_of(home))
        home.journal.keep_fact(kept.agreement, GIVEN_UP, "")
        home.journal.keep_request(kept)
        if not _is_on_chain(home, kept):
            _send(home, kept, terms)
        home.journal.record(kept.agreement, history.Requested(request.dataset, request.model, str(price)), once="")
        home.journal.keep_fact(kept.agreement, UNHEARD, "")
    return kept.agreement


def recipe_of(home: Home, card: Card, request: JobRequest, audit: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a request, with the columns that its model was published for; not yet with
    held-out rows that an earlier job drew.

    Args:
        home: the scientist's.
        card: of the dataset.
        request: what is asked for.
        audit: the recipe's table `audit`; None leaves what the request's overrides say.

    Raises:
        InputRefused: a term is unknown or out of bounds, or the dataset lacks a column.
        NotFound: this home published no such model.
        EnvironmentRefused: this host is not of the wanted class.
    """
    row = _trainable(home, request.model)
    overrides = dict(request.recipe_overrides) | ({} if audit is None else {"audit": audit})
    wanted = _with_inputs(row, card, overrides)
    base = home.registry.base_root(home.registry.model(request.model))
    graph = Graph.parse((row.folder / GRAPH).read_bytes())
    return draft_recipe(home, card, row.graph, row.initial_model, wanted, request.recipe_source, base, graph)


def _trainable(home: Home, model: ModelId) -> ModelRow:
    """A published model that a job can train.

    Raises:
        NotFound: this home published no such model.
        InputRefused: it is weights without a graph.
    """
    if (row := home.journal.model(model)).graph == WEIGHTS:
        raise InputRefused(
            f"the model {model.short} is weights alone, over which others are published",
            f"publish a module with it: fitchain model publish FILE.py:NAME --base {model.short}",
        )
    return row


def draft_request(home: Home, request: JobRequest) -> Recipe:
    """The recipe that a request would carry, as the dataset's policy admits it; nothing is sent.

    Raises:
        NotFound: no such dataset or model.
        InputRefused: the recipe does not fit the dataset or its policy.
        ChainUnusable: the node does not answer.
    """
    card = read_card(home, request.dataset)
    recipe = _keeping_rows(home, request, recipe_of(home, card, request))
    card.admit(recipe, card.price if request.price is None else request.price, home.keys.address)
    return recipe


def _with_inputs(model: ModelRow, card: Card, overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    """The recipe's terms with the columns that the model was published for, unless they name some.

    Raises:
        InputRefused: the dataset lacks one of these columns.
    """
    if not model.inputs or "inputs" in overrides:
        return overrides
    for name in (name for columns in model.inputs for name in columns):
        if name not in card.model_columns:
            raise InputRefused(
                f"the model was published for a column {name!r:.80}, and this dataset has none that a model may take",
                "name the columns of each argument in the recipe (`inputs = [[...], [...]]`), or publish it again with"
                " --input",
            )
    return {**overrides, "inputs": [list(columns) for columns in model.inputs]}


def _keeping_rows(home: Home, request: JobRequest, recipe: Recipe) -> Recipe:
    """The recipe that keeps the held-out rows of the first job that trained a model from which this
    one descends on the same dataset, where one did."""
    if recipe.held_out is None:
        return recipe
    owner, next_block = home.registry.dataset(request.dataset).owner, home.chain.head() + 1
    parents = trained_parents(home.chain, owner, request.dataset, request.model, next_block)
    return replace(recipe, held_out_from=rows_to_keep(parents))


def asked_terms(home: Home, id: AgreementId) -> Terms:
    """The terms of a request that this home sent, as it wrote them down: whoever sent it is told so
    whatever the node answers now, or asks, and pays, again.

    Raises:
        NotFound: this home sent no such request.
    """
    return _terms_in(home.journal.request(id).terms)


# Sent again


def is_unsent(home: Home, id: AgreementId) -> bool:
    """Whether a request that is not on the chain is still wanted there: nobody took it back, the
    contract did not refuse it, and the time in which it may be accepted has not passed."""
    return _is_wanted(home, id) and _is_of_this_chain(home, id)


def is_of_another_chain(home: Home, id: AgreementId) -> bool:
    """Whether a request is still wanted, and was asked for on another chain or deployment than the
    one that the home is connected to: nobody said that it is wanted here, too."""
    return _is_wanted(home, id) and not _is_of_this_chain(home, id)


def _is_wanted(home: Home, id: AgreementId) -> bool:
    return not home.journal.fact(id, GIVEN_UP) and home.journal.fact(id, SENT_AT) is not None


def _is_of_this_chain(home: Home, id: AgreementId) -> bool:
    return home.journal.fact(id, SENT_ON) in (None, deployment_of(home))  # older journals do not say


def deployment_of(home: Home) -> str:
    """The chain and the deployment that a home is connected to, as a request names them."""
    chain = home.chain
    return f"{chain.chain_id}/{chain.node.genesis}/{chain.deployment.addresses['Agreements']}"


def send_again(home: Home, id: AgreementId, log: Log) -> None:
    """Send a request that was written down and is not on the chain: its process was cut off, the
    transaction got lost, or the chain took it back. Its id follows from its salt, so that it is
    never there twice. A command that is sending it is left alone.

    Args:
        home: the scientist's.
        id: the agreement's id to be.
        log: told what happens.

    Raises:
        Reverted: the contract does not take it any more; it is not tried again.
        FitchainError: it cannot be sent now.
    """
    with _sending(home, wait=False) as is_alone:
        row = home.journal.request(id)
        terms = _terms_in(row.terms)
        if not is_alone or not is_unsent(home, id):
            return
        home.chain.catch_up()  # it may be on its way
        if _is_on_chain(home, row):
            return
        due = int(home.journal.fact(id, SENT_AT) or 0) + terms.acceptance_window
        if home.chain.block("latest").timestamp > due:
            give_up(home, id, "late")
            reason = "the request did not get into the chain in the time in which it might have been accepted"
            home.journal.record(id, history.Late(reason), once="")
            log(id, f"{reason}: it is not sent any more")
            return
        if not home.store.has(Cid.parse(row.offer)):
            raise NotFound(f"the store has the offer {row.offer} no more", "ask again: `fitchain job request`")
        _send(home, row, terms)
        home.journal.record(id, history.RequestedAgain())
        log(id, "sent the request again: it was not on the chain")


def give_up(home: Home, id: AgreementId, why: str) -> None:
    """Send a request no more by itself.

    Args:
        home: the scientist's.
        id: the agreement.
        why: in a word.
    """
    home.journal.keep_fact(id, GIVEN_UP, why)


def keep_unheard(home: Home, id: AgreementId) -> None:
    """Remember, before the history tells that a request was sent, that whoever asked for it did not
    come to that: asking for the same takes it up, and pays once."""
    if not home.journal.happened(id, history.Requested):
        home.journal.keep_fact(id, UNHEARD, "yes")


def cancel_job(home: Home, id: AgreementId) -> Receipt:
    """Take a request back that nobody accepted, as its scientist once the acceptance window has
    passed, for good: it is not sent again where the chain takes it back.

    Raises:
        Reverted: the contract refuses.
        ChainUnusable: the account cannot pay, or the node does not answer.
    """
    receipt = home.agreements.cancel(id)
    give_up(home, id, "cancelled")
    return receipt


def withdraw_unsent(home: Home, id: AgreementId) -> bool:
    """Take a request back that is not on the chain, nor on its way there.

    Returns:
        whether this home had one.

    Raises:
        ChainUnusable: whether it is on its way cannot be said now.
    """
    if id not in home.journal.request_ids():
        return False
    with _sending(home, wait=True):
        # What was signed is sent with whatever this home sends next: nobody is told that it is
        # taken back and pays for it all the same.
        home.chain.rebroadcast()
        home.chain.catch_up()
        if id in home.agreements.list(scientist=home.keys.address):
            return False
        give_up(home, id, "cancelled")
    home.journal.record(id, history.Cancelled(), once="")
    return True


def _require_open(home: Home, dataset: DatasetEntry, model: ModelEntry) -> None:
    """Refuse what the contract would, before anything is rehearsed."""
    for what, id, active in ("dataset", dataset.id, dataset.active), ("model", model.id, model.active):
        if not active:
            raise Unusable(f"the {what} {id.short} is retired: no new request can name it", "choose another")
    if home.registry.is_outlived(dataset):
        raise Unusable(
            f"nobody can ask for the dataset {dataset.id.short} any more: its owner has opened a privacy ledger since, "
            "to which it is not charged",
            "choose one that is (`fitchain data list`), or ask the owner to register the records again with a budget",
        )


def _send(home: Home, row: RequestRow, terms: Terms) -> None:
    """Send a request; what the chain refuses is told to whoever asked, and not sent again behind
    their back."""
    try:
        home.agreements.request(row.salt, _committed(home, row.agreement, terms), Cid.parse(row.offer))
    except (NodeUnreachable, NotMinedYet):
        raise  # it may be on its way
    except ChainUnusable as refusal:
        if not (isinstance(refusal, Reverted) and refusal.error == "AgreementExists"):
            give_up(home, row.agreement, "refused")
        raise


@contextmanager
def _sending(home: Home, wait: bool) -> Iterator[bool]:
    """Be the only one of this home who sends requests; the kernel lets go when a process dies.

    Args:
        home: the scientist's.
        wait: until nobody else does.

    Yields:
        whether nobody else does.
    """
    path = home.settings.home / LOCK
    with host_errors(f"{path} cannot be opened"):
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_alone = True
        except BlockingIOError:
            is_alone = False
        yield is_alone
    finally:
        os.close(lock)


def terms_of(owner: str, request: JobRequest, recipe: Recipe, price: int, work: StepWork) -> Terms:
    """Put an agreement's terms together, all but the commitment to a nonce, which follows from the
    agreement's id.

    Args:
        owner: of the dataset.
        request: what is asked for.
        recipe: as drafted for it.
        price: in base units, the request's or the card's.
        work: of a step of the recipe.
    """
    acceptance_window, training_window, dispute_window = request.windows
    audit = request.audit or AuditTerms()
    return Terms(
        owner=owner,
        dataset=request.dataset,
        dataset_root=recipe.dataset,
        model=request.model,
        model_root=recipe.initial_model,
        recipe=recipe.digest,
        environment=recipe.environment.digest,
        steps=recipe.steps,
        segment_steps=recipe.segment_steps,
        group_leaves=recipe.group_leaves,
        step_bytes=work.bytes,
        step_calls=work.calls,
        step_operations=work.operations,
        price=price,
        bond=max(price, audit.fees) if request.bond is None else request.bond,
        acceptance_window=acceptance_window,
        training_window=training_window,
        dispute_window=dispute_window,
        audit=audit,
        charge=recipe.charge,
    )


def _committed(home: Home, id: AgreementId, terms: Terms) -> Terms:
    """The terms with the commitment to this pod's part of every draw, where there is one."""
    return replace(terms, nonce_commitment=commit_nonce(asker_nonce(home.keys, id))) if terms.audit.seats else terms


def _require_fitting(home: Home, dataset: DatasetEntry, card: Card, recipe: Recipe) -> PrivacyCost | None:
    """Refuse, before anything is paid, a training for which the dataset's privacy ledger has not
    enough left.

    Returns:
        what it costs; None where the dataset has no budget.

    Raises:
        InputRefused: it would not be accepted.
    """
    require_same_terms(dataset, card)
    cost = cost_of(home, dataset, card, recipe.charge)
    if cost is not None and not cost.fits:
        raise InputRefused(
            f"the training costs epsilon {cost.asked:.3g} beside delta {cost.delta:g}, and of the privacy budget"
            f" {cost.budget:.3g} the dataset's ledger has spent {cost.spent:.3g}: together {cost.after:.3g}",
            "ask with a smaller epsilon, fewer steps or a smaller batch, or for another dataset",
        )
    return cost


def require_same_terms(dataset: DatasetEntry, card: Card) -> None:
    """Refuse a dataset whose card says otherwise than the registry whether its trainings are
    charged to a ledger.

    Raises:
        InputRefused: it does.
    """
    if bool(dataset.ledger) != (card.privacy is not None):
        says = "has terms of privacy" if card.privacy else "has no terms of privacy"
        raise InputRefused(
            f"the card of {dataset.id.short} {says}, and in the registry its ledger is {dataset.ledger or 'none'}",
            "ask its owner to register it anew",
        )


def _recipe_audit(audit: AuditTerms) -> dict[str, Any]:
    """Audit terms as a recipe has them."""
    panel = None if audit.panel == ZERO else str(audit.panel)
    return {
        "drawn_segments": audit.drawn_segments,
        "verifiers": audit.verifiers,
        "mode": audit.mode.word,
        "panel": panel,
    }


# As many parameters as a recipe is made of.
def draft_recipe(
    home: Home,
    card: Card,
    graph: Digest,
    initial_model: Root,
    overrides: Mapping[str, Any],
    source: str = "",
    base: Root | None = None,
    model: Graph | None = None,
) -> Recipe:
    """Draft a recipe for this host's torch.

    Where no probe ships for it, it names the one that the card publishes, else this host's.

    Args:
        home: the scientist's.
        card: of the dataset.
        graph, initial_model: of the model.
        overrides: terms of the recipe that differ from the defaults.
        source: where they come from; what is said against them begins with it.
        base: root of the model that it is a delta over; None where it is whole.
        model: the graph itself, for what the recipe says of the model's parameters; None does not
            look at that.

    Raises:
        InputRefused: a term is unknown or out of bounds, or a group of parameters is empty; where
            several are, all are told at once.
        EnvironmentRefused: this host is not of the wanted class.
    """
    try:
        recipe = draft(graph, initial_model, card.json(), environment.installed_torch(), overrides, base=base)
    except InputRefused as error:
        require_faultless(source, [*faults_of(overrides, card.json()), *_group_faults(overrides, model)])
        raise InputRefused(f"{source}: {error.message}" if source else error.message, error.hint) from None
    require_faultless(source, _group_faults(overrides, model))
    wanted = recipe.environment
    if environment.shipped_probe(wanted):
        return recipe
    published = card.probes.get(wanted.name)
    probe = (
        Digest.parse(published)
        if published
        else environment.describe_host(wanted.name, wanted.threads, environment.host_cache()).probe
    )
    return replace(recipe, environment=replace(wanted, probe=probe))


def _group_faults(overrides: Mapping[str, Any], model: Graph | None) -> list[InputRefused]:
    """What is wrong with the recipe's groups of parameters beside a model; nothing where they
    cannot be read, since that is told by itself."""
    if model is None:
        return []
    try:
        groups = groups_in(overrides)
    except InputRefused:
        return []
    return list(group_faults(groups, model.trainable, model.parameters, model.tied))


def _prepare(home: Home, terms: Terms, recipe: Recipe, model_folder: Path, card: Card, rehearsed: bool) -> RequestRow:
    """Rehearse, and seal the offer: a request that is to be written down before it is sent."""
    if rehearsed:
        rehearse_request(home, card, recipe, model_folder)
    salt = Digest(secrets.token_bytes(32))
    addresses = home.chain.deployment.addresses
    id = agreement_id(home.chain.deployment.chain_id, addresses["Agreements"], home.keys.address, salt)
    folder = home.job_folder(id).create().path
    _lay_out(home, folder, recipe, model_folder)
    recipients = [home.registry.pod(terms.owner).recipient, home.keys.recipient]
    offer = send_folder(home.store, folder, OFFER_FILES, recipients)
    return RequestRow(id, salt, plain_terms(terms), str(offer), recipe.encode())


def rehearse_request(home: Home, card: Card, recipe: Recipe, model_folder: Path) -> Finished | None:
    """Train a request's first segments on the card's mock data.

    Args:
        home: the scientist's.
        card: of the dataset.
        recipe: as drafted.
        model_folder: holds the model's graph and weights.

    Returns:
        The worker's last event, which says how many steps took how long; None where the card
        publishes no mock data.

    Raises:
        FitchainError: what would have stopped the training.
    """
    if (mock := card.mock) is None:
        return None
    with scratch(home.settings.home, Scratch.REHEARSAL) as folder:
        _lay_out(home, folder, recipe, model_folder)
        fetch = partial(home.store.fetch, mock, limit_bytes=MOCK_LIMIT_BYTES)
        return rehearse(folder, fetch, launcher=home.launcher, step_bytes=card.policy.most_memory_bytes)


def _lay_out(home: Home, folder: Path, recipe: Recipe, model_folder: Path) -> None:
    """Put an offer's files into a folder, and the base of its model beside them."""
    for name in MODEL_FILES:
        shutil.copyfile(model_folder / name, folder / name)
    (folder / RECIPE).write_bytes(recipe.encode())
    home.bases.lay(JobFolder(folder), recipe.base)


def _is_on_chain(home: Home, request: RequestRow) -> bool:
    return request.agreement in home.agreements.list(scientist=home.keys.address)


def _interrupted(home: Home, terms: Terms) -> RequestRow | None:
    """A request of the same terms that was written down, and whose asker never heard that it went
    through."""
    on_chain = set(home.agreements.list(scientist=home.keys.address))
    for request in home.journal.requests():
        id, journal = request.agreement, home.journal
        unheard = journal.fact(id, UNHEARD) or not journal.happened(id, history.Requested)
        same = request.terms == plain_terms(terms) and _is_of_this_chain(home, id)
        if unheard and same and (id in on_chain or home.store.has(Cid.parse(request.offer))):
            return request
    return None


def _terms_in(plain: Mapping[str, Any]) -> Terms:
    """Terms as the journal holds them."""
    digests = {"dataset", "dataset_root", "model", "model_root", "recipe", "environment", "nonce_commitment", "panel"}

    def values(kind: type, body: Mapping[str, Any]) -> dict[str, Any]:
        said = {field.name: body[field.name] for field in fields(kind)}
        return {name: Digest.parse(value) if name in digests else value for name, value in said.items()}

    audit = values(AuditTerms, plain["audit"])
    return Terms(**values(Terms, plain) | {"audit": AuditTerms(**audit | {"mode": AuditMode(audit["mode"])})})


def plain_terms(terms: Terms) -> dict[str, Any]:
    """Terms as JSON values, as the journal holds them, to be compared."""
    audit = vars(terms.audit) | {"mode": terms.audit.mode.value}
    plain: dict[str, Any] = json.loads(json.dumps(vars(terms) | {"audit": audit}, default=str))
    return plain
