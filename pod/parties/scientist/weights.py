"""Initial weights from elsewhere: out of a file, or out of what a job delivered, with what the
registry is told of where they come from.

A file of weights is safetensors, whoever wrote it: nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.scientist.merge import whole_model
from fitchain.pod.parties.scientist.receive import fetch_model
from fitchain.pod.ports.chain import Chain
from fitchain.pod.proof.certificate import Statement, verify
from fitchain.pod.proof.certificate.claims import check_deployment, check_file
from fitchain.pod.proof.certificate.envelope import CERTIFICATE_BYTES, unseal
from fitchain.pod.values.derivation import trained_derivation
from fitchain.pod.values.digest import ZERO, Digest, Root
from fitchain.pod.values.errors import AccessRefused, InputRefused, NotFound, SignatureMismatch, reason_of
from fitchain.pod.values.ids import AgreementId, ModelId
from fitchain.pod.values.job_folder import MODEL
from fitchain.pod.values.state import Tensors, model_root
from fitchain.pod.values.weights_file import read_weights, weights_in


@dataclass(frozen=True)
class Origin:
    """What the registry is told of where a model comes from; it is its author's claim.

    Args:
        parents: registered models that it descends from.
        derivation: how it follows from them; zero where that is not said.
    """

    parents: tuple[ModelId, ...] = ()
    derivation: Digest = ZERO

    def beside(self, parents: Sequence[ModelId]) -> Origin:
        """The same with further parents behind its own."""
        return Origin(tuple(dict.fromkeys((*self.parents, *parents))), self.derivation)


@dataclass(frozen=True)
class InitialWeights:
    """Weights with which a module begins in place of its own.

    Args:
        tensors: by name.
        source: what they are, in words.
        origin: from which models they come.
        is_partial: what fits is loaded, although something does not.
        job: the job that made them; None where none did. What a job made has the names and types of
            the module that it was made of, so that only equal ones are taken, and every other
            tensor is the new module's own.
    """

    tensors: Tensors = field(repr=False)
    source: str
    origin: Origin = Origin()
    is_partial: bool = False
    job: AgreementId | None = None

    @property
    def root(self) -> Root:
        """Root of the model that they are."""
        return model_root(self.tensors)

    @property
    def takes_part(self) -> bool:
        """Whether it is enough that some of them fit."""
        return self.is_partial or self.job is not None

    @property
    def may_differ(self) -> bool:
        """Whether their names may have another prefix than the module's, and their numbers another
        type."""
        return self.job is None


def weights_of_file(path: Path, is_partial: bool = False) -> InitialWeights:
    """Weights out of a safetensors file, or several with their index, whoever wrote them.

    Args:
        path: the file, the index of its shards, or a folder with either of them.
        is_partial: whether it is enough that some of them fit the module.

    Raises:
        NotFound: there is no such file.
        InputRefused: it is none, or a pickle, or a delta that has to fit the whole module.
    """
    file = read_weights(path)
    if not file.is_whole and not is_partial:
        raise InputRefused(
            f"{path} is a delta: it holds only what its base has not",
            f"write the whole file: fitchain model merge {path} --to whole.safetensors; or take the job: --parent",
        )
    return InitialWeights(file.own, path.name, is_partial=is_partial)


def weights_of_job(home: Home, id: AgreementId) -> InitialWeights:
    """Weights out of what a job of this home delivered, which is fetched and checked where that is
    not done.

    Raises:
        AccessRefused: the job is another account's.
        NotFound: it has not ended, or the store lacks something.
        Refuted: its certificate does not hold.
    """
    scientist = home.agreements.read(id).scientist
    if scientist != home.keys.address:
        raise AccessRefused(
            f"the job {id.short} is {scientist}'s, and this home's account is {home.keys.address}",
            "ask for model and certificate, and name the certificate",
        )
    delivered = fetch_model(home, id)
    statement, _ = _statement(delivered.certificate)
    home.bases.lay(home.job_folder(id), statement.recipe.base)
    return _of_statement(statement, delivered.model, home.bases.folder, is_of_this_chain=True)


def weights_of_certificate(
    home: Home, certificate: Path, model: Path | None = None, base: Path | None = None
) -> InitialWeights:
    """Weights out of a model that somebody has a certificate of; it is verified.

    Args:
        home: whose chain is asked.
        certificate: its file.
        model: the model's file; None takes `model.safetensors` beside it.
        base: the base's file, where the model is a delta over one; None takes one that the home
            has.

    Returns:
        the weights. Where the certificate is of another chain or deployment nothing can be asked
        about it: signature and file are compared, and the registry is told of no parent, but how
        the weights derive.

    Raises:
        NotFound: there is no such file.
        Refuted: the certificate does not hold.
    """
    return certified_weights(home.chain, certificate, model, base or home.bases.folder)


def certified_weights(chain: Chain, certificate: Path, model: Path | None, base: Path) -> InitialWeights:
    """The same by a connection, which needs no key; `base` is a base's file, or a folder of bases
    by their roots."""
    file = certificate.with_name(MODEL) if model is None else weights_in(model)
    if not file.is_file():
        raise NotFound(f"there is no file {file}, the model of {certificate}", "name it with --weights")
    statement, signer = _statement(certificate)
    try:
        check_deployment(statement, chain.chain_id, chain.addresses)
    except NotFound:
        if signer != statement.owner:
            raise SignatureMismatch(f"{certificate} is signed by {signer}, and names {statement.owner}") from None
        check_file(statement, file)
        return _of_statement(statement, file, base, is_of_this_chain=False)
    return _of_statement(verify(file, certificate, chain).statement, file, base, is_of_this_chain=True)


def _of_statement(statement: Statement, model: Path, base: Path, is_of_this_chain: bool) -> InitialWeights:
    parents = (statement.lineage[0].id,) if is_of_this_chain else ()
    derivation = trained_derivation(statement.agreement, statement.final_model)
    source = f"what the job {statement.agreement.short} delivered"
    return InitialWeights(whole_model(model, base), source, Origin(parents, derivation), job=statement.agreement)


def _statement(certificate: Path) -> tuple[Statement, str]:
    """A certificate's statement, and who signed it."""
    try:
        with certificate.open("rb") as file:
            data = file.read(CERTIFICATE_BYTES + 1)  # what is longer is refused by its length
    except OSError as error:
        raise NotFound(f"the certificate {certificate} cannot be read: {reason_of(error)}") from None
    payload, signer = unseal(data)
    return Statement.parse(payload), signer
