"""Exporting: a delivery's files in a folder of their own, verified there, for what is written
beside them.

The copies are what is verified, and what everything else is made of: whoever changes the originals
meanwhile changes nothing. The folder appears under its name once all of it is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fitchain.pod.compute.dataset.preprocessing import METADATA_KEY, preprocessing_metadata, preprocessing_of
from fitchain.pod.parties.scientist.delivered import Delivered, Folder
from fitchain.pod.parties.scientist.merge import whole_model
from fitchain.pod.ports.chain import Chain
from fitchain.pod.proof.certificate import Verdict, verify
from fitchain.pod.proof.certificate.claims import read_graph
from fitchain.pod.proof.certificate.statement import Statement
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.digest import Digest, sha256, sha256_file
from fitchain.pod.values.errors import (
    ClaimMismatch,
    FitchainError,
    InputRefused,
    NotFound,
    host_errors,
    reason_of,
    require_equal,
)
from fitchain.pod.values.files import remove_tree, sync_folder
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import BASE, CERTIFICATE, DELIVERY_FILES, GRAPH, MODEL, TOKENIZER, part_of
from fitchain.pod.values.state import Tensors

if TYPE_CHECKING:
    from fitchain.pod.compute.model.onnx_file import OnnxCheck

COPIED = (*DELIVERY_FILES, TOKENIZER, BASE)
"""Files of a delivery that are copied; model and certificate have to be there."""


@dataclass(frozen=True)
class Exported:
    """A verified delivery, copied.

    Args:
        folder: where the copies are, and further files may be written.
        verdict: on the copies.
    """

    folder: Path
    verdict: Verdict

    @property
    def certificate_digest(self) -> Digest:
        """SHA-256 of the certificate's file."""
        return sha256((self.folder / CERTIFICATE).read_bytes())

    def metadata(self, graph: Graph) -> dict[str, str]:
        """What a file in another format says of itself, as `metadata_of`."""
        return metadata_of(self.verdict.statement, self.certificate_digest, graph)

    def graph(self) -> Graph:
        """The model's graph, which is the recipe's.

        Raises:
            NotFound: it is not in the folder.
        """
        if not (path := self.folder / GRAPH).is_file():
            raise NotFound(f"there is no {GRAPH} beside the model", "name the job in place of the folder")
        return read_graph(path, self.verdict.statement.recipe)

    def tensors(self) -> Tensors:
        """The delivered parameters and buffers, whole."""
        return whole_model(self.folder / MODEL)


def metadata_of(statement: Statement, certificate: Digest, graph: Graph) -> dict[str, str]:
    """What a file in another format says of itself: where it comes from, which columns go in, what
    comes out; and all of how raw cells enter it (`preprocessing.json`), or its digest where that is
    long.

    Args:
        statement: of its certificate.
        certificate: SHA-256 of the certificate's file.
        graph: what it computes.
    """
    recipe, card = statement.recipe, statement.card
    classes = recipe.transform.get(recipe.target, {}).get("categories", ())
    preprocessing = preprocessing_metadata(preprocessing_of(recipe, card, graph.inputs))
    return {
        "fitchain.certificate.sha256": certificate.value.hex(),
        "fitchain.model.sha256": statement.subject.value.hex(),
        "fitchain.agreement": str(statement.agreement),
        "fitchain.chain": str(statement.chain_id),
        "fitchain.graph": str(recipe.graph),
        "fitchain.inputs": json.dumps([list(columns) for columns in recipe.inputs]),
        "fitchain.target": recipe.target,
        "fitchain.classes": json.dumps(list(classes)),
        "fitchain.unit": card.column(recipe.target).unit,
        f"fitchain.{METADATA_KEY}": preprocessing[METADATA_KEY],
    }


