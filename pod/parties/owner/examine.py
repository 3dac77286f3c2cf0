"""Examining a request: everything that an owner's pod checks before its bond and its data are at
stake.

Whatever does not hold is a reason to decline; what could not be checked (chain or store do not
answer, something is not there) is tried again. The order is from cheap to dear: what the chain
alone says (who asks, price, steps, mode, panel), then offer, terms, recipe, policy, graph,
environment, the records, a rehearsal on mock data in the worker's sandbox. What holds and may still
cost the owner its bond is a concern, for a person to say yes to.
"""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

from fitchain.pod.compute import environment
from fitchain.pod.compute.dataset import Card, Disclosure, Kind, Policy, Table, mock_table
from fitchain.pod.jobs import history
from fitchain.pod.jobs.bases import BaseSource, OfferedBase
from fitchain.pod.jobs.exchange import fetch_folder
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import DatasetRow
from fitchain.pod.jobs.panel_status import panel_of
from fitchain.pod.jobs.rehearsal import MOCK_LIMIT_BYTES, REHEARSAL_LIMIT_S, rehearse
from fitchain.pod.jobs.worker.task import REHEARSED_SEGMENTS
from fitchain.pod.parties.owner.data import MOCK_RECORDS, read_registered, registration_key
from fitchain.pod.parties.owner.disclosed import counted_records, keep_disclosed, opened_before
from fitchain.pod.ports.agreement import Agreement, State
from fitchain.pod.ports.agreement.descent import trained_parents
from fitchain.pod.ports.memory import total_memory
from fitchain.pod.ports.sealed import check_recipient
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.proof.audit.disclosure import disclosure, opens_reference
from fitchain.pod.proof.audit.pace import SLOW_HOST
from fitchain.pod.proof.audit.storage import Keeping, choose_states, require_evidence_fits
from fitchain.pod.proof.descent import OTHER_MODEL, check_kept_rows, check_parent_recipe
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import (
    ClaimMismatch,
    HostUnusable,
    InputRefused,
    NotFound,
    StoreUnusable,
    TooSlow,
    require_equal,
)
from fitchain.pod.values.graph import LIMITS, Graph
from fitchain.pod.values.ids import NO_MODEL, WHOLE_POOL, AuditRef
from fitchain.pod.values.job_folder import OFFER_FILES, JobFolder
from fitchain.pod.values.limits import BASE, BASE_S, FIRST_OFFER_S, MIB, OFFER, OFFER_S, rounded_up, size_text
from fitchain.pod.values.reading import read_at_most
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.parameter_groups import group_parameters
from fitchain.pod.values.recipe.terms import RECIPE_BYTES

SLOW_HOST_SHARE = 20
"""A host of which nothing is known is assumed to be this much slower than one that rehearses."""
RECIPIENT, TRAINING_S, OFFERED_BASE = "recipient", "training_s", "offered_base"
"""Facts of a job in the journal: to whom is sealed, how many seconds its training takes by its
rehearsal, what its offer says of its model's base."""
FORGOTTEN = "the journal was lost and recovered since: what a person said of it before is not known"
WINDOW_SHARE = 0.5
"""How much of the training window a rehearsal may foretell before a person is asked."""
AROUND_S = 30
"""Seconds that a training takes beside its steps: a worker starts, and begin, the last anchors and
finish are mined."""


def fetch_offer(home: Home, agreement: Agreement, attempts: int) -> tuple[Recipe, Graph]:
    """Fetch a request's offer into the job's folder, open it, and compare it with the chain.

    Args:
        home: the owner's.
        agreement: the request.
        attempts: how often it was tried in vain. Each time an offer is given twice as long to come
            as before: one that drips keeps those behind it waiting for a short while only, and what
            came of it is there already.

    Raises:
        FitchainError: what is wrong with it; ChainUnusable, StoreUnusable and NotFound say that it
            could not be looked at now.
    """
    keep_recipient(home, agreement)
    folder = home.job_folder(agreement.id).create()
    folder.sweep()
    offer = home.agreements.offer(agreement.id)
    home.add_peer(agreement.scientist)
    limits = replace(OFFER, seconds=min(FIRST_OFFER_S * 2**attempts, OFFER_S))
    try:
        fetch_folder(home.store, offer, folder.path, OFFER_FILES, home.keys.identity, limits)
    except TooSlow as error:
        if limits.seconds == OFFER_S:
            raise
        raise StoreUnusable(error.message, "others are looked at meanwhile; then it is given twice as long") from None
    recipe, graph = read_offer(folder)
    check_terms(home, agreement, recipe, graph)
    return recipe, graph


