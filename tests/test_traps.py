"""A stranger's graph ends no process, and its step is a function of the state alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fitchain.pod.compute.environment.classes import NATIVE
from fitchain.pod.compute.model import dry_run
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.tensors import tensor_bytes
from fitchain.pod.compute.model.traps import DIVISIONS
from fitchain.pod.values.digest import canonical_json
from fitchain.pod.values.errors import InputRefused, OperatorFailed
from fitchain.pod.values.graph import OPERATORS, Graph

B = 8
X, W, STATE = {"input": 0}, {"tensor": "w"}, {"tensor": "b"}
LOWEST, ONE_MORE = torch.iinfo(torch.int64).min, {"integer": str(torch.iinfo(torch.int64).min + 1)}
INTEGERS, FLOATS = {"dtype": "I64"}, {"dtype": "F32"}


def node(operator: str, *arguments: Any, **options: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"operator": f"aten.{operator}", "arguments": list(arguments)}
    return {**plain, "options": options} if options else plain


def value(index: int) -> dict[str, Any]:
    return {"node": index}


def graph_of(
    *nodes: dict[str, Any], output: int | None = None, dtype: str = "F32", shape: tuple[int, ...] = (4,)
) -> Graph:
    """A graph of an input [B, 4], a parameter w [4, 1] and a buffer b."""
    form = {"nodes": list(nodes), "output": value(len(nodes) - 1 if output is None else output)}
    still = {"nodes": [node("matmul.default", X, W)], "output": value(0)}
    return Graph.parse(
        canonical_json(
            {
                "version": "fitchain/graph/v2",
                "inputs": [{"name": "x", "dtype": "F32", "shape": [4]}],
                "tensors": {
                    "w": {"kind": "parameter", "dtype": "F32", "shape": [4, 1], "trainable": True},
                    "b": {"kind": "buffer", "dtype": dtype, "shape": list(shape), "trainable": False},
                },
                "training": form,
                "evaluation": still,
            }
        )
    )


def program(graph: Graph, state: Tensor, parameter: Tensor | None = None) -> Program:
    w = torch.full((4, 1), 0.5) if parameter is None else parameter
    return Program(graph, {"w": tensor_bytes("parameter", w), "b": tensor_bytes("buffer", state)}, NATIVE)


def x_BF() -> Tensor:
    return torch.arange(4.0 * B).reshape(B, 4) / 10


# No operator traps


def divided(operator: str, number: bool, by: int, **options: Any) -> Graph:
    """The lowest integer, made of numbers that a graph may hold, divided."""
    return graph_of(
        node("full.default", [B, 4], ONE_MORE, dtype=INTEGERS),
        node("sub.Scalar", value(0), 1),
        node("full.default", [B, 4], by, dtype=INTEGERS),
        node(operator, value(1), by if number else value(2), **options),
        node("to.dtype", value(3), FLOATS),
        node("matmul.default", value(4), W),
    )


@pytest.mark.parametrize("by", [-1, 0])
@pytest.mark.parametrize(
    ("operator", "number", "options"),
    [
        ("floor_divide.default", False, {}),
        ("floor_divide.Scalar", True, {}),
        ("remainder.Tensor", False, {}),
        ("remainder.Scalar", True, {}),
        ("fmod.Tensor", False, {}),
        ("fmod.Scalar", True, {}),
        ("div.Tensor_mode", False, {"rounding_mode": "trunc"}),
        ("div.Tensor_mode", False, {"rounding_mode": "floor"}),
        ("div.Scalar_mode", True, {"rounding_mode": "trunc"}),
        ("div.Scalar_mode", True, {"rounding_mode": "floor"}),
    ],
)
def test_a_division_that_would_trap_is_an_error(operator: str, number: bool, by: int, options: dict[str, Any]) -> None:
    with pytest.raises(OperatorFailed, match=rf"aten\.{operator} \(node 3\) cannot compute"):
        program(divided(operator, number, by, **options), torch.zeros(4))(x_BF(), training=True)


def test_every_admitted_division_is_looked_at() -> None:
    dividing = {name.split(".")[1].removesuffix("_") for name in OPERATORS if name.startswith("aten.")}
    suspicious = {name for name in dividing if any(part in name for part in ("div", "mod", "remainder", "gcd", "lcm"))}
    # The first two take no integers, the next divides none, and gcd divides by none below zero.
    assert suspicious - {"addcdiv", "kl_div", "mode", "gcd"} == DIVISIONS


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64])
def test_gcd_of_the_lowest_integers_does_not_trap(dtype: torch.dtype) -> None:
    lowest = torch.iinfo(dtype).min
    numbers = torch.tensor([lowest, lowest + 1, -3, -1, 0, 1, 2, 5, -lowest - 1], dtype=dtype)
    a, b = torch.meshgrid(numbers, numbers, indexing="ij")
    assert torch.equal(torch.gcd(a, b).abs(), torch.gcd(b, a).abs())


def test_a_trap_that_waits_in_the_state_ends_at_its_step() -> None:
    graph = graph_of(
        node("sub_.Scalar", STATE, 1),
        node("floor_divide.Scalar", STATE, -1),
        node("matmul.default", X, W),
        output=2,
        dtype="I64",
    )
    trapping = program(graph, torch.full((4,), LOWEST + 3))
    for _ in range(2):
        trapping(x_BF(), training=True)
    with pytest.raises(OperatorFailed, match="the quotient of -9223372036854775808 and -1 is no integer"):
        trapping(x_BF(), training=True)


def test_other_divisions_divide() -> None:
    for dtype in (torch.int64, torch.int32, torch.uint8, torch.float32):
        graph = graph_of(
            node("floor_divide.default", STATE, STATE),
            node("to.dtype", value(0), FLOATS),
            node("reshape.default", value(1), [4, 1]),
            node("mul.Tensor", value(2), W),
            node("matmul.default", X, value(3)),
            dtype={torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.float32: "F32"}[dtype],
        )
        output = program(graph, torch.full((4,), 5, dtype=dtype))(x_BF(), training=True)
        torch.testing.assert_close(output, x_BF() @ torch.full((4, 1), 0.5))


# A step is a function of the state alone


def remembering(*change: dict[str, Any]) -> Graph:
    """The buffer takes part in the output, and then learns from the parameter."""
    return graph_of(
        node("matmul.default", X, W),
        node("mul.Tensor", STATE, {"float": 0.5}),
        node("reshape.default", value(1), [4, 1]),
        node("matmul.default", X, value(2)),
        node("add.Tensor", value(0), value(3)),
        node("reshape.default", W, [4]),
        *change,
        output=4,
    )


def trained(training: Program, steps: int) -> list[Tensor]:
    """The parameter's gradient at each step."""
    return [
        torch.autograd.grad(training(x_BF(), training=True).square().mean(), training.trainable["w"])[0]
        for _ in range(steps)
    ]