def export_onnx(folder: Folder, to: Path | str) -> OnnxCheck:
    """Write a delivered model as ONNX, and compare it with the agreed graph on random batches: what
    `fitchain model export --onnx` does, but that no chain is asked whether the certificate holds;
    `verify` says that.

    Args:
        folder: as of `load`.
        to: the file, which must not be there.

    Returns:
        how close the two are.

    Raises:
        NotFound, Refuted, InputRefused: as `load`; or the file is there, or an operator of the
            graph has no translation.
        HostUnusable: a library of the extra `onnx` is not here, or the file cannot be written.
    """
    from fitchain.pod.compute.model.onnx_file import WEIGHTS, onnx_libraries, write_onnx

    onnx_libraries()  # before what takes long
    to = Path(to)
    require_new(to)
    delivered = Delivered.read(folder)
    certificate = sha256_file(delivered.folder / CERTIFICATE)
    metadata = metadata_of(delivered.statement, certificate, delivered.graph)
    with host_errors(f"{to} cannot be written"):
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            return write_onnx(delivered.graph, delivered.tensors, to, metadata)
        except BaseException:
            for path in (to, to.with_name(to.name + WEIGHTS)):
                path.unlink(missing_ok=True)  # what was not compared looks like what was
            raise


def require_new(target: Path) -> None:
    """Refuse a target that is there: a signed folder never changes.

    Raises:
        InputRefused: it is there.
    """
    if target.exists() or target.is_symlink():
        raise InputRefused(f"{target} is there already, and nothing is overwritten", "name a folder that is not")


@contextmanager
def exported(source: Path, target: Path, chain: Chain, job: AgreementId | None = None) -> Iterator[Exported]:
    """Copy a delivery and verify the copies; the folder is there once the block has come to its
    end, and nothing of it is left where the block does not.

    Args:
        source: a folder with a model, its certificate and, for ONNX, its graph.
        target: a folder that is not there yet.
        chain: of the deployment that the certificate is compared with.
        job: which the certificate has to be of; None for any.

    Raises:
        InputRefused: the target is there, or cannot be written.
        NotFound: a file of the delivery is not there.
        Refuted: the certificate does not hold, or is of another job.
    """
    require_new(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = part_of(target.parent)
        folder.mkdir()
    except OSError as error:
        raise InputRefused(f"{target} cannot be written: {reason_of(error)}", "choose another folder") from None
    try:
        with host_errors(f"{target} cannot be written"):
            _copy(source, folder)
            verdict = _verified(folder, chain)
            if job is not None and verdict.statement.agreement != job:
                raise ClaimMismatch(f"the certificate is of the job {verdict.statement.agreement}, and not of {job}")
            yield Exported(folder, verdict)
            folder.rename(target)
            sync_folder(target.parent)
    finally:
        if folder.exists():
            remove_tree(folder)


def _verified(folder: Path, chain: Chain) -> Verdict:
    """What holds of the copies; what does not is told by the files' own names."""
    try:
        verdict = verify(folder / MODEL, folder / CERTIFICATE, chain)
        _check_fetched(folder, verdict.statement)
        return verdict
    except FitchainError as error:
        raise type(error)(error.message.replace(f"{folder}/", ""), error.hint) from None


def _check_fetched(folder: Path, statement: Statement) -> None:
    """Check what lies beside a delivery and came by itself: a file of that name may be another, or
    a link to one that nobody wants to publish.

    Raises:
        ClaimMismatch: it is another, or there is none of it.
    """
    if (path := folder / TOKENIZER).exists():
        agreed = None if statement.card.tokenizer is None else statement.card.tokenizer.terms.digest
        require_equal(f"{TOKENIZER} has the digest", sha256_file(path), agreed, "the certificate's card says")
    if (path := folder / BASE).exists():
        root = None if statement.base is None else statement.base.root
        require_equal(f"{BASE} has the model root", ModelFile.read(path).root, root, "the certificate says")


def _copy(source: Path, folder: Path) -> None:
    for name in COPIED:
        try:
            shutil.copyfile(source / name, folder / name)
        except FileNotFoundError:
            if name in (MODEL, CERTIFICATE):
                raise NotFound(
                    f"{source} has no {name}", "name a job, or the folder that `fitchain model fetch JOB --to` wrote"
                ) from None
