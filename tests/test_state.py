"""Laws, examples and attacks: `fitchain.pod.values.state`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save, save_file

from fitchain.pod.values.digest import (
    ZERO,
    Digest,
    Root,
    blake3_digest,
    canonical_json,
    sha256,
    tagged,
    tree_root,
)
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.state import (
    Limits,
    TensorBytes,
    Tensors,
    model_root,
    optimizer_root,
    read_safetensors,
    safetensors_pieces,
    state_digest,
    tensor_entry,
    with_kinds_of,
    write_safetensors,
)
from tests.made_tensors import NAMES, floats, tensors


def file_bytes(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def line(shape: list[int], start: int, stop: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@given(st.dictionaries(NAMES, tensors(("parameter", "buffer", "optimizer")), max_size=5))
def test_read_gives_back_what_was_written(state: dict[str, TensorBytes]) -> None:
    data = b"".join(safetensors_pieces(state, {"note": "x"}))
    again, metadata = read_safetensors(data)
    assert again == state and metadata == {"note": "x"}


@given(st.dictionaries(NAMES, tensors(), max_size=5))
def test_file_does_not_depend_on_the_order_of_tensors(state: dict[str, TensorBytes]) -> None:
    backwards = dict(reversed(list(state.items())))
    assert list(safetensors_pieces(state)) == list(safetensors_pieces(backwards))


@given(st.dictionaries(NAMES, tensors(), max_size=5))
def test_root_does_not_depend_on_the_order_of_tensors(state: dict[str, TensorBytes]) -> None:
    assert model_root(state) == model_root(dict(reversed(list(state.items()))))


@given(st.binary(max_size=200))
def test_read_refuses_or_understands_any_bytes(data: bytes) -> None:
    try:
        read_safetensors(data)
    except InputRefused as refused:
        assert refused.message


@given(
    st.recursive(
        st.none() | st.integers(-2, 9) | st.text(max_size=3), lambda x: st.lists(x) | st.dictionaries(NAMES, x)
    )
)
def test_read_refuses_or_understands_any_header(value: object) -> None:
    for header in (value, {"x": value}, {"x": {"dtype": value, "shape": value, "data_offsets": [0, 4]}}):
        try:
            read_safetensors(file_bytes(header, bytes(4)))
        except InputRefused as refused:
            assert refused.message


def test_model_root_follows_its_definition() -> None:
    weight, seen = floats(1.0, 2.0), floats(3.0, kind="buffer")
    entries = [
        tagged(
            "fitchain/tensor/v2",
            sha256(canonical_json([tensor.kind, name, "F32", list(tensor.shape)])),
            blake3_digest(tensor.data),
        )
        for name, tensor in (("a", seen), ("b", weight))
    ]
    assert model_root({"b": weight, "a": seen}) == tagged("fitchain/model/v2", 2, tree_root(entries))


def test_optimizer_root_of_nothing() -> None:
    assert optimizer_root({}) == tagged("fitchain/optimizer/v2", 0, sha256(b""))


def test_state_digest_follows_its_definition() -> None:
    one = Root(Digest(bytes([1] * 32)))
    assert state_digest(Root(ZERO), one) == tagged("fitchain/state/v2", ZERO, one)


@pytest.mark.parametrize(
    "changed",
    [
        {"b": floats(1.0)},
        {"a": floats(1.0, kind="buffer")},
        {"a": TensorBytes("parameter", "I32", (1,), floats(1.0).data)},
        {"a": TensorBytes("parameter", "F32", (1, 1), floats(1.0).data)},
        {"a": floats(1.0000001)},
        {"a": floats(1.0), "b": floats()},
    ],
    ids=["name", "kind", "dtype", "shape", "data", "another"],
)
def test_model_root_changes_with_everything(changed: dict[str, TensorBytes]) -> None:
    assert model_root(changed) != model_root({"a": floats(1.0)})


def test_roots_take_only_their_own_kinds() -> None:
    with pytest.raises(InputRefused, match="'m' is of kind optimizer"):
        model_root({"m": floats(1.0, kind="optimizer")})
    with pytest.raises(InputRefused, match="'w' is of kind parameter"):
        optimizer_root({"w": floats(1.0)})


def test_a_known_data_digest_is_not_taken_again() -> None:
    digest = blake3_digest(floats(5.0).data)
    assert tensor_entry("w", floats(1.0), digest) == tensor_entry("w", floats(5.0))
    assert model_root({"w": floats(1.0)}, {"w": digest}) == model_root({"w": floats(5.0)})


def test_other_readers_understand_our_file(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "m.safetensors", {"b": floats(1.5, 2.5), "a": floats(3.0, kind="buffer")})
    found = load_file(tmp_path / "m.safetensors")
    assert found["b"].tolist() == [1.5, 2.5] and found["a"].tolist() == [3.0]


def test_we_understand_the_files_of_other_writers() -> None:
    found, metadata = read_safetensors(save({"w": np.ones((2, 3), np.float32)}, {"format": "pt"}))
    assert found["w"].shape == (2, 3) and found["w"].kind == "parameter" and metadata == {"format": "pt"}


def test_tensors_begin_at_a_multiple_of_their_item_size() -> None:
    state = {"a": TensorBytes("buffer", "BOOL", (3,), memoryview(bytes(3))), "b": floats(1.0)}
    state["c"] = TensorBytes("buffer", "I64", (), memoryview(bytes(8)))
    assert list(read_safetensors(b"".join(safetensors_pieces(state)))[0]) == ["c", "b", "a"]


def test_write_replaces_an_older_file_and_leaves_nothing_beside(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        write_safetensors(tmp_path / "s.safetensors", {"w": floats(value)})
    assert read_safetensors(tmp_path / "s.safetensors")[0] == {"w": floats(2.0)}
    assert [path.name for path in tmp_path.iterdir()] == ["s.safetensors"]


def test_write_that_is_refused_leaves_the_older_file(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "s.safetensors", {"w": floats(1.0)})
    with pytest.raises(InputRefused, match="is taken"):
        write_safetensors(tmp_path / "s.safetensors", {"w": floats(2.0)}, {"fitchain": "{}"})
    assert read_safetensors(tmp_path / "s.safetensors")[0] == {"w": floats(1.0)}
    assert len(list(tmp_path.iterdir())) == 1


def test_read_of_no_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        read_safetensors(tmp_path / "none")


def test_tensor_refuses_bytes_that_do_not_fit() -> None:
    with pytest.raises(InputRefused, match=r"F32\[2\] needs 8 bytes in a row, not 4"):
        TensorBytes("parameter", "F32", (2,), memoryview(bytes(4)))
    with pytest.raises(InputRefused, match="needs 4 bytes in a row"):
        TensorBytes("parameter", "F32", (1,), memoryview(bytes(8))[::2])


@pytest.mark.parametrize(
    ("header", "body", "words"),
    [
        ({"w": line([2], 0, 4)}, 4, "tensor bytes do not match the header"),
        ({"w": line([1], 0, 4)}, 8, "describes 4 bytes, and the file holds 8"),
        ({"w": line([2], 0, 8)}, 4, "describes 8 bytes, and the file holds 4"),
        ({"a": line([1], 0, 4), "b": line([1], 0, 4)}, 4, "'b' begins at 0"),
        ({"a": line([1], 0, 4), "b": line([1], 8, 12)}, 12, "'b' begins at 8"),
        ({"w": line([-1], 0, 4)}, 4, "non-negative"),
        ({"w": line([True], 0, 4)}, 4, "non-negative"),
        ({"w": line([1] * 9, 0, 4)}, 4, "at most 8"),
        ({"w": line([2**62, 2**62], 0, 4)}, 4, "do not match"),
        ({"w": line([1], 0, 4, "F8")}, 4, "dtype 'F8'"),
        ({"w": line([1], 0, 1, "BOOL")}, b"\x02", "BOOL"),
        ({"w": {"dtype": "F32"}}, 4, "has dtype, shape and data_offsets"),
        ({"w" * 600: line([1], 0, 4)}, 4, "512"),
        ({"\ud800": line([1], 0, 4)}, 4, "surrogate"),
        ({"__metadata__": {"a": 1}}, 0, "maps text to text"),
        ({"__metadata__": {"fitchain": '{"w":"buffer"}'}}, 0, "no such tensor"),
        ({"w": line([1], 0, 4), "__metadata__": {"fitchain": '{"w":"code"}'}}, 4, "no such tensor or kind"),
        (b'{"w":1,"w":2}', 0, "stands twice"),
        (b"[]", 0, "JSON object"),
        (b"{", 0, "not JSON"),
    ],
)
def test_read_refuses_a_header_that_lies(header: object, body: int | bytes, words: str) -> None:
    with pytest.raises(InputRefused, match=words):
        read_safetensors(file_bytes(header, body if isinstance(body, bytes) else bytes(body)))


def test_read_refuses_what_is_beyond_its_limits() -> None:
    data = b"".join(safetensors_pieces({"a": floats(1.0), "b": floats(2.0)}))
    for limits, words in (
        (Limits(tensors=1), "2 tensors and the limit is 1"),
        (Limits(header_bytes=16), "the limit is 16"),
        (Limits(total_bytes=4), "8 bytes and the limit is 4"),
    ):
        with pytest.raises(InputRefused, match=words):
            read_safetensors(data, limits)


def test_read_refuses_a_file_cut_off_anywhere() -> None:
    data = b"".join(safetensors_pieces({"a": floats(1.0), "b": floats(2.0)}))
    for length in range(len(data)):
        with pytest.raises(InputRefused):
            read_safetensors(data[:length])


# --- files that other programs wrote anew -----------------------------------------------------

BATCH_NORM = Path(__file__).parent / "cases" / "resaved_model_with_buffers" / "model.safetensors"


def resaved(tensors: Tensors, path: Path) -> dict[str, TensorBytes]:
    """What is read of a model that safetensors' own writer wrote anew: no word of buffers."""
    write_safetensors(path, tensors)
    save_file(load_file(path), path)
    return read_safetensors(path)[0]


