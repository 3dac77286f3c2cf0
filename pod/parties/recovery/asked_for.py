"""What a scientist's pod knows, its models and requests; and what anybody does who asked for
another audit."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from fitchain.pod.jobs.exchange import fetch_folder, send_folder
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import ModelRow, RequestRow
from fitchain.pod.jobs.life import askers_life, scientists_life
from fitchain.pod.parties.asker import fresh_bytes, keep_question, question_commitment
from fitchain.pod.parties.recovery.lines import write_recovered
from fitchain.pod.parties.recovery.report import Recovery
from fitchain.pod.parties.scientist.publish import MODEL_FILES
from fitchain.pod.parties.scientist.request import SENT_AT, SENT_ON, deployment_of, give_up, plain_terms
from fitchain.pod.parties.scientist.standing import DISPUTED, keep_answer
from fitchain.pod.ports.agreement import Agreement, AskedAudit
from fitchain.pod.ports.chain import Event
from fitchain.pod.ports.registry import ModelEntry
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import FitchainError, InputRefused, NotFound
from fitchain.pod.values.graph import LIMITS, Graph
from fitchain.pod.values.ids import AgreementId, AuditRef, ModelId
from fitchain.pod.values.job_folder import GRAPH, INITIAL, OFFER_FILES, JobFolder, Scratch, scratch
from fitchain.pod.values.limits import OFFER
from fitchain.pod.values.reading import read_at_most

MOST_BLOCKS_BACK = 20_000
"""So far back from the block of a question is looked for the height at which it was made."""


def recover_requests(home: Home, recovery: Recovery) -> None:
    """Find every request that this account sent.

    Raises:
        ChainUnusable: the node does not answer.
    """
    kept = {row.agreement for row in home.journal.requests()}
    ids = home.agreements.list(scientist=home.keys.address)
    for agreement in home.agreements.read_many(ids):
        id = agreement.id
        if id not in kept:
            _keep_request(home, recovery, agreement)
        events = home.agreements.events(id)
        _keep_said(home, id, events)
        write_recovered(home, id, scientists_life(home, id, events))
        recovery.has("request", id, agreement.state.name.lower())


def _keep_request(home: Home, recovery: Recovery, agreement: Agreement) -> None:
    """A request as it was written down before it was sent, by which it is sent again if the chain
    takes it back."""
    id, folder = agreement.id, home.job_folder(agreement.id)
    meaning = "the chain has it, and it goes on; only if the chain took it back it could not be sent again"
    if (salt := home.agreements.salt(id)) is None:
        recovery.lacks("request", id, "its salt, which the node has forgotten", meaning)
        return
    try:
        _fetch_offer(home, id, folder)
        recipe = folder.recipe.read_bytes()
    except FitchainError as error:
        recovery.lacks("request", id, f"its recipe ({error.message})", meaning)
        return
    terms = plain_terms(replace(agreement.terms, nonce_commitment=ZERO))
    home.journal.keep_request(RequestRow(id, salt, terms, str(home.agreements.offer(id)), recipe))


def _keep_said(home: Home, id: AgreementId, events: list[Event]) -> None:
    """What its scientist said of a request, and stands by where the chain takes it back: that it
    asked, and when; that it does not want it any more, or disputes what came of it."""
    names = {event.name for event in events}
    home.journal.keep_fact(id, SENT_ON, deployment_of(home))
    if home.journal.fact(id, SENT_AT) is None:
        home.journal.keep_fact(id, SENT_AT, str(events[0].timestamp))
    if "Cancelled" in names:
        give_up(home, id, "cancelled")
    if "Disputed" in names:
        keep_answer(home, id, DISPUTED)


def _fetch_offer(home: Home, id: AgreementId, folder: JobFolder) -> None:
    """Fetch a request's offer, which is sealed to whoever made it too, unless it is there."""
    if all((folder.path / name).exists() for name in OFFER_FILES):
        return
    offer = home.agreements.offer(id)
    fetch_folder(home.store, offer, folder.create().path, OFFER_FILES, home.keys.identity, OFFER)