def check_offer(home: Home, agreement: Agreement, attempts: int = 0, keep_every: int | None = None) -> list[str]:
    """Check of a request what needs neither the base of its model nor a rehearsal
    (`rehearse_offer`); its files lie in the job's folder afterwards.

    Args:
        home: the owner's.
        agreement: the request.
        attempts: see `fetch_offer`.
        keep_every: see `choose_kept`.

    Returns:
        concerns: what a person should say yes to, even where the policy asks nobody.

    Raises:
        FitchainError: why the request cannot be accepted; what says nothing against it (Unusable
            itself, ChainUnusable, StoreUnusable and NotFound) is this host's.
    """
    _, card = dataset_of(home, agreement)
    reasons = check_chain(home, agreement, card.policy, card.privacy is not None)
    check_budget(home, agreement)
    recipe, graph = fetch_offer(home, agreement, attempts)
    folder = home.job_folder(agreement.id)
    card.admit(recipe, agreement.terms.price, agreement.scientist, _disclosure(home, agreement, recipe, card))
    check_descent(home, agreement, recipe)
    graph.check(environment.environment_class(recipe.environment.name).admits)
    group_parameters(recipe.parameter_groups, graph.trainable)
    if (audit := agreement.terms.audit).seats:
        require_evidence_fits(recipe, graph, card, audit.drawn_segments)
    choose_kept(home, agreement, recipe, graph, card, keep_every)
    environment.check(recipe.environment, environment.host_cache())  # what holds for this host holds for each home
    require_memory(agreement.terms.step_bytes, total_memory())
    if recipe.base is not None:
        file = ModelFile.read(folder.initial)
        said = OfferedBase(file.inventory_bytes, BaseSource.of(file).identity is not None)
        home.journal.keep_fact(agreement.id, OFFERED_BASE, said.encode())
    return reasons


def rehearse_offer(
    home: Home, agreement: Agreement, stop: threading.Event | None = None, attempts: int = 0
) -> list[str]:
    """Fetch the base of a request's model, where it has one, and rehearse it.

    Args:
        home, agreement, attempts: as of `check_offer`, which has nothing against it.
        stop: ends the rehearsal.

    Returns:
        concerns.

    Raises:
        FitchainError: as `check_offer`.
    """
    row, card = dataset_of(home, agreement)
    folder = home.job_folder(agreement.id)
    recipe, table = read_recipe(folder), read_registered(home, row)
    lay_base(home, folder, recipe, attempts)
    put = partial(put_mock, home, row, card, table)
    most_bytes = card.policy.most_memory_bytes
    rehearsed = rehearse(
        folder.path, put, work=agreement.terms.work, stop=stop, launcher=home.launcher, step_bytes=most_bytes
    )
    step_s = rehearsed.seconds / max(rehearsed.step, 1)
    home.journal.keep_fact(agreement.id, TRAINING_S, str(step_s * recipe.steps))
    opens = opens_reference(agreement.terms.audit, recipe, card)
    return time_concerns(agreement, step_s, queued_s(home, agreement), opens)


def lay_base(home: Home, folder: JobFolder, recipe: Recipe, attempts: int) -> None:
    """Lay the base of an offered model into the job's folder, fetched where no job before had it.
    The store is to keep it: verifiers fetch it, too, and who published it may be gone by then.

    Raises:
        FitchainError: what is wrong with it, or why it cannot be had now.
    """
    limits = replace(BASE, seconds=min(FIRST_OFFER_S * 2**attempts, BASE_S))
    try:
        home.bases.lay(folder, recipe.base, limits, keeps=True, is_offered=True)
    except TooSlow as error:
        if limits.seconds == BASE_S:
            raise
        raise StoreUnusable(error.message, "others are looked at meanwhile; then it is given twice as long") from None