def test_kinds_of_a_file_that_was_written_anew_are_found_by_its_root(tmp_path: Path) -> None:
    model = read_safetensors(BATCH_NORM)[0]
    again = resaved(model, tmp_path / "again.safetensors")
    assert model_root(again) != model_root(model)
    assert with_kinds_of(again, model_root(model)) == model


@pytest.mark.parametrize("buffers", [(), ("pe",), ("pe", "mask"), ("pe", "mask", "running_var"), ("weight",)])
def test_buffers_are_found_whatever_they_are_called(tmp_path: Path, buffers: tuple[str, ...]) -> None:
    names = [f"{layer}.{ending}" for layer in "ab" for ending in ("weight", "bias", "pe", "mask", "running_var")]
    model = {
        name: TensorBytes("buffer" if name[2:] in buffers else "parameter", "F32", (1,), memoryview(name[:4].encode()))
        for name in names
    }
    assert with_kinds_of(resaved(model, tmp_path / "m.safetensors"), model_root(model)) is not None


def test_another_value_type_or_name_is_another_model(tmp_path: Path) -> None:
    model = read_safetensors(BATCH_NORM)[0]
    root, again = model_root(model), resaved(model, tmp_path / "m.safetensors")
    altered = bytearray(again["l.1.running_mean"].data)
    altered[0] ^= 1
    changes: list[Tensors] = [
        again | {"l.1.running_mean": TensorBytes("parameter", "F32", (8,), memoryview(altered))},
        again | {"l.1.running_mean": TensorBytes("parameter", "I32", (8,), again["l.1.running_mean"].data)},
        again | {"l.1.weight": again["l.1.bias"], "l.1.bias": again["l.1.weight"]},
        {name: tensor for name, tensor in again.items() if name != "l.1.num_batches_tracked"},
    ]
    assert [with_kinds_of(change, root) for change in changes] == [None] * 4
    assert with_kinds_of(model, Root(ZERO)) is None  # it names kinds itself


def test_the_search_for_kinds_has_an_end() -> None:
    tensors = {f"{number}.n{number}": TensorBytes("parameter", "U8", (0,), memoryview(b"")) for number in range(3000)}
    assert with_kinds_of(tensors, Root(ZERO)) is None
