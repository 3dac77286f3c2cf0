"""Laws, examples and attacks: `fitchain.pod.values.graph`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.compute.environment.classes import NATIVE, X86_64_V3, environment_class
from fitchain.pod.values.digest import canonical_json, sha256
from fitchain.pod.values.errors import EnvironmentRefused, InputRefused
from fitchain.pod.values.graph import OPERATORS, Graph, Limits, TensorRef

LINEAR = {"operator": "aten.linear.default", "arguments": [{"input": 0}, {"tensor": "w"}, {"tensor": "b"}]}


def node(operator: str, *arguments: Any, **options: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"operator": operator, "arguments": list(arguments)}
    return {**plain, "options": options} if options else plain


def form(*nodes: Any, output: Any = None) -> dict[str, Any]:
    return {"nodes": list(nodes), "output": output or {"node": len(nodes) - 1}}


def tensor(*shape: int, kind: str = "parameter", dtype: str = "F32", trainable: bool = True) -> dict[str, Any]:
    return {"kind": kind, "dtype": dtype, "shape": list(shape), "trainable": trainable}


def tree(**changes: Any) -> dict[str, Any]:
    whole = {
        "version": "fitchain/graph/v2",
        "inputs": [{"name": "x", "dtype": "F32", "shape": [3]}],
        "tensors": {"w": tensor(2, 3), "b": tensor(2)},
        "training": form(LINEAR),
        "evaluation": form(LINEAR),
    }
    return {**whole, **changes}


def parse(**changes: Any) -> Graph:
    return Graph.parse(canonical_json(tree(**changes)))


def with_node(*nodes: Any) -> Graph:
    return parse(training=form(*nodes))


def test_parse_reads_a_linear_layer() -> None:
    graph = parse()
    assert graph.parameters["w"].shape == (2, 3) and not graph.buffers and graph.inputs[0].name == "x"
    assert graph.training.nodes[0].arguments[1] == TensorRef("w") and graph.operators == {"aten.linear.default"}


def test_digest_is_that_of_the_bytes() -> None:
    data = canonical_json(tree())
    assert Graph.parse(data).digest == sha256(data)


ARGUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text("abc_-", min_size=1, max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False)
    .filter(lambda x: x != 0)
    .map(lambda x: {"float": int(x) if x.is_integer() and abs(x) < 1e15 else x})
    | st.sampled_from(["inf", "-inf", "nan", "-0", 0]).map(lambda x: {"float": x})
    | st.sampled_from([{"input": 0}, {"tensor": "w"}, {"dtype": "F32"}, {"device": "model"}, {"layout": "strided"}])
    | st.sampled_from([{"memory_format": "contiguous"}, {"integer": "9223372036854775807"}]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def depth(value: Any) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(st.lists(ARGUMENTS.filter(lambda value: depth(value) <= 2), max_size=4))
def test_encode_gives_back_what_was_parsed(arguments: list[Any]) -> None:
    data = canonical_json(tree(training=form(node("aten.cat.default", *arguments))))
    assert Graph.parse(data).encode() == data


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda x: st.lists(x) | st.dictionaries(st.text(max_size=6), x),
    )
)
def test_parse_refuses_any_foreign_value(value: Any) -> None:
    for changes in ({key: value} for key in tree()):
        try:
            data = json.dumps(tree(**changes)).encode()
            graph = Graph.parse(data)
        except InputRefused as refused:
            assert refused.message
        else:
            assert graph.encode() == data


@given(st.binary(max_size=60))
def test_parse_refuses_any_bytes(data: bytes) -> None:
    with pytest.raises(InputRefused):
        Graph.parse(data)


@pytest.mark.parametrize(
    ("operator", "hint"),
    [
        ("aten.empty.memory_format", "zeros"),
        ("aten.new_empty.default", "zeros"),
        ("aten.empty_like.default", "zeros"),
        ("aten.as_strided.default", "slices"),
        ("aten.as_strided_.default", "slices"),
        ("aten.set_.source_Storage", ""),
        ("aten.resize_.default", ""),
        ("aten.from_file.default", ""),
        ("aten.item.default", "torch.where"),
        ("aten.nonzero.default", "torch.where"),
        ("aten.lineer.default", "aten.linear.default"),
        ("torchvision.nms.default", ""),
        ("aten.max_unpool2d.default", ""),
        ("aten.embedding_renorm_.default", ""),
        ("aten.sparse_coo_tensor.size", ""),
        ("aten.add.out", ""),
        ("__import__", ""),
    ],
)
def test_parse_refuses_an_unknown_operator_by_name(operator: str, hint: str) -> None:
    with pytest.raises(InputRefused, match=operator) as refused:
        with_node(node(operator, {"input": 0}))
    assert hint in refused.value.hint


def test_no_class_admits_what_reads_memory_that_is_not_its_own() -> None:
    for word in (
        "empty",
        "as_strided",
        "set_",
        "resize",
        "from_file",
        "unpool",
        "sparse",
        "embedding_renorm",
        "item",
        ".out",
        "_unsafe",
    ):
        assert not [name for name in OPERATORS if word in name.removeprefix("aten.").replace("reshape", "")]


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(EnvironmentRefused, match="'cpu-x86-64-v5'"):
        environment_class("cpu-x86-64-v5")


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
@pytest.mark.parametrize("place", ["tensor", "argument", "option"])
def test_half_precision_is_in_no_class_whose_cases_do_not_cover_it(dtype: str, place: str) -> None:
    half = {"dtype": dtype}
    graph = {
        "tensor": lambda: parse(
            tensors={"w": tensor(2, 3), "b": tensor(2, kind="buffer", dtype=dtype, trainable=False)}
        ),
        "argument": lambda: with_node(node("aten.to.dtype", {"input": 0}, half)),
        "option": lambda: with_node(node("aten.zeros.default", [2], dtype=half)),
    }[place]()
    graph.check(NATIVE.admits)
    with pytest.raises(InputRefused, match=f"cpu-x86-64-v3 does not admit {dtype}"):
        graph.check(X86_64_V3.admits)


def test_check_refuses_what_was_not_compared_between_processors() -> None:
    graph = with_node(node("aten.grid_sampler.default", {"input": 0}, {"input": 0}, 0, 0, False))
    graph.check(NATIVE.admits)
    with pytest.raises(InputRefused, match=f"{X86_64_V3.name} does not admit the operator") as refused:
        graph.check(X86_64_V3.admits)
    assert "F.interpolate" in refused.value.hint


@pytest.mark.parametrize("exponent", [2, {"float": 0.5}, {"float": 1.5}])
def test_check_admits_roots_and_powers(exponent: Any) -> None:
    with_node(node("aten.pow.Tensor_Scalar", {"input": 0}, exponent), node("aten.sqrt_.default", {"node": 0})).check(
        X86_64_V3.admits
    )


@pytest.mark.parametrize(
    "argument",
    [
        {"node": 0},
        {"node": 1},
        {"node": -1},
        {"node": True},
        {"node": 0, "item": -1},
        {"node": 0, "item": 5000},
        {"node": 0, "extra": 1},
        {"input": 1},
        {"input": -1},
        {"tensor": "c"},
        {"tensor": None},
        {"tensor": ["w"]},
        {"dtype": "C64"},
        {"dtype": "float32"},
        {"device": "cuda:0"},
        {"layout": "sparse"},
        {"memory_format": "x"},
        {"code": "x"},
        {"float": "1"},
        {"float": True},
        {"float": None},
        {"integer": "5"},
        {"integer": "99999999999999999999"},
        {"integer": "-"},
        {"integer": "٣" * 19},
        {"integer": 5},
        {},
        0.5,
        "x" * 201,
        "line\n",
        "",
        [[[1]]],
        [1] * 5000,
    ],
    ids=repr,
)
def test_parse_refuses_a_bad_argument(argument: Any) -> None:
    with pytest.raises(InputRefused):
        with_node(node("aten.relu.default", argument))


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": []},
        {"inputs": [{"name": "x", "dtype": "F16", "shape": [3]}]},
        {"inputs": [{"name": "x", "dtype": "F32", "shape": [-1]}]},
        {"inputs": [{"name": "x", "dtype": "F32", "shape": [2**60]}]},
        {"tensors": {"w": tensor(2, 3), "b": tensor(2, kind="optimizer")}},
        {"tensors": {"w": tensor(2, 3), "b": tensor(2, kind="buffer")}},
        {"tensors": {"w": tensor(2, 3), "b": tensor(2, dtype="I64")}},
        {"tensors": {"w": tensor(2, 3), "b": tensor(2.5)}},  # type: ignore[arg-type]
        {"tensors": {"w": tensor(2, 3), "b": tensor(*[1] * 9)}},
        {"tensors": {"w": tensor(2, 3), "b": {"kind": "parameter"}}},
        {"tensors": {"w": tensor(2, 3)}},
        {"tensors": {"w": tensor(2, 3), "b\n": tensor(2)}},
        {"version": "fitchain/graph/v1"},
        {"training": form(LINEAR, output={"node": 1})},
        {"training": form(LINEAR, output=3)},
        {"training": form(LINEAR, output=[{"node": 0}])},
        {"training": form()},
        {"training": form(node("gradient.open", False), LINEAR)},
        {"training": form(node("gradient.close"), node("gradient.open", False), LINEAR)},
        {"training": {**form(LINEAR), "hook": "x"}},
        {"training": form({**LINEAR, "source": "x"})},
        {"training": form({**LINEAR, "options": []})},
        {"training": form({**LINEAR, "options": {}})},
        {"evaluation": None},
        {"more": 1},
    ],
)
def test_parse_refuses_a_malformed_graph(changes: dict[str, Any]) -> None:
    with pytest.raises(InputRefused):
        parse(**changes)


def test_parse_refuses_what_is_beyond_its_limits() -> None:
    data = canonical_json(tree(training=form(LINEAR, node("aten.relu.default", {"node": 0}))))
    for limits, words in (
        (Limits(graph_bytes=100), "limit is 100"),
        (Limits(nodes=1), "0 to 1 items"),
        (Limits(tensors=1), "at most 1 names"),
        (Limits(rank=1), "0 to 1 items"),
        (Limits(size=2), "0 to 2"),
        (Limits(state_bytes=31), "32 bytes and the limit is 31"),
    ):
        with pytest.raises(InputRefused, match=words):
            Graph.parse(data, limits)


def test_parse_refuses_weights_too_large_to_hold() -> None:
    with pytest.raises(InputRefused, match="the limit is"):
        parse(tensors={"w": tensor(1 << 40, 1 << 40, 1 << 40), "b": tensor(2)})


def test_parse_refuses_json_that_is_not_canonical() -> None:
    with pytest.raises(InputRefused, match="not canonical"):
        Graph.parse(json.dumps(tree()).encode())


def test_parse_refuses_a_key_that_stands_twice() -> None:
    with pytest.raises(InputRefused, match="stands twice"):
        Graph.parse(canonical_json(tree()).replace(b'{"evaluation"', b'{"evaluation":1,"evaluation"', 1))