def check_chain(home: Home, agreement: Agreement, policy: Policy, has_budget: bool = False) -> list[str]:
    """Check what the chain alone says of a request, before anything of a stranger's is fetched.

    Returns:
        concerns: that the journal was lost since, a bond beyond price and fees, a panel that the
            policy does not name, or that others joined since the dataset was registered and this
            home trusted it.

    Raises:
        InputRefused: the policy does not admit it, or its rehearsal would keep others waiting.
    """
    terms, audit = agreement.terms, agreement.terms.audit
    mode = audit.mode if audit.seats else None
    policy.admit_terms(terms.steps, terms.price, agreement.scientist, mode, has_budget)
    policy.admit_memory(terms.step_bytes)
    steps = min(terms.steps, REHEARSED_SEGMENTS * terms.segment_steps)
    if (needed_s := SLOW_HOST.seconds(terms.work, steps)) > SLOW_HOST_SHARE * REHEARSAL_LIMIT_S:
        raise InputRefused(
            f"a rehearsal of {steps} steps of that work may take {needed_s:.0f} s on a slow core",
            "agree on shorter segments",
        )
    reasons = [FORGOTTEN] if home.journal.happened(agreement.id, history.Recovered) else list[str]()
    if terms.bond > terms.price + audit.fees:
        besides = " and the fees that it covers" if audit.seats else ""
        reasons.append(f"the bond is higher than the price{besides}")
    if audit.seats and not policy.accepts_panel(audit.panel):
        drawn_from = panel_of(home, agreement) or "the whole pool of verifiers"
        what = "an audit" if audit.verifiers else "a dispute"
        reasons.append(f"{what} draws from whom the policy does not name: {drawn_from}")
    elif policy.names_panel(audit.panel) and (panel := panel_of(home, agreement)) and panel.unknown:
        reasons.append(panel.policy_concern())
    return reasons


def check_budget(home: Home, agreement: Agreement) -> None:
    """Refuse a request for which the dataset's privacy ledger has not enough left: the contract
    would not take its acceptance.

    Raises:
        InputRefused: it has not.
    """
    ledger = home.registry.ledger_of(home.registry.dataset(agreement.terms.dataset))
    if ledger is not None and not ledger.fits(agreement.terms.charge):
        raise InputRefused(
            "the training costs more than the dataset's privacy budget has left",
            "ask with a smaller epsilon, fewer steps or a smaller batch",
        )


def put_mock(home: Home, row: DatasetRow, card: Card, table: Table, path: Path) -> None:
    """Write mock data to rehearse on: what the card publishes, else as many records drawn here for
    nobody else; beside a privacy budget without a look at the records, since whoever asks sees
    whether it was declined.

    Without a rehearsal a job that cannot be trained would be noticed only when the bond is at
    stake.
    """
    if card.mock is not None:
        home.store.fetch(card.mock, path, limit_bytes=MOCK_LIMIT_BYTES)
    else:
        is_charged, key = card.privacy is not None, registration_key(home, row.salt)
        mock_table(_with_ranges(card) if is_charged else card, table, MOCK_RECORDS, key, is_charged).write_npz(path)


def _with_ranges(card: Card) -> Card:
    """The card with the range from 0 to 1 for each column of which it says nothing."""
    unknown = {column.name: {"low": 0.0, "high": 1.0} for column in card.columns if column.kind is not Kind.MISSING}
    return replace(card, transform=unknown | dict(card.transform))


def dataset_of(home: Home, agreement: Agreement) -> tuple[DatasetRow, Card]:
    """The dataset that an agreement is about, as this home registered it.

    Raises:
        NotFound: it did not.
    """
    row = home.journal.dataset(agreement.terms.dataset)
    return row, Card.parse(row.card)


def keep_recipient(home: Home, agreement: Agreement) -> None:
    """Fix to whom notes and delivery are sealed: who asks could else change it to one that no
    envelope can be made for.

    Raises:
        NotFound: the scientist has no pod yet.
        InputRefused: its recipient is none.
    """
    if home.journal.fact(agreement.id, RECIPIENT) is None:
        recipient = home.registry.pod(agreement.scientist).recipient
        home.journal.keep_fact(agreement.id, RECIPIENT, check_recipient(recipient))


