"""Receiving a result: a delivery is fetched, opened with the job's identity, and checked."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fitchain.pod.compute.dataset import Card
from fitchain.pod.jobs import history
from fitchain.pod.jobs.exchange import fetch_folder, fetch_key
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.tokenizers import tokenizer_file
from fitchain.pod.ports.agreement import Release, RunRecord, State
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.ports.store import Cid
from fitchain.pod.proof.certificate import Verdict, verify
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.digest import Digest, sha256_file
from fitchain.pod.values.errors import (
    AccessRefused,
    ClaimMismatch,
    DeliveryUnopened,
    DigestMismatch,
    FitchainError,
    InputRefused,
    NotFound,
    NotOnChain,
    Refuted,
    StoreUnusable,
    host_errors,
    reason_of,
)
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import (
    BASE,
    CERTIFICATE,
    DELIVERY_FILES,
    GRAPH,
    MODEL,
    PREPROCESSING,
    TOKENIZER,
    JobFolder,
    Scratch,
    scratch,
)
from fitchain.pod.values.limits import DELIVERY

RECEIVED = "received"
"""Fact of a job in the journal: the transcript root of the run whose delivery lies in its folder."""
ENDED = (State.TRAINED, State.DIVERGED, State.AUDITING, State.SETTLED, State.HALVED)
"""States in which something may have been delivered."""


@dataclass(frozen=True)
class Delivery:
    """What a job delivered, opened: the trained model and its certificate; graph and preprocessing
    lie beside them."""

    model: Path
    certificate: Path

    @property
    def graph(self) -> Path:
        """What the model computes."""
        return self.model.with_name(GRAPH)

    @property
    def preprocessing(self) -> Path:
        """How raw cells enter it."""
        return self.model.with_name(PREPROCESSING)

    @property
    def base(self) -> Path:
        """Over which the model is a delta; there is none where it is whole."""
        return self.model.with_name(BASE)

    @property
    def tokenizer(self) -> Path:
        """By which free texts are read that enter it; there is none where it takes none."""
        return self.model.with_name(TOKENIZER)

    def copy_into(self, folder: Path) -> Delivery:
        """Copy the files into a folder, made when absent; nothing there is overwritten, and what is
        there already and equal is left as it is.

        Returns:
            the copies.

        Raises:
            InputRefused: it is a file, or holds another delivery, of which nothing is changed then.
            HostUnusable: the folder cannot be written.
        """
        require_folder(folder)
        copied = [self.model, self.certificate, self.graph, self.preprocessing]
        copied += [path for path in (self.tokenizer, self.base) if path.exists()]
        own = {path.name for path in copied}
        beside = [name for name in (*DELIVERY_FILES, TOKENIZER, BASE) if os.path.lexists(folder / name)]
        if differing := [
            name for name in beside if name not in own or not _is_copy(folder / name, self.model.with_name(name))
        ]:
            raise InputRefused(
                f"{folder} holds another delivery: {', '.join(differing)} would be overwritten, or belong to none",
                "choose another folder: --to NAME",
            )
        for path in copied:
            if path.name not in beside:
                _copy(path, folder)
        return Delivery(folder / self.model.name, folder / self.certificate.name)


def require_folder(path: Path) -> None:
    """Refuse a path at which there can be no folder.

    Raises:
        InputRefused: there is something else.
    """
    if os.path.lexists(path) and not path.is_dir():
        raise InputRefused(f"{path} is a file, and a delivery is a folder of files", "choose another name for it")


def _is_copy(path: Path, of: Path) -> bool:
    """Whether a file has the bytes of another."""
    return path.is_file() and path.stat().st_size == of.stat().st_size and sha256_file(path) == sha256_file(of)


def _copy(path: Path, folder: Path) -> None:
    target = folder / path.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")
    except OSError as error:
        raise InputRefused(f"{target} cannot be written: {reason_of(error)}", "choose another folder") from None
    try:
        with host_errors(f"{target} cannot be written"), file, path.open("rb") as source:
            shutil.copyfileobj(source, file)
    except BaseException:
        target.unlink()  # half a model looks like one
        raise


def delivery(home: Home, id: AgreementId) -> Delivery:
    """Where a job's delivery lies once it has been received.

    Raises:
        NotFound: it has not been received here.
    """
    folder = home.job_folder(id)
    if not folder.is_delivered:
        raise NotFound(f"the job {id} has not been received here", f"run `fitchain model fetch {id.short}`")
    return Delivery(folder.model, folder.certificate)


def fetch_model(home: Home, id: AgreementId) -> Delivery:
    """Fetch and open what a job delivered, unless that is done, and check its certificate.

    Raises:
        NotOnChain: the job has not ended by what the chain says now.
        NotFound: the store lacks something.
        StoreUnusable: the store does not answer.
        DeliveryUnopened: nothing that was handed over as the job's identity opens the delivery.
        Refuted: the certificate does not hold; nothing is received then.
    """
    folder, root = home.job_folder(id), str(home.agreements.run_record(id).transcript_root)
    before = home.journal.fact(id, RECEIVED)
    if folder.is_delivered and before not in (None, root):
        folder.set_aside(Digest.parse(before))  # a reorganisation of the chain undid the run that it is of
    if folder.is_delivered:
        verdict = check(home, id, delivery(home, id))
    else:
        verdict = _fetch(home, id, folder.create().path)
    _keep_tokenizer(home, folder, verdict.statement.card)
    received = delivery(home, id)
    home.bases.lay(folder, ModelFile.read(received.model).base)
    entry = history.Received(str(received.model), str(received.certificate), str(verdict.assurance))
    home.journal.keep_fact(id, RECEIVED, root)
    if (claim := verdict.statement.held_out) is not None:
        statement = verdict.statement
        result = history.HeldOutTold.of(statement.recipe, statement.card, claim.result, str(verdict.assurance))
        home.journal.record(id, result, once=root)
    if (ended := verdict.statement.ended) is not None:
        home.journal.record(id, history.EndedEarly(ended.step, ended.reason), once=root)
    home.journal.record(id, entry, once=root)
    return received


def _keep_tokenizer(home: Home, folder: JobFolder, card: Card) -> None:
    """Put the dataset's tokenizer beside the model. Where no store has it now the model is received
    all the same: whoever reads texts for it is told what is missing, and where it is."""
    if card.tokenizer is None or folder.tokenizer.exists():
        return
    with suppress(NotFound, StoreUnusable):
        file = tokenizer_file(home, card)
        assert file is not None
        write_file(folder.tokenizer, file)


def has_received(home: Home, id: AgreementId) -> bool:
    """Whether the result that the chain has now was received here."""
    root = home.agreements.run_record(id).transcript_root
    return home.journal.has(id, history.Received, once=str(root))


def _fetch(home: Home, id: AgreementId, folder: Path) -> Verdict:
    """Fetch, open and check a delivery; only one that holds gets its place in the job's folder."""
    agreement, run = home.agreements.read(id), home.agreements.run_record(id)
    identities = _identities(home, id, run)
    if agreement.state not in ENDED or run.delivery is None or not identities:
        is_over = agreement.state not in (State.REQUESTED, State.ACCEPTED, State.TRAINING, *ENDED)
        next = "ask again: fitchain job request" if is_over else f"wait for it: fitchain job watch {id.short}"
        nothing = "has delivered nothing" if is_over else "has delivered nothing yet"
        raise NotOnChain(f"the job {id.short} is {agreement.state.name.lower()} and {nothing}", next)
    home.add_peer(agreement.terms.owner)
    unavailable: FitchainError | None = None
    unopened: FitchainError | None = None
    for released in identities:
        try:
            return _open(home, id, folder, run.delivery, released)
        except DeliveryUnopened as error:
            unopened = unopened or error
        except (NotFound, StoreUnusable) as error:
            unavailable = unavailable or error
    problem = unavailable or unopened
    assert problem is not None
    raise problem


