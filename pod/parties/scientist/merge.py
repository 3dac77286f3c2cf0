"""Writing the whole of a model that was delivered as a delta."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fitchain.pod.jobs.bases import SOURCE_KEY
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.scientist.receive import delivery
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.digest import Root
from fitchain.pod.values.errors import InputRefused, NotFound, host_errors
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import BASE, base_name
from fitchain.pod.values.state import Tensors
from fitchain.pod.values.weights_file import CHECKPOINTS, read_weights


@dataclass(frozen=True)
class MergedModel:
    """A model that was written whole.

    Args:
        path: its file.
        root: its model root, which is the final model of the delta's certificate.
        base: root of the base that was put in; None where the file was whole before.
        size_bytes: of its tensors.
    """

    path: Path
    root: Root
    base: Root | None
    size_bytes: int


def merge_model(model: Path, to: Path, base: Path) -> MergedModel:
    """Write a model whole.

    Args:
        model: its file, which may be a delta; or the index of its shards, or a folder with either.
        to: the file that is written; there must be none.
        base: the base's file, or the folder `bases` of a home that has it.

    Raises:
        NotFound: there is no such file.
        InputRefused: one is no model, or a pickle, the base is a delta itself, or the target is
            there already.
        DigestMismatch: a tensor that the model shares with its base is another there, or missing.
        HostUnusable: the target cannot be written.
    """
    if to.exists():
        raise InputRefused(f"{to} is there already", "choose another name")
    file = read_weights(model)
    tensors = _with_base(file, base)
    merged = ModelFile(tensors, metadata={key: text for key, text in file.metadata.items() if key != SOURCE_KEY})
    with host_errors(f"{to} cannot be written"):
        to.parent.mkdir(parents=True, exist_ok=True)
        merged.write(to)
    return MergedModel(to, merged.root, file.base, merged.own_bytes)


def merge_result(home: Home, id: AgreementId, to: Path, base: Path | None = None) -> MergedModel:
    """Write whole what a job delivered, with the base that this home has, or another file of it.

    Raises:
        NotFound: it has not been received here.
        And as `merge_model`, and `Bases.lay`, which fetches a base that is gone here.
    """
    model, folder = delivery(home, id).model, home.job_folder(id)
    agreed = ModelFile.read(model).base
    if base is None:
        home.bases.lay(folder, agreed)
    return merge_model(model, to, base or home.bases.folder)


def whole_model(model: Path, bases: Path | None = None) -> Tensors:
    """Read all tensors of a model.

    Args:
        model: its file, which may be a delta.
        bases: a folder of bases, or the base's file; None takes `base.safetensors` beside the
            model.

    Raises:
        As `merge_model`.
    """
    return _with_base(ModelFile.read(model), bases or model.with_name(BASE))


def _with_base(file: ModelFile, base: Path) -> Tensors:
    return file.whole({} if file.base is None else read_base(file.base, base).own)


def read_base(root: Root, base: Path) -> ModelFile:
    """Read the file of a base.

    Args:
        root: its model root.
        base: the file, a folder that has it by that name, or one as `read_weights` reads.

    Raises:
        NotFound: there is none.
        InputRefused: it is none, or a delta.
    """
    path = base / base_name(root)
    if not path.is_file():
        if not base.is_file() and not any((base / name).is_file() for name in CHECKPOINTS):
            missing = path if base.is_dir() else base
            raise NotFound(
                f"there is no {missing}, and the model is a delta over {root}", "name the base's file with --base FILE"
            )
        path = base
    file = read_weights(path)
    if not file.is_whole:
        raise InputRefused(f"{path} is a delta over {file.base}, and a base is whole", "name the base's own file")
    return file