def time_concerns(agreement: Agreement, step_s: float, before_s: float, opens: bool = False) -> list[str]:
    """What speaks against accepting unasked: a training that may outlast its window, a replay, or a
    reference training that evidence opens, that may outlast a phase of the audit.

    Args:
        agreement: the request.
        step_s: seconds of a step, by the rehearsal.
        before_s: seconds for which trainings that were accepted before keep this one waiting.
        opens: whether evidence opens a segment of a risk report's reference training, which is
            trained again for it from its first step on.
    """
    terms, audit, reasons = agreement.terms, agreement.terms.audit, list[str]()
    needed_s = step_s * terms.steps
    if before_s + needed_s + AROUND_S > WINDOW_SHARE * terms.training_window:
        waits = f" after {before_s:.0f} s for those before it" if before_s >= 1 else ""
        window = f"and its window is {terms.training_window} s"
        reasons.append(
            f"by its rehearsal it trains for {needed_s:.0f} s{waits}, and {AROUND_S} s around that, {window}"
        )
    sampling = Sampling.of(terms.steps, terms.segment_steps, audit.drawn_segments)
    reference_steps = min(terms.segment_steps, terms.steps) if opens else 0
    replay_s = step_s * (min(sampling.audited * terms.segment_steps, terms.steps) + reference_steps)
    if audit.seats and replay_s > WINDOW_SHARE * audit.window:
        reasons.append(f"verifiers train {replay_s:.0f} s of it again, and have {audit.window} s for it")
    if audit.seats and opens and needed_s > WINDOW_SHARE * audit.window:
        reasons.append(
            f"evidence of it takes {needed_s:.0f} s, in which a reference training of its risk report is made again, "
            f"and its window is {audit.window} s"
        )
    return reasons


# Many parameters: what is trained, and where.
def choose_kept(
    home: Home, agreement: Agreement, recipe: Recipe, graph: Graph, card: Card, every: int | None = None
) -> Keeping:
    """Choose which states a job's training keeps on this disk.

    Args:
        home, agreement: whose, and which.
        recipe, graph, card: what is trained, on what.
        every: the state of every a-th leaf; None leaves the choice to what is free.

    Raises:
        HostUnusable: there is too little room for it, its evidence and its delivery.
    """
    folder, audit = home.job_folder(agreement.id), agreement.terms.audit
    kept_bytes = sum(path.stat().st_size for path in folder.states.glob("*.safetensors"))
    free_bytes = shutil.disk_usage(home.settings.home).free + kept_bytes
    return choose_states(recipe, graph, card, audit.drawn_segments if audit.seats else None, free_bytes, every)


def require_memory(step_bytes: int, host_bytes: int) -> None:
    """Refuse to begin what this host has not the memory for, whatever its owner wrote into the
    policy: the system would end the worker in the middle of it.

    Args:
        step_bytes: of a step's metered work.
        host_bytes: that there are, without swap.

    Raises:
        HostUnusable: so it is; a pod on a larger host may accept it.
    """
    if step_bytes > host_bytes:
        needed = size_text(rounded_up(step_bytes, MIB))
        raise HostUnusable(
            f"a step takes {needed} of memory, and this host has {size_text(rounded_up(host_bytes, MIB))}",
            "run the pod on a host that has more, or decline the request",
        )


def queued_s(home: Home, agreement: Agreement) -> float:
    """Seconds for which the trainings that were accepted before may keep a job waiting, by their
    rehearsals; jobs train one after the other."""
    calls = home.agreements
    others = [id for id in calls.list(owner=agreement.terms.owner) if id != agreement.id]
    left_s = 0.0
    for other in calls.read_many([id for id in others if not home.journal.happened(id, history.Wiped)]):
        if other.state in (State.ACCEPTED, State.TRAINING):
            left_s += float(home.journal.fact(other.id, TRAINING_S) or 0)
    return left_s


def read_offer(folder: JobFolder) -> tuple[Recipe, Graph]:
    """Read the opened offer of a job's folder and check that its parts belong together.

    Raises:
        InputRefused: a part is malformed or beyond a limit.
        ClaimMismatch: the recipe names another graph or another initial model than those beside it.
    """
    recipe = read_recipe(folder)
    graph = offered_graph(folder)
    initial = ModelFile.read(folder.initial)
    require_equal("the recipe's graph is", recipe.graph, graph.digest, "the offered graph is")
    require_equal("the recipe's initial model is", recipe.initial_model, initial.root, "the offered weights have")
    require_equal("the recipe's base is", recipe.base, initial.base, "the offered weights are a delta over")
    return recipe, graph


def offered_graph(folder: JobFolder) -> Graph:
    """Read the graph of a job's folder.

    Raises:
        InputRefused: it is malformed or beyond a limit.
    """
    return Graph.parse(read_at_most(folder.graph, LIMITS.graph_bytes))