def _identities(home: Home, id: AgreementId, run: RunRecord) -> list[Release]:
    """Sealed job identities to try: the owner's with its ending, then what an audit or a dispute
    released."""
    ending = [Release("", run.identity)] if run.identity is not None else []
    return ending + [release for release in home.audits.releases(AuditRef(id)) if release.identity is not None]


def _open(home: Home, id: AgreementId, folder: Path, sealed: Cid, released: Release) -> Verdict:
    """Open a delivery with one of the identities released, and check it.

    Raises:
        DeliveryUnopened: it does not open; whoever released it will not make it open later.
        NotFound, StoreUnusable: the store lacks something now.
        Refuted: it opens, and the certificate does not hold.
    """
    assert released.identity is not None
    if released.by:
        home.add_peer(released.by)
    with scratch(folder, Scratch.OPENED) as opened:
        try:
            identity = fetch_key(home.store, id, released.identity, home.keys.identity)
            fetch_folder(home.store, sealed, opened, DELIVERY_FILES, identity, DELIVERY)
        except (AccessRefused, InputRefused, DigestMismatch) as error:
            raise DeliveryUnopened(error.message, error.hint) from error
        try:
            verdict = check(home, id, Delivery(opened / MODEL, opened / CERTIFICATE))
        except Refuted as error:  # told by the files' own names: where they lie now has a new name every time
            raise type(error)(error.message.replace(f"{opened}/", ""), error.hint) from None
        for name in DELIVERY_FILES:
            (opened / name).replace(folder / name)
    return verdict


def check(home: Home, id: AgreementId, delivered: Delivery) -> Verdict:
    """Verify a delivery's certificate against the chain, as that of this job and no other; graph
    and preprocessing are checked beside it.

    Raises:
        Refuted: it does not hold, or holds for another job.
    """
    verdict = verify(delivered.model, delivered.certificate, home.chain)
    if verdict.statement.agreement != id:
        raise ClaimMismatch(
            f"the job {id} was delivered the certificate of {verdict.statement.agreement}",
            "its owner delivered another job's result: do not accept it",
        )
    return verdict
