"""Weights that somebody else made: a file, shards with their index, a folder; never a pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fitchain.cli.app import run
from fitchain.pod.parties.scientist import merge_model, weights_of_file
from fitchain.pod.values.delta import ModelFile, inventory_of
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.state import Limits
from fitchain.pod.values.weights_file import read_weights

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2), "b.weight": torch.zeros(2, 2)}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
PLACED = {"a.weight": SHARDS[0], "a.bias": SHARDS[0], "b.weight": SHARDS[1]}


def checkpoint(folder: Path, placed: dict[str, Any] = PLACED) -> Path:
    """Two shards and an index of theirs."""
    folder.mkdir()
    for shard in SHARDS:
        save_file({name: STATE[name] for name in PLACED if PLACED[name] == shard}, folder / shard, {"format": "pt"})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 48}, "weight_map": placed}))
    return index


def whole(folder: Path) -> Path:
    save_file(STATE, path := folder / "whole.safetensors")
    return path


def test_shards_are_the_whole(tmp_path: Path) -> None:
    index, file = checkpoint(tmp_path / "hub"), ModelFile.read(whole(tmp_path))
    for path in (index, index.parent):
        assert read_weights(path).root == file.root
        assert weights_of_file(path).root == file.root
        merge_model(path, to := tmp_path / f"{path.name}.merged", tmp_path)
        assert ModelFile.read(to).root == file.root


def test_shards_may_be_links_into_a_cache(tmp_path: Path) -> None:
    cache = checkpoint(tmp_path / "cache").parent
    (snapshot := tmp_path / "snapshot").mkdir()
    for path in cache.iterdir():
        (snapshot / path.name).symlink_to(path)
    assert read_weights(snapshot).root == read_weights(cache).root


@pytest.mark.parametrize(
    ("placed", "reason"),
    [
        ({**PLACED, "b.weight": "../whole.safetensors"}, "a shard is a .safetensors file beside the index"),
        ({**PLACED, "b.weight": "/etc/passwd.safetensors"}, "beside the index"),
        ({**PLACED, "b.weight": "pytorch_model-00002-of-00002.bin"}, "beside the index"),
        ({**PLACED, "b.weight": 2}, "beside the index"),
        ({**PLACED, "b.weight": "..safetensors\0"}, "beside the index"),
        ({"a.weight": SHARDS[0], "b.weight": SHARDS[1]}, "the tensor 'a.bias' is only in the shard"),
        ({**PLACED, "c": SHARDS[1]}, "the tensor 'c' is only in the index"),
        ({**PLACED, "b.weight": SHARDS[0]}, "the tensor 'b.weight' is only in the index"),
        ({}, "no weight_map"),
        ([], "no weight_map"),
    ],
)
def test_an_index_that_is_not_of_its_shards_is_refused(placed: Any, reason: str, tmp_path: Path) -> None:
    whole(tmp_path)
    with pytest.raises(InputRefused, match=reason):
        read_weights(checkpoint(tmp_path / "hub", placed))


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    index = checkpoint(tmp_path / "hub")
    index.with_name(SHARDS[1]).unlink()
    with pytest.raises(NotFound, match=SHARDS[1]) as refused:
        read_weights(index)
    assert refused.value.hint == "fetch the whole checkpoint"


@pytest.mark.parametrize("limits", [Limits(total_bytes=40), Limits(tensors=2)])
def test_the_limits_hold_for_all_shards_together(limits: Limits, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="limit"):
        read_weights(checkpoint(tmp_path / "hub"), limits)


def test_a_delta_is_no_shard(tmp_path: Path) -> None:
    index = checkpoint(tmp_path / "hub")
    tensors = read_weights(index).own
    own = {"b.weight": tensors["b.weight"]}
    ModelFile.over(own, inventory_of({"x": tensors["a.bias"]})).write(index.with_name(SHARDS[1]))
    with pytest.raises(InputRefused, match="is a delta"):
        read_weights(index)


@pytest.mark.parametrize(
    ("names", "error", "reason"),
    [
        ((), NotFound, "it is empty"),
        (("config.json", "a.txt"), NotFound, "no file of weights in it: a.txt, config.json"),
        (("pytorch_model.bin",), InputRefused, "pytorch_model.bin is a pickle"),
        (("pytorch_model-1-of-2.bin", "pytorch_model-2-of-2.bin"), InputRefused, "a folder of pickles"),
        (("one.safetensors", "two.safetensors"), InputRefused, "2 files of weights: one.safetensors, two.safetensors"),
    ],
)
def test_a_folder_without_its_weights_says_what_it_has(
    names: tuple[str, ...], error: type[Exception], reason: str, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(error, match=reason) as refused:
        read_weights(tmp_path)
    assert getattr(refused.value, "hint", "")


def test_one_of_several_shards_is_refused_with_the_folder_of_all(tmp_path: Path) -> None:
    index = checkpoint(tmp_path / "m")
    with pytest.raises(InputRefused, match="is one of 2 shards") as refused:
        read_weights(index.with_name(SHARDS[0]))
    assert refused.value.hint.endswith(f": {tmp_path / 'm'}")
    index.unlink()
    index.with_name(SHARDS[1]).unlink()
    with pytest.raises(InputRefused, match="is one of 2 shards"):
        read_weights(tmp_path / "m")
    only = index.with_name(SHARDS[0]).rename(tmp_path / "model-00001-of-00001.safetensors")
    assert read_weights(only).own.keys() == {"a.weight", "a.bias"}


@pytest.mark.parametrize("name", ["bert-base-uncased", "google/bert_uncased"])
def test_a_models_name_on_a_hub_is_no_file_and_the_hint_says_how_it_becomes_one(name: str) -> None:
    with pytest.raises(NotFound, match="there is no file") as refused:
        read_weights(Path(name))
    assert f"hf download {name} " in refused.value.hint


@pytest.mark.parametrize("name", ["model.pt", "model.bin", "archive"])
def test_merge_says_of_a_pickle_what_it_is_and_reads_none(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(STATE, path := tmp_path / name)
    assert run(["model", "merge", str(path), "--to", str(tmp_path / "to"), "--home", str(tmp_path), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert "is a pickle" in error["message"] and "safetensors.torch.save_file" in error["hint"]


def test_merge_takes_a_checkpoint_and_names_what_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = checkpoint(tmp_path / "hub")
    there = ["--home", str(tmp_path), "--json"]
    assert run(["model", "merge", str(index.parent), "--to", str(tmp_path / "to.safetensors"), *there]) == 0
    assert json.loads(capsys.readouterr().out)["base"] is None
    assert run(["model", "merge", str(tmp_path / "none/at/all"), "--to", str(tmp_path / "to2"), *there]) == 3
    assert "there is no file" in json.loads(capsys.readouterr().out)["error"]["message"]
    (other := tmp_path / "notes.txt").write_text("hello")
    assert run(["model", "merge", str(other), "--to", str(tmp_path / "to2"), *there]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert f"{other} is no file of weights" in error["message"] and "save_file" in error["hint"]
