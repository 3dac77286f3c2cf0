"""A delivery in a folder: model, certificate, graph and preprocessing, as one that belongs
together; and what a program makes of it.

What lies in the folder is compared with the certificate that lies there, and the certificate with
no chain: that is what `verify` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fitchain.pod.compute.model.module import ModuleState, module_state
from fitchain.pod.compute.trained_model import InputTensors, Rows, TrainedModel, input_tensors
from fitchain.pod.parties.scientist.merge import whole_model
from fitchain.pod.parties.scientist.receive import Delivery
from fitchain.pod.proof.certificate import Statement
from fitchain.pod.proof.certificate.claims import check_beside, check_file, read_graph
from fitchain.pod.proof.certificate.envelope import CERTIFICATE_BYTES, read_envelope
from fitchain.pod.proof.certificate.statement import require_versions
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.job_folder import CERTIFICATE, DELIVERY_FILES, GRAPH, MODEL, TOKENIZER, JobFolder
from fitchain.pod.values.limits import TOKENIZER_BYTES
from fitchain.pod.values.reading import read_at_most
from fitchain.pod.values.state import Tensors

Folder = Path | str | JobFolder | Delivery
"""Where a delivery lies: the folder that `fitchain model fetch JOB --to FOLDER` wrote, or what
`fetch_model` gave."""

HOW_TO_FETCH = "fetch the whole delivery into one folder: fitchain model fetch JOB --to FOLDER"


@dataclass(frozen=True)
class Delivered:
    """A delivery that belongs together.

    Args:
        folder: where it lies.
        statement: what its certificate claims; no chain was asked.
        graph: what the model computes.
        tensors: its weights, whole.
    """

    folder: Path
    statement: Statement
    graph: Graph
    tensors: Tensors

    @classmethod
    def read(cls, folder: Folder) -> Delivered:
        """Read the files of a folder.

        Raises:
            NotFound: one of them is not there.
            Refuted: one is another than the certificate says.
            InputRefused: one is no such file, or the folder is a file itself.
        """
        path = folder.model.parent if isinstance(folder, Delivery) else Path(folder)
        _require_delivery(path)
        envelope = read_envelope(read_at_most(path / CERTIFICATE, CERTIFICATE_BYTES))
        require_versions(envelope.payload)
        statement = Statement.parse(envelope.payload)
        check_file(statement, path / MODEL)
        check_beside(statement, path)
        return cls(path, statement, read_graph(path / GRAPH, statement.recipe), whole_model(path / MODEL))

    def tokenizer(self) -> bytes | None:
        """The `tokenizer.json` beside the model; None where there is none."""
        path = self.folder / TOKENIZER
        return read_at_most(path, TOKENIZER_BYTES) if path.is_file() else None


def _require_delivery(path: Path) -> None:
    """Refuse a folder that is none, or lacks a file of a delivery, and say what it is.

    Raises:
        NotFound: it is not there, or a file of it is not.
        InputRefused: it is a file.
    """
    if path.is_file():
        raise InputRefused(f"{path} is a file, and a delivery is a folder", f"name its folder: {path.parent}")
    if not path.is_dir():
        raise NotFound(f"there is no folder {path}", HOW_TO_FETCH)
    missing = [name for name in DELIVERY_FILES if not (path / name).is_file()]
    if len(missing) == len(DELIVERY_FILES):
        below = sorted(each for each in path.iterdir() if (each / CERTIFICATE).is_file())
        raise NotFound(
            f"{path} holds no delivery: none of {', '.join(missing)} is in it",
            f"did you mean {below[0]}?" if below else HOW_TO_FETCH,
        )
    if missing:
        raise NotFound(f"there is no {' and no '.join(missing)} in {path}", HOW_TO_FETCH)


def load(folder: Folder) -> TrainedModel:
    """Load what a job trained.

    The files are compared with the certificate beside them, and the certificate with no chain: call
    `verify` first where it matters who made it.

    Args:
        folder: where `fitchain model fetch JOB --to FOLDER` put it, or what `fetch_model` gave.

    Returns:
        a module in evaluation mode. `predict` takes raw rows; to train it further, take its
        `parameters()` and `preprocess`.

    Raises:
        NotFound: a file of the delivery is not there.
        Refuted: a file is another than the certificate says.
        InputRefused: a file is malformed.
    """
    delivered = Delivered.read(folder)
    stated = delivered.statement
    return TrainedModel(
        delivered.graph, delivered.tensors, stated.recipe, stated.card, stated.seed, delivered.tokenizer()
    )


def state_dict(folder: Folder) -> ModuleState:
    """The trained weights under the names of the module that was published: what its
    `load_state_dict` takes, strictly. Tied weights stand under each of their names; constants of
    the graph, and buffers that are not persistent, are left out.

    Raises:
        NotFound, Refuted, InputRefused: as `load`.
    """
    delivered = Delivered.read(folder)
    return module_state(delivered.graph, delivered.tensors)


def preprocess(folder: Folder, rows: Rows, missing: tuple[str, ...] = ()) -> InputTensors:
    """What the published module's `forward` takes of raw rows: a tensor `[N, *shape]` for each
    argument.

    Args:
        folder: as of `load`.
        rows, missing: as of `TrainedModel.predict`.

    Raises:
        NotFound, Refuted, InputRefused: as `load` and `TrainedModel.predict`.
    """
    delivered = Delivered.read(folder)
    stated = delivered.statement
    return input_tensors(stated.recipe, stated.card, delivered.graph, rows, missing, delivered.tokenizer())