def recover_models(home: Home, recovery: Recovery) -> None:
    """Find every model that this account published, with its files: where they were, or in a job
    that asked for it.

    Raises:
        ChainUnusable: the node does not answer.
    """
    kept = {row.id for row in home.journal.models()}
    for entry in home.registry.models(home.keys.address):
        if entry.id in kept:
            continue
        if (folder := _files_of(home, entry)) is None:
            what = "its graph and weights, which were in the home's folder alone"
            meaning = "no job can be asked for with it; what was asked for goes on"
            recovery.lacks("model", entry.id, what, meaning, "fitchain model publish")
            continue
        cid = send_folder(home.store, folder, MODEL_FILES, [home.keys.recipient])
        name = f"model-{entry.id.short}"
        home.journal.keep_model(ModelRow(entry.id, name, folder, entry.graph, entry.root, str(cid)))
        recovery.has(
            "model",
            entry.id,
            f"called {name}: how it was called is not known, nor for which columns; its files are sealed anew",
        )


def _files_of(home: Home, entry: ModelEntry) -> Path | None:
    """The folder of a model's files, taken from a job's where it is gone; None where no place has
    them."""
    folder = home.settings.home / "models" / str(entry.id)
    if _holds(folder, entry):
        return folder
    for id in home.agreements.list(scientist=home.keys.address):
        if home.agreements.terms(id).model == entry.id and (job := _offered(home, id)) is not None:
            if not _holds(job.path, entry):
                continue
            target = home.model_folder(ModelId(entry.id))
            with scratch(target, Scratch.OPENED) as opened:
                for name in MODEL_FILES:
                    shutil.copyfile(job.path / name, opened / name)
                    (opened / name).replace(target / name)
            return target
    return None


def _offered(home: Home, id: AgreementId) -> JobFolder | None:
    """The folder of a request with its offer; None where that cannot be had."""
    folder = home.job_folder(id)
    try:
        _fetch_offer(home, id, folder)
    except FitchainError:
        return None  # another request may have the same model; that none has is said
    return folder


def _holds(folder: Path, entry: ModelEntry) -> bool:
    """Whether a folder holds a model's graph and weights, whole."""
    try:
        graph = Graph.parse(read_at_most(folder / GRAPH, LIMITS.graph_bytes))
        root = ModelFile.read(folder / INITIAL).root
    except (NotFound, InputRefused, FileNotFoundError):
        return False
    return (graph.digest, root) == (entry.graph, entry.root)


def recover_questions(home: Home, recovery: Recovery) -> None:
    """Find every question for another audit that this account asked.

    Raises:
        ChainUnusable: the node does not answer.
    """
    events = home.chain.events("Agreements", "AuditAsked", asker=home.keys.address)
    refs = [AuditRef(event.args["id"], event.args["ordinal"]) for event in events]
    for asked in home.agreements.asked_audits_of(refs):
        id, ref = asked.ref.agreement, asked.ref
        if (fresh := _fresh(home, asked)) is None:
            meaning = (
                "it cannot be drawn for in its asker's turn, but by anybody after that, and its fees are safe; asking "
                "the same again locks fees again"
            )
            recovery.lacks("question", ref, "the nonce that it committed to", meaning)
        else:
            keep_question(home, id, asked.terms, asked.nonce_commitment, fresh)
            how = "consented to" if asked.consented else "taken back" if asked.taken_back else "open"
            recovery.has("question", ref, how)
        write_recovered(home, id, askers_life(home, ref, home.agreements.events(id)))


def _fresh(home: Home, asked: AskedAudit) -> bytes | None:
    """The fresh bytes that a question committed to; None where they do not derive from a height
    shortly before it."""
    id, block = asked.ref.agreement, asked.requested_block
    for height in range(block, max(block - MOST_BLOCKS_BACK, -1), -1):
        fresh = fresh_bytes(home.keys, id, height)
        if question_commitment(home.keys, id, fresh) == asked.nonce_commitment:
            return fresh
    return None
