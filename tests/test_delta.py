"""Laws, examples and attacks: `fitchain.pod.values.delta`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.values.delta import DELTA_KEY, VERSION, ModelFile, inventory_of
from fitchain.pod.values.digest import canonical_json, parse_json
from fitchain.pod.values.errors import DigestMismatch, InputRefused
from fitchain.pod.values.state import Limits, TensorBytes, model_root, safetensors_pieces, write_safetensors
from scripts.zoo.__main__ import LIBRARIES
from tests.made_tensors import NAMES, floats, tensors
from tests.source_text import ROOT

MODELS = st.dictionaries(NAMES, tensors(), min_size=1, max_size=5)
BASE = {"weight": floats(1, 2, 3), "bias": floats(0), "mean": floats(4, 5, kind="buffer")}
TUNED = {
    "base.weight": BASE["weight"],
    "tied.weight": BASE["weight"],
    "base.bias": replace(BASE["bias"], kind="buffer"),
    "lora": floats(7),
}


def bytes_of(file: ModelFile, folder: Path) -> bytes:
    file.write(folder / "m")
    return (folder / "m").read_bytes()


def delta() -> ModelFile:
    return ModelFile.over(TUNED, inventory_of(BASE))


@given(base=MODELS, others=MODELS, renamed=st.data())
def test_whole_comes_back_from_a_delta_and_its_base(
    base: dict[str, TensorBytes],
    others: dict[str, TensorBytes],
    renamed: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    names = renamed.draw(st.permutations(sorted(base)))
    whole = {f"model.{name}": base[old] for name, old in zip(sorted(base), names, strict=True)} | others
    folder = tmp_path_factory.mktemp("delta")
    ModelFile.over(whole, inventory_of(base)).write(folder / "m")
    file = ModelFile.read(folder / "m")
    assert file.whole(base) == whole
    assert (file.root, file.base) == (model_root(whole), model_root(base))
    assert file.whole_bytes == sum(tensor.data.nbytes for tensor in whole.values())
    assert bytes_of(file, folder) == bytes_of(ModelFile.over(whole, inventory_of(base)), folder)


@given(whole=MODELS)
def test_file_without_a_base_is_the_whole(whole: dict[str, TensorBytes]) -> None:
    file = ModelFile.read(b"".join(safetensors_pieces(whole)))
    assert (file.base, file.root, file.whole({})) == (None, model_root(whole), whole)
    assert ModelFile.over(whole, {}).is_whole


def test_delta_holds_what_its_base_has_not_under_whatever_name() -> None:
    file = delta()
    assert list(file.own) == ["lora"]
    assert (file.own_bytes, file.shared_bytes, file.parameter_bytes) == (4, 28, 28)
    assert file.shared["tied.weight"] == file.shared["base.weight"]
    assert file.shared["base.bias"].kind == "buffer"


def test_metadata_of_a_delta_is_kept(tmp_path: Path) -> None:
    delta().write(tmp_path / "m", {"note": "x"})
    file = ModelFile.read(tmp_path / "m")
    assert file.metadata == {"note": "x"}
    assert ModelFile.read(bytes_of(file, tmp_path)).metadata == {"note": "x"}


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ({"bias": BASE["bias"]}, "has no tensor 'weight'"),
        ({**BASE, "weight": floats(1, 2)}, r"is F32\[2\], and the model shares F32\[3\]"),
        ({**BASE, "weight": floats(1, 2, 4)}, "'weight' has the digest"),
    ],
)
def test_another_base_is_refused(base: dict[str, TensorBytes], said: str) -> None:
    with pytest.raises(DigestMismatch, match=said) as refused:
        delta().whole(base)
    assert str(model_root(BASE)) in refused.value.hint


def tampered(change: Callable[[Any], object]) -> bytes:
    value = parse_json(canonical_json(delta()._document()))
    change(value)
    return b"".join(safetensors_pieces({"lora": floats(7)}, {DELTA_KEY: canonical_json(value).decode()}))


def test_another_digest_of_a_shared_tensor_is_another_base_and_another_model() -> None:
    zero = "0x" + "00" * 32
    file = ModelFile.read(tampered(lambda value: value["inventory"][2].__setitem__(4, zero)))
    assert file.base != model_root(BASE) and file.root != model_root(TUNED)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: value["shared"].update(more=["parameter", "absent"]), "which its base does not have"),
        (lambda value: value["shared"].update(lora=["parameter", "bias"]), "holds the tensor 'lora' and says"),
        (lambda value: value["shared"].update(more=["optimizer", "bias"]), "a parameter or a buffer"),
        (lambda value: value["shared"].update(more=["parameter"]), "with its kind and its name"),
        (lambda value: value["shared"].update({"\n": ["parameter", "bias"]}), "printable"),
        (lambda value: value["inventory"].reverse(), "by name, each once"),
        (lambda value: value["inventory"].append(value["inventory"][-1]), "by name, each once"),
        (lambda value: value["inventory"].clear(), "inventory is a list"),
        (lambda value: value["inventory"][0].pop(), "inventory is a list"),
        (lambda value: value["inventory"][0].__setitem__(1, "optimizer"), "a parameter or a buffer"),
        (lambda value: value["inventory"][0].__setitem__(2, "F8"), "'F8' is not one of"),
        (lambda value: value["inventory"][0].__setitem__(3, [-1]), "non-negative"),
        (lambda value: value["inventory"][0].__setitem__(3, [1] * 9), "at most 8 sizes"),
        (lambda value: value["inventory"][0].__setitem__(4, "0x"), "64 hex digits"),
        (lambda value: value.update(version="fitchain/delta/v1"), f"{VERSION} is read here"),
        (lambda value: value.pop("shared"), "has version, inventory and shared"),
    ],
)
def test_malformed_delta_is_refused(change: Callable[[Any], object], said: str) -> None:
    with pytest.raises(InputRefused, match=said):
        ModelFile.read(tampered(change))


def test_delta_in_other_json_is_refused() -> None:
    text = canonical_json(delta()._document()).decode() + " "
    with pytest.raises(InputRefused, match="not canonical"):
        ModelFile.read(b"".join(safetensors_pieces({"lora": floats(7)}, {DELTA_KEY: text})))


def test_whole_that_a_few_bytes_describe_is_bounded() -> None:
    def repeat(value: Any) -> None:
        value["shared"] = {f"x{number}": ["parameter", "weight"] for number in range(100)}

    data = tampered(repeat)
    assert len(ModelFile.read(data).shared) == 100
    with pytest.raises(InputRefused, match="101 tensors"):
        ModelFile.read(data, Limits(tensors=100))
    with pytest.raises(InputRefused, match="whole have 1204 bytes"):
        ModelFile.read(data, Limits(total_bytes=1203))


def test_delta_that_a_foreign_program_wrote_anew_is_no_delta_any_more(tmp_path: Path) -> None:
    file = delta()
    write_safetensors(tmp_path / "m", file.own)
    assert ModelFile.read(tmp_path / "m").root != file.root


@pytest.mark.long
@pytest.mark.architectures
def test_module_that_peft_wrapped_shares_what_it_wraps() -> None:
    path = os.pathsep.join(map(str, (ROOT, LIBRARIES)))
    command = [sys.executable, "-m", "tests.peft_model"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=True)
    told = json.loads(done.stdout)
    assert all("lora_" in name for name in told["own"]) and len(told["own"]) == 4
    assert told["shared"]["base_model.model.0.base_layer.weight"] == "0.weight" and len(told["shared"]) == 4