def check_terms(home: Home, agreement: Agreement, recipe: Recipe, graph: Graph) -> None:
    """Compare what the chain says with what was offered.

    Raises:
        ClaimMismatch: they differ; the message names the first difference.
    """
    terms, model = agreement.terms, home.registry.model(agreement.terms.model)
    require_equal("the agreed recipe is", terms.recipe, sha256(recipe.encode()), "the offered recipe is")
    require_equal("the registered graph is", model.graph, graph.digest, "the offered graph is")
    require_equal("the registered initial model is", model.root, recipe.initial_model, "the recipe's is")
    require_equal("the registered base is", home.registry.base_root(model), recipe.base, "the recipe's is")
    if model.base != NO_MODEL and model.base not in model.parents:
        raise ClaimMismatch(
            f"the model {model.id.short} is a delta over {model.base.short}, which is none of its parents"
        )
    audit, asked = terms.audit, recipe.audit
    for what, agreed, offered in (
        ("steps", terms.steps, recipe.steps),
        ("steps of a segment", terms.segment_steps, recipe.segment_steps),
        ("leaves of a group", terms.group_leaves, recipe.group_leaves),
        ("the environment", terms.environment, recipe.environment.digest),
        ("the charge to the privacy ledger", terms.charge, recipe.charge),
        ("the audit's drawn segments", audit.drawn_segments, asked.drawn_segments),
        ("the audit's verifiers", audit.verifiers, asked.verifiers),
        ("the audit's mode", audit.mode, asked.mode),
        ("the audit's panel", audit.panel, asked.panel or WHOLE_POOL),
    ):
        if agreed != offered:
            raise ClaimMismatch(f"the terms agree on {what} {agreed} and the recipe on {offered}")


def check_descent(home: Home, agreement: Agreement, recipe: Recipe) -> None:
    """Check that no model from which the offered one descends was trained here on a record that is
    to be held out now.

    Raises:
        ClaimMismatch: one was, or the recipe does not keep the rows that it has to keep.
        InputRefused: what such a job held out is not known any more.
    """
    if recipe.held_out is None:
        return
    terms, requested = agreement.terms, home.agreements.requested_block(agreement.id)
    parents = trained_parents(home.chain, terms.owner, terms.dataset, terms.model, requested)
    check_kept_rows(recipe, parents)
    for parent in parents:
        try:
            theirs = read_recipe(home.job_folder(parent.agreement))
        except NotFound:
            raise InputRefused(
                f"the model descends from one that the job {parent.agreement.short} trained on these records, and "
                "its recipe was removed: which rows it held out is not known any more",
                OTHER_MODEL,
            ) from None
        check_parent_recipe(recipe, parent, theirs)


def check_again(home: Home, agreement: Agreement, keep_every: int | None = None) -> None:
    """Check of a request that was examined what may have changed since: the records are those that
    were registered, the disk has room, and jobs that were accepted meanwhile leave room in the
    privacy budget and, for audits, under the cap.

    Raises:
        DatasetChanged, NotFound: as `read_registered`.
        HostUnusable: as `choose_kept`.
        InputRefused: the policy does not admit it any more.
    """
    row, card = dataset_of(home, agreement)
    check_budget(home, agreement)
    read_registered(home, row)
    folder = home.job_folder(agreement.id)
    recipe = read_recipe(folder)
    choose_kept(home, agreement, recipe, offered_graph(folder), card, keep_every)
    card.admit(recipe, agreement.terms.price, agreement.scientist, _disclosure(home, agreement, recipe, card))


def _disclosure(home: Home, agreement: Agreement, recipe: Recipe, card: Card) -> Disclosure:
    """What an audit of the job would open at most, besides what other audits of the dataset have
    opened or may open."""
    ref, audit = AuditRef(agreement.id), agreement.terms.audit
    keep_disclosed(home, ref, counted_records(audit, recipe, card))
    return disclosure(audit, recipe, card, opened_before(home, agreement, ref).total)


def read_recipe(folder: JobFolder) -> Recipe:
    """Read the recipe of a job's folder.

    Raises:
        NotFound: there is none.
        InputRefused: it is malformed or beyond a limit.
    """
    return Recipe.parse(read_at_most(folder.recipe, RECIPE_BYTES))
