"""Files of weights that somebody else made: one safetensors file, or several, the shards of a
checkpoint, with the index that names them (Hugging Face's `save_pretrained`).

Nothing is unpickled. A folder stands for the weights that lie in it.

Source: huggingface_hub, `serialization/_torch.py` (`model.safetensors.index.json`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fitchain.pod.values.delta import DELTA_KEY, USUAL_LIMITS, ModelFile
from fitchain.pod.values.digest import parse_json
from fitchain.pod.values.errors import InputRefused, NotFound, reason_of
from fitchain.pod.values.job_folder import MODEL, TENSORS
from fitchain.pod.values.limits import TENSORS_HEADER
from fitchain.pod.values.reading import read_at_most
from fitchain.pod.values.state import Limits, TensorBytes

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
"""Endings of files that PyTorch pickles."""
INDEX = ".index.json"
"""How the name of an index of shards ends."""
CHECKPOINTS = (MODEL, f"{MODEL}{INDEX}")
"""The usual names of a checkpoint's file, and of its index where it has shards."""
_CONVERTED = "convert it with Transformers: model.save_pretrained(FOLDER, safe_serialization=True)"
_BEGINNINGS = (b"PK\x03\x04", b"\x80")
"""With which pickles begin: a ZIP archive of them, or one."""
_MOST_LISTED = 6
_SHARD = re.compile(r"-\d{5}-of-(\d{5})" + re.escape(TENSORS) + "$")
"""How the name of a shard ends: its number, and how many there are."""
_OF_A_HUB = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
"""A model's name on Hugging Face's hub."""


def read_weights(path: Path, limits: Limits = USUAL_LIMITS) -> ModelFile:
    """Read weights, whoever wrote them.

    Args:
        path: a safetensors file, the index of its shards, or a folder with either of them.
        limits: what they may be at most, all shards together.

    Raises:
        NotFound: there is no such file, or a shard is not there.
        InputRefused: it is a pickle, no file of weights, or its shards are not those of the index.
    """
    path = weights_in(path)
    return _read_shards(path, limits) if path.name.endswith(INDEX) else _read_file(path, limits)


def weights_in(path: Path) -> Path:
    """The file of weights that a path means: itself, or of a folder the one that lies in it.

    Raises:
        NotFound: there is nothing, or the folder holds no weights.
        InputRefused: they are pickles, there are several, or one is a shard of several; or the path
            cannot be read.
    """
    try:
        is_folder = path.is_dir()
    except OSError as error:  # a name that is too long, say
        raise InputRefused(f"{path} cannot be read: {reason_of(error)}") from None
    if not is_folder:
        refuse_pickle(path)
        _refuse_shard(path)
        return path
    for name in CHECKPOINTS:
        if (path / name).is_file():
            return path / name
    names = _names_in(path)
    for kind in f"{TENSORS}{INDEX}", TENSORS:
        match [name for name in names if name.endswith(kind)]:
            case [name]:
                _refuse_shard(path / name)
                return path / name
            case [_, *_] as several:
                raise InputRefused(
                    f"{path} is a folder with {len(several)} files of weights: {_listed(several)}",
                    "name the one that is meant",
                )
    pickles = [name for name in names if Path(name).suffix.lower() in PICKLES]
    if len(pickles) == 1:
        refuse_pickle(path / pickles[0])
    if pickles:
        raise InputRefused(
            f"{path} is a folder of pickles, which may run anything when they are read; they are not read here:"
            f" {_listed(pickles)}",
            f"if you trust them, {_CONVERTED}",
        )
    raise NotFound(
        f"{path} is a folder with no file of weights in it: {_listed(names) or 'it is empty'}",
        f"name a safetensors file, or a folder that has {MODEL}",
    )


def _refuse_shard(path: Path) -> None:
    """Refuse one of several shards: it loads as a part of a model, and the rest would be missed by
    nobody who asked for a part."""
    if (shard := _SHARD.search(path.name)) is not None and int(shard[1]) > 1:
        raise InputRefused(
            f"{path} is one of {int(shard[1])} shards, and holds a part of the model",
            f"name the folder of all of them, with their index: {path.parent}",
        )


