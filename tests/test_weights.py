"""Initial weights: tensors of a file or of a job go into a module by name, whole or not at all."""

from __future__ import annotations

import runpy
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from fitchain.pod.compute.model.weights import load_weights
from fitchain.pod.parties.scientist.weights import InitialWeights, weights_of_file
from fitchain.pod.values.delta import ModelFile, inventory_of
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.state import Tensors, read_safetensors
from tests.made_tensors import floats


class Tied(nn.Module):
    """One tensor of two names, a buffer that no program saves, one that each saves."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.table.weight
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("places", torch.arange(3), persistent=False)


def written(state: dict[str, Tensor]) -> Tensors:
    return read_safetensors(save({name: tensor.clone() for name, tensor in state.items()}))[0]


def other_state() -> dict[str, Tensor]:
    """The state of another such module, every number another than a fresh one's."""
    torch.manual_seed(3)
    return {
        name: (torch.randn(tensor.shape) if tensor.is_floating_point() else tensor + 7)
        for name, tensor in Tied().state_dict().items()
        if name != "head.weight"
    }


def equal(module: nn.Module, state: dict[str, Tensor]) -> bool:
    own = module.state_dict()
    return all(torch.equal(own[name], tensor.to(own[name].dtype)) for name, tensor in state.items())


@pytest.mark.parametrize("tied", ["table.weight", "head.weight"])
@pytest.mark.parametrize(("begin", "here"), [("", ""), ("bert.", ""), ("", "net."), ("bert.", "net.")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_whole_file_is_loaded_whatever_its_prefix_type_and_the_name_of_what_is_tied(
    tied: str, begin: str, here: str, dtype: torch.dtype
) -> None:
    inner = Tied()
    module = nn.ModuleDict({"net": inner}) if here else inner
    state = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in other_state().items()}
    named = {begin + (tied if name == "table.weight" else name): tensor for name, tensor in state.items()}
    loaded = load_weights(module, written(named), "the file")
    assert loaded.is_whole and loaded.prefixes == (begin, here) and equal(inner, state)
    assert inner.head.weight is inner.table.weight and torch.equal(inner.get_buffer("places"), torch.arange(3))
    assert loaded.converted == ({} if dtype is torch.float32 else {f"{_name(dtype)} -> F32": 5})


def _name(dtype: torch.dtype) -> str:
    return {torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64"}[dtype]


def test_what_does_not_fit_is_named_and_nothing_is_loaded_unless_a_part_is_asked_for() -> None:
    state = other_state() | {"pooler.bias": torch.zeros(2), "norm.bias": torch.zeros(4)}
    del state["norm.running_mean"]
    module = Tied()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(InputRefused) as refused:
        load_weights(module, written(state), "the file")
    for said in (
        "missing in it: norm.running_mean",
        "norm.bias (F32[4] there, F32[3] in the module)",
        "not in the module: pooler.bias",
    ):
        assert said in refused.value.message
    assert "--partial" in refused.value.hint and equal(module, before)
    loaded = load_weights(module, written(state), "the file", is_partial=True)
    assert (loaded.new, loaded.unused) == (("norm.running_mean",), ("pooler.bias",)) and len(loaded.taken) == 4
    kept = ("norm.running_mean", "norm.bias")
    assert equal(module, {name: before[name] for name in kept})
    assert torch.equal(module.norm.weight, state["norm.weight"])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"z": torch.zeros(2)}, "have no tensor in common: missing in it: "),
        ({"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}, "fit the module's in 2 ways"),
        ({"one.weight": torch.zeros(2, 2, dtype=torch.int32)}, "have no tensor in common"),
    ],
)
def test_file_that_says_nothing_sure_is_refused_even_in_part(state: dict[str, Tensor], message: str) -> None:
    module = nn.ModuleDict({"one": nn.Linear(2, 2), "two": nn.Linear(2, 2)})
    with pytest.raises(InputRefused, match=message):
        load_weights(module, written(state), "the file", is_partial=True)


def test_two_numbers_for_one_tied_tensor_are_refused() -> None:
    state = other_state()
    state["head.weight"] = state["table.weight"] + 1
    with pytest.raises(InputRefused, match=r"one tensor under the names table.weight, head.weight, and the file diff"):
        load_weights(Tied(), written(state), "the file")
    state["head.weight"] = state["table.weight"]
    assert load_weights(Tied(), written(state), "the file").is_whole


def test_tensor_that_cannot_be_written_to_is_refused_in_words() -> None:
    module = nn.Linear(2, 2)
    module.register_buffer("mask", torch.ones(1, 3).expand(4, 3))
    with pytest.raises(InputRefused, match="'mask' repeats numbers without holding them"):
        load_weights(module, written({"weight": torch.zeros(2, 2)}), "the file", is_partial=True)


def test_of_a_job_only_equal_names_and_types_are_taken_and_the_rest_is_new() -> None:
    torch.manual_seed(1)
    old, new = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)), nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
    weights = InitialWeights(written(dict(old.state_dict())), "what a job delivered", job=AgreementId(sha256(b"job")))
    how = {"is_partial": weights.takes_part, "may_differ": weights.may_differ}
    assert how == {"is_partial": True, "may_differ": False}
    loaded = load_weights(new, weights.tensors, weights.source, **how)
    assert loaded.taken == ("0.weight", "0.bias") and len(loaded.differing) == 2
    assert equal(new, {"0.weight": old.state_dict()["0.weight"]})
    with pytest.raises(InputRefused, match="no tensor in common"):
        load_weights(nn.ModuleDict({"net": old}), weights.tensors, weights.source, **how)
    with pytest.raises(InputRefused, match="no tensor in common"):
        load_weights(deepcopy(old).double(), weights.tensors, weights.source, **how)


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "renamed.safetensors"])
def test_pickle_is_refused_with_the_two_lines_that_convert_it(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, path = nn.Linear(2, 2), tmp_path / name
    torch.save(module.state_dict(), path)
    with pytest.raises(InputRefused, match="is a pickle") as refused:
        weights_of_file(path)
    lines = refused.value.hint.split("`")[1::2]
    assert len(lines) == 2
    monkeypatch.chdir(tmp_path)
    (tmp_path / "convert.py").write_text("\n".join(lines))
    runpy.run_path("convert.py")
    (made,) = tmp_path.glob("*.safetensors")
    assert load_weights(nn.Linear(2, 2), weights_of_file(made).tensors, "it").is_whole


def test_delta_is_told_from_a_whole_model(tmp_path: Path) -> None:
    whole, file = {"weight": floats(1, 2), "bias": floats(0)}, tmp_path / "model.safetensors"
    ModelFile.over(whole, inventory_of({"weight": whole["weight"]})).write(file)
    with pytest.raises(InputRefused, match="is a delta") as refused:
        weights_of_file(file)
    assert f"fitchain model merge {file}" in refused.value.hint
    assert sorted(weights_of_file(file, is_partial=True).tensors) == ["bias"]


def test_file_that_is_none_is_refused_with_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "note.safetensors").write_text("not a file of tensors")
    with pytest.raises(InputRefused, match="is no file of weights") as refused:
        weights_of_file(tmp_path / "note.safetensors")
    assert "save_pretrained" in refused.value.hint
    with pytest.raises(NotFound):
        weights_of_file(tmp_path / "none.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "good.safetensors", metadata={"format": "pt", "more": "x" * 537})
    assert (tmp_path / "good.safetensors").read_bytes()[0] == 0x80  # as a pickle begins
    assert set(weights_of_file(tmp_path / "good.safetensors").tensors) == {"weight"}