@pytest.mark.parametrize(
    "change",
    [
        [node("copy_.default", STATE, value(5))],
        [node("add_.Tensor", STATE, value(5))],
        [node("mul_.Tensor", STATE, value(5)), node("lerp_.Scalar", STATE, value(5), {"float": 0.5})],
        [node("select.int", STATE, 0, 1), node("select.int", value(5), 0, 2), node("add_.Tensor", value(6), value(7))],
    ],
)
def test_a_buffer_keeps_no_gradients_history(change: list[dict[str, Any]]) -> None:
    graph = remembering(*change)
    whole = program(graph, torch.ones(4))
    gradients = trained(whole, 3)
    begun = program(graph, torch.ones(4))
    trained(begun, 2)
    resumed = program(graph, begun.buffers["b"].detach().clone())
    assert torch.equal(trained(resumed, 1)[0], gradients[2])
    assert torch.equal(resumed.buffers["b"], whole.buffers["b"])


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("unsqueeze_.default", [STATE, 0]),
        ("squeeze_.dim", [STATE, 0]),
        ("detach_.default", [W]),
    ],
)
def test_a_form_that_changes_the_kind_of_what_a_step_starts_from_is_refused(
    operator: str, arguments: list[Any]
) -> None:
    graph = graph_of(node("matmul.default", X, W), node(operator, *arguments), output=0, shape=(1, 4))
    with pytest.raises(InputRefused, match=r"a step would leave the (buffer 'b'|parameter 'w') in another shape"):
        dry_run(graph, B)
    with pytest.raises(InputRefused, match="a step would leave"):
        program(graph, torch.zeros(1, 4))(x_BF(), training=True)


def test_values_that_are_not_those_of_the_dry_run_end_the_first_run() -> None:
    """Torch's meta kernel for a sum over no dimension says one shape, and its kernel makes another."""
    graph = graph_of(node("nansum.default", X, []), node("matmul.default", value(0), W))
    with pytest.raises(InputRefused, match=r"the operator aten.nansum.default makes torch.float32\[.*without numbers"):
        program(graph, torch.zeros(4))(x_BF(), training=True)