def refuse_pickle(path: Path) -> None:
    """Refuse a file that is not there, and one of weights that would have to be unpickled.

    Raises:
        NotFound: there is no such file.
        InputRefused: it is a pickle, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(8)
    except FileNotFoundError:
        is_name = _OF_A_HUB.fullmatch(str(path)) and path.suffix not in (TENSORS, ".json", *PICKLES)
        advice = f"nothing is downloaded here; of a model of a hub first: hf download {path} --local-dir FOLDER"
        raise NotFound(f"there is no file {path}", advice if is_name else "") from None
    except OSError as error:
        raise InputRefused(f"{path} cannot be read: {reason_of(error)}") from None
    # A safetensors file begins with the length of its header, which may have a pickle's first byte.
    is_pickle = begin.startswith(_BEGINNINGS) and int.from_bytes(begin, "little") > TENSORS_HEADER.text_bytes
    if path.suffix.lower() in PICKLES or is_pickle:
        pickled, target = path.name, path.with_suffix(TENSORS).name
        renamed = ""
        if pickled == target:  # torch goes by the ending, too
            pickled = path.with_suffix(".pt").name
            renamed = f"; import os; os.rename({path.name!r}, {pickled!r})"
        raise InputRefused(
            f"{path} is a pickle, which may run anything when it is read; it is not read here",
            f"if you trust it, convert it by two lines of Python: `import torch, safetensors.torch{renamed}` and "
            f"`safetensors.torch.save_file({{name: tensor.clone() for name, tensor in torch.load({pickled!r}, "
            f"weights_only=True).items()}}, {target!r})`",
        )


def _read_file(path: Path, limits: Limits) -> ModelFile:
    try:
        return ModelFile.read(path, limits)
    except InputRefused as error:
        hint = error.hint or "write it with safetensors.torch.save_file, or Transformers' save_pretrained"
        raise InputRefused(f"{path} is no file of weights: {error.message}", hint) from None


def _read_shards(index: Path, limits: Limits) -> ModelFile:
    """Read the shards that an index names, each once, as one file of weights."""
    tensors = dict[str, TensorBytes]()
    metadata = dict[str, str]()
    left = limits.total_bytes
    for shard, expected in _shards_of(index).items():
        if not (path := index.with_name(shard)).is_file():
            raise NotFound(
                f"{index} names the shard {shard!r}, and there is no such file beside it", "fetch the whole checkpoint"
            )
        file = _read_file(path, replace(limits, total_bytes=left))
        if not file.is_whole:
            raise InputRefused(f"{path} is a delta ({DELTA_KEY}), and a shard holds its tensors itself")
        if differing := sorted(file.own.keys() ^ expected):
            where = "only in the index" if differing[0] in expected else "only in the shard"
            raise InputRefused(
                f"{index} does not say what {shard} holds: the tensor {differing[0]!r:.200} is {where}",
                "fetch the whole checkpoint, index and shards of one version",
            )
        left -= file.own_bytes
        tensors |= file.own
        metadata = dict(file.metadata) or metadata
        if len(tensors) > limits.tensors:
            raise InputRefused(f"{index} names more than {limits.tensors} tensors, which is the limit")
    return ModelFile(tensors, metadata=metadata)


def _shards_of(index: Path) -> dict[str, set[str]]:
    """Which tensors an index says are in which file beside it.

    Raises:
        InputRefused: it is no index, or names a file elsewhere.
    """
    value = parse_json(read_at_most(index, TENSORS_HEADER.text_bytes), TENSORS_HEADER)
    placed: Any = value.get("weight_map") if isinstance(value, Mapping) else None
    if not isinstance(placed, Mapping) or not placed:
        raise InputRefused(
            f"{index} is no index of shards: it has no weight_map that says which tensor is in which file",
            "name the index that Transformers' save_pretrained wrote beside the shards",
        )
    shards = dict[str, set[str]]()
    for tensor, name in placed.items():
        if not isinstance(name, str) or not name.endswith(TENSORS) or Path(name).name != name or "\0" in name:
            raise InputRefused(
                f"{index} says that the tensor {tensor!r:.200} is in {name!r:.200}, and a shard is a {TENSORS} file"
                " beside the index",
                f"if it is a checkpoint of pickles that you trust, {_CONVERTED}",
            )
        shards.setdefault(name, set()).add(tensor)
    return shards


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(each.name for each in folder.iterdir())
    except OSError as error:
        raise InputRefused(f"{folder} cannot be read: {reason_of(error)}") from None


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(names[:_MOST_LISTED]) + more
