"""One tensor out of whatever a module returns, and a `forward` that takes what it is given."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from fitchain.pod.compute.environment.classes import NATIVE
from fitchain.pod.compute.model import Program
from fitchain.pod.compute.model.export import export
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input

FLOATS = (Input("x", "F32", (4,)),)


@dataclass
class Answer:
    logits: Tensor
    loss: Tensor | None = None


class Pair(NamedTuple):
    mean: Tensor
    states: tuple[Tensor, ...]


class Returning(nn.Module):
    """A layer, and what is made of its output."""

    def __init__(self, made: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.made = nn.Linear(4, 3), made

    def forward(self, x: Tensor, mask: Tensor | None = None, **rest: Any) -> Any:
        assert mask is None and not rest
        return self.made(self.layer(x))


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (lambda y: {"logits": y}, ""),
        (lambda y: [None, y, 3], ""),
        (lambda y: Answer(y), ""),
        (lambda y: Answer(y, y.sum()), "logits"),
        (lambda y: {"logits": y, "hidden": (y * 2, y * 3)}, "logits"),
        (lambda y: (y * 2, y), "1"),
        (lambda y: Pair(y * 2, (y * 3, y)), "states.1"),
    ],
)
def test_one_tensor_is_taken_out_of_a_structure(made: Callable[[Tensor], Any], name: str) -> None:
    module, x = Returning(made), torch.rand(5, 4)
    program = Program(*export(module, FLOATS, output=name), NATIVE)
    assert torch.equal(program(x, training=True), module.layer(x))


def test_a_module_is_left_as_it_was() -> None:
    module = Returning(lambda y: {"logits": y})
    export(module, FLOATS)
    assert "forward" not in vars(module) and list(module(torch.rand(2, 4))) == ["logits"]


@pytest.mark.parametrize(
    ("made", "name", "words"),
    [
        (lambda y: {"a": y, "b": [y, y]}, "", "a dict of 3 tensors, and one is needed.*--output: a, b.0, b.1"),
        (lambda y: {"a": y, "b": y}, "logits", "none is called 'logits'.*--output: a, b"),
        (lambda y: y, "logits", "one tensor, and none in it is called 'logits'"),
        (lambda y: {"a": 1}, "", "a dict without a tensor"),
    ],
)
def test_several_tensors_are_named(made: Callable[[Tensor], Any], name: str, words: str) -> None:
    with pytest.raises(InputRefused) as refused:
        export(Returning(made), FLOATS, output=name)
    assert re.search(words, f"{refused.value.message} {refused.value.hint}")


def test_arguments_may_be_of_any_number() -> None:
    class Any_(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, *x: Tensor) -> Tensor:
            y: Tensor = self.layer(x[0]) * x[1]
            return y

    graph, _ = export(Any_(), (*FLOATS, Input("y", "F32", (3,))))
    assert len(graph.inputs) == 2


def test_a_script_is_refused_by_name() -> None:
    with warnings.catch_warnings(action="ignore"):  # torch would have them gone
        script = torch.jit.script(nn.Linear(4, 3))
    with pytest.raises(InputRefused, match=r"compiled by torch\.jit"):
        export(script, FLOATS)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_part_that_is_compiled_is_named() -> None:
    module = nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.Linear(4, 2)))
    with pytest.raises(InputRefused, match=r"the part '1' \(Linear\) is compiled by torch.jit"):
        export(module, [Input("x", "F32", (4,))])
