"""What a training form may keep in its state: `fitchain.pod.values.graph.taint`.

Legend: B batch, F features, K classes, N places of a memory.
"""

from __future__ import annotations

import cProfile
import inspect
import json
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitchain.pod.compute.environment.classes import NATIVE
from fitchain.pod.compute.model import Program, dry_run, tensor_bytes
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.operators.arguments import symbol
from fitchain.pod.compute.operators.cases import make_sample
from fitchain.pod.compute.operators.kernels import kernel, overload
from fitchain.pod.values.digest import canonical_json
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import OPERATORS, Graph, Input, Symbol
from fitchain.pod.values.graph.capacity import Capacity, capacity_of
from fitchain.pod.values.graph.operators.record import Case, Sample

B, K = 4, 3
X, RING, MEAN, W = {"input": 0}, {"tensor": "ring"}, {"tensor": "mean"}, {"tensor": "w"}
TAKES, REMEMBERS = "what it reads of the records into the buffer", "remembers what was learnt"
CHOOSES, MOVES = "chooses by comparison or index", "and what steps write is a buffer"


class Kept(nn.Module):
    """A linear layer, beside buffers that a subclass writes in training."""

    ring_N: Tensor
    row_F: Tensor
    shift_K: Tensor
    weight_KF: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, K), nn.BatchNorm1d(4, momentum=1.0)
        self.answer = nn.Parameter(torch.zeros(8))
        self.register_buffer("ring_N", torch.zeros(32))
        self.register_buffer("row_F", torch.ones(4))
        self.register_buffer("shift_K", torch.ones(K))
        self.register_buffer("weight_KF", torch.zeros(K, 4))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.keep(x_BF)
        logits_BK: Tensor = self.layer(x_BF)
        return logits_BK

    def keep(self, x_BF: Tensor) -> None:
        """What training writes."""
        raise NotImplementedError


def exported(module: nn.Module, *shape: int) -> Graph:
    return export(module, [Input("x", "F32", shape or (4,))], B)[0]


# What carries records out


class Thief(Kept):
    """Every record it ever saw, newest first: the module that brought all records home."""

    def keep(self, x_BF: Tensor) -> None:
        self.ring_N.copy_(torch.cat([x_BF.flatten(), self.ring_N])[:32])


class LabelThief(Kept):
    """The labels: a step of a large rate sets each answer to the label at its place of the batch,
    and the next step keeps it."""

    def forward(self, x_BF: Tensor) -> Tensor:
        mine_B = self.answer[torch.arange(x_BF.shape[0])]
        if self.training:
            with torch.no_grad():
                self.ring_N.copy_(torch.cat([self.answer.detach(), self.ring_N])[:32])  # the line
        return mine_B.unsqueeze(-1) + 0 * x_BF.sum(1, keepdim=True)


class ByView(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.weight_KF.view(4, K).t()[0].copy_(x_BF[0])


class BySplit(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.ring_N.chunk(8)[3].add_(x_BF[0])


class ByMask(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.row_F.masked_fill_(x_BF[0] > 0, 1.0)


class ByFactor(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.row_F.mul_(2.0).lerp_(x_BF[0], 0.5)


class ByLookUp(Kept):
    """What a record chooses, and nothing of its own."""

    def keep(self, x_BF: Tensor) -> None:
        self.row_F.copy_(torch.arange(32.0)[x_BF[0].long()])


class ByChoice(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.row_F.copy_(torch.where(x_BF[0] > 0, 1.0, self.row_F))


class ByHand(Kept):
    """A mean of one's own: of one record it is the record."""

    def keep(self, x_BF: Tensor) -> None:
        self.row_F.mul_(0.9).add_(x_BF.mean(0), alpha=0.1)


class ByEarlierValue(Kept):
    """A view that was taken before the batch was written into what it is a view of."""

    def keep(self, x_BF: Tensor) -> None:
        fresh_BF = torch.zeros_like(x_BF)
        first_F = fresh_BF[0]
        fresh_BF.copy_(x_BF)
        self.row_F.copy_(first_F)


class ByOutput(Kept):
    def keep(self, x_BF: Tensor) -> None:
        torch.Tensor.copy_(self.shift_K, self.layer(x_BF)[0])


class IntoFrozenWeight(Kept):
    def __init__(self) -> None:
        super().__init__()
        self.layer.weight.requires_grad_(False)

    def keep(self, x_BF: Tensor) -> None:
        self.layer.weight[0].copy_(x_BF[0])


class IntoTrainableWeight(Kept):
    """A parameter that no gradient reaches: a buffer by another name."""

    def keep(self, x_BF: Tensor) -> None:
        self.answer[:4].copy_(x_BF[0])


class Clamped(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.layer.weight.clamp_(-1, 1)


class Rolled(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.ring_N.copy_(torch.roll(self.ring_N, 8))
        self.ring_N[:8].copy_(self.answer)


class HandedOn(Kept):
    """A ring of whole buffers."""

    def keep(self, x_BF: Tensor) -> None:
        self.ring_N[:K].copy_(self.shift_K)
        self.shift_K.copy_(self.layer.bias)


class Multiplied(Kept):
    """A ring turned by a matrix, and what is new added."""

    def keep(self, x_BF: Tensor) -> None:
        self.shift_K.copy_(torch.mv(self.layer.weight[:, :K], self.shift_K) + self.layer.bias)


class WrittenOnce(Kept):
    """A buffer takes what was learnt at one step, and keeps it."""

    def keep(self, x_BF: Tensor) -> None:
        self.count.add_(1)
        now = (self.count == 3).float()
        self.shift_K.mul_(1 - now).add_(now * self.layer.bias)


class WrittenAfterAStep(Kept):
    """The same, the choice being kept in a buffer of its own first."""

    def keep(self, x_BF: Tensor) -> None:
        self.shift_K.mul_(1 - self.row_F[0]).add_(self.row_F[0] * self.layer.bias)
        self.count.add_(1)
        self.row_F.copy_((self.count == torch.arange(4)).float())


class WrittenOnceByLogic(Kept):
    """The same by logic in place."""

    def keep(self, x_BF: Tensor) -> None:
        self.count.add_(1)
        bits = self.count.long().clone()
        now = bits.bitwise_and_(torch.tensor(3)).float()
        self.shift_K.mul_(1 - now).add_(now * self.layer.bias)


class WrittenOnceByPlace(Kept):
    """The same by where a count stands among others."""

    def keep(self, x_BF: Tensor) -> None:
        self.count.add_(1)
        now = torch.bucketize(self.count, torch.tensor([3.0, 4.0])).float()
        self.shift_K.mul_(1 - now).add_(now * self.layer.bias)


class WeightsInTurn(Kept):
    """Weights that one step's gradient reaches, and no other's."""

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            self.count.add_(1)
        turn_N = (self.count == torch.arange(8)).float()  # the line
        logits_BK: Tensor = self.layer(x_BF) + (turn_N * self.answer).sum()
        return logits_BK


class StatisticOfStatistics(Kept):
    """A ring in the running mean of a batch norm with momentum 1."""

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            assert self.norm.running_mean is not None
            last_BF = self.norm.running_mean.expand(x_BF.shape[0], 4)
            self.norm(torch.cat([x_BF[:, :1], last_BF[:, :3]], 1))  # the line
        logits_BK: Tensor = self.layer(x_BF)
        return logits_BK


class StatisticMoved(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.norm(x_BF)
        assert self.norm.running_mean is not None
        self.norm.running_mean.copy_(torch.roll(self.norm.running_mean, 1))


class StatisticKept(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.norm(x_BF)
        assert self.norm.running_mean is not None
        self.ring_N.copy_(torch.cat([self.norm.running_mean, self.ring_N])[:32])


class StatisticInAPart(Kept):
    """A place of a ring as the running mean of a batch norm that sees one record."""

    def keep(self, x_BF: Tensor) -> None:
        F.batch_norm(x_BF[:2], self.ring_N[4:8], self.row_F, None, None, True, 1.0)


REFUSED: dict[type[nn.Module], str] = {
    Thief: f"{TAKES} 'ring_N'",
    LabelThief: "the buffer 'ring_N' remembers what was learnt",
    ByView: f"{TAKES} 'weight_KF'",
    BySplit: f"{TAKES} 'ring_N'",
    ByMask: f"{TAKES} 'row_F'",
    ByFactor: f"{TAKES} 'row_F'",
    ByLookUp: f"{TAKES} 'row_F'",
    ByChoice: f"{TAKES} 'row_F'",
    ByHand: f"{TAKES} 'row_F'",
    ByEarlierValue: f"{TAKES} 'row_F'",
    ByOutput: f"{TAKES} 'shift_K'",
    IntoFrozenWeight: MOVES,
    IntoTrainableWeight: MOVES,
    Clamped: MOVES,
    Rolled: REMEMBERS,
    HandedOn: REMEMBERS,
    Multiplied: REMEMBERS,
    WrittenOnce: CHOOSES,
    WrittenAfterAStep: CHOOSES,
    WrittenOnceByLogic: CHOOSES,
    WrittenOnceByPlace: CHOOSES,
    WeightsInTurn: CHOOSES,
    StatisticOfStatistics: "made of running statistics",
    StatisticMoved: "changed by more than its batch norm",
    StatisticKept: REMEMBERS,
    StatisticInAPart: "in a part of 'ring_N'",
}


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_module_that_remembers_is_refused_with_its_line(kind: type[nn.Module]) -> None:
    with pytest.raises(InputRefused) as refused:
        exported(kind())
    assert REFUSED[kind] in refused.value.message and refused.value.hint
    named = refused.value.message.removeprefix(f"{__file__}:").split()[0]
    assert int(named) in own_lines(kind)
    assert "\n" not in refused.value.message


def own_lines(kind: type[nn.Module]) -> list[int]:
    """The numbers of the lines of a class of which one may be named: the marked one, or all."""
    if not {"keep", "forward"} & vars(kind).keys():
        return own_lines(kind.__mro__[1])
    lines, start = inspect.getsourcelines(kind)
    marked = [start + number for number, line in enumerate(lines) if "# the line" in line]
    return marked or [start + number for number in range(len(lines))]


# What a graph by hand says


def node(operator: str, *arguments: Any, **options: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"operator": f"aten.{operator}", "arguments": list(arguments)}
    return {**plain, "options": options} if options else plain


def value(index: int) -> dict[str, Any]:
    return {"node": index}


def of_batches(*nodes: dict[str, Any], output: int | None = None, **tensors: tuple[str, list[int]]) -> Graph:
    """A training form of these nodes on a batch of four numbers a record; of tensors their kind and
    shape."""
    specs = {
        name: {"kind": kind, "dtype": "F32", "shape": shape, "trainable": kind == "parameter"}
        for name, (kind, shape) in tensors.items()
    }
    tree = {
        "version": "fitchain/graph/v2",
        "inputs": [{"name": "x", "dtype": "F32", "shape": [4]}],
        "tensors": specs,
        "training": {"nodes": list(nodes), "output": value(len(nodes) - 1 if output is None else output)},
        "evaluation": {"nodes": [node("relu.default", X)], "output": value(0)},
    }
    return Graph.parse(canonical_json(tree))


BUFFERS: dict[str, Any] = {
    "w": ("parameter", [4, 4]),
    "ring": ("buffer", [4]),
    "mean": ("buffer", [4]),
    "count": ("buffer", []),
}
FIRST = node("select.int", X, 0, 0)
BY_HAND: dict[str, tuple[Graph, str]] = {
    "names for places": (
        of_batches(
            FIRST,
            {"operator": "aten.copy_.default", "arguments": [], "options": {"self": RING, "src": value(0)}},
            output=0,
            **BUFFERS,
        ),
        f"{TAKES} 'ring', and would carry them out in it (aten.copy_.default, node 1 of training)",
    ),
    "a dropout that drops nothing": (
        of_batches(
            FIRST,
            node("dropout.default", RING, {"float": 0.5}, False),
            node("copy_.default", value(1), value(0)),
            output=0,
            **BUFFERS,
        ),
        f"{TAKES} 'ring'",
    ),
    "a sum of products of one tensor": (
        of_batches(
            FIRST,
            node("einsum.default", "i->i", [RING]),
            node("copy_.default", value(1), value(0)),
            output=0,
            **BUFFERS,
        ),
        f"{TAKES} 'ring'",
    ),
    "one of two grids": (
        of_batches(
            node("meshgrid.indexing", [W, RING], indexing="ij"),
            node("copy_.default", {"node": 0, "item": 1}, X),
            output=0,
            **BUFFERS,
        ),
        "the training form writes",
    ),
    "a batch norm's statistics in a parameter": (
        of_batches(
            node(
                "batch_norm.default", X, None, None, {"tensor": "v"}, MEAN, True, {"float": 1.0}, {"float": 1e-5}, False
            ),
            **BUFFERS,
            v=("parameter", [4]),
        ),
        MOVES,
    ),
    "statistics by name": (
        of_batches(
            {"operator": "aten.batch_norm.default", "arguments": [X], "options": {"running_mean": RING}}, **BUFFERS
        ),
        "takes its arguments by place",
    ),
    "a fill by a record": (
        of_batches(
            FIRST, node("select.int", value(0), 0, 0), node("fill_.Tensor", RING, value(1)), output=0, **BUFFERS
        ),
        TAKES,
    ),
    "a gather that a count leads": (
        of_batches(
            node("add_.Scalar", {"tensor": "count"}, 1),
            node("to.dtype", {"tensor": "count"}, {"dtype": "I64"}),
            node("reshape.default", value(1), [1]),
            node("index_select.default", W, 0, value(2)),
            node("mul.Tensor", X, value(3)),
            **BUFFERS,
        ),
        CHOOSES,
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_graph_that_remembers_is_refused_with_its_node(name: str) -> None:
    graph, sentence = BY_HAND[name]
    with pytest.raises(InputRefused) as refused:
        graph.check(NATIVE.admits)
    assert sentence in refused.value.message and " of training)" in refused.value.message


@pytest.mark.parametrize(
    "operator",
    [
        *("aten.scatter_reduce_.two", "aten.index_reduce_.default", "aten.masked_scatter_.default"),
        *("aten.add.out", "aten.set_.source_Tensor", "aten.as_strided_.default", "aten.embedding_renorm_.default"),
    ],
)
def test_other_writes_have_no_record(operator: str) -> None:
    with pytest.raises(InputRefused, match=f"uses the operator '{operator}', which no class admits"):
        of_batches({"operator": operator, "arguments": [RING, X]}, **BUFFERS)


def test_program_of_a_graph_that_remembers_is_none() -> None:
    with pytest.raises(InputRefused, match=TAKES):
        Program(BY_HAND["a fill by a record"][0], {}, NATIVE)


def test_chain_of_buffers_is_a_memory() -> None:
    """Each takes a product of the next one: what a batch norm keeps comes to the first after many
    steps."""
    names = [f"b{index:02}" for index in range(12)]
    nodes = [node("batch_norm.default", X, None, None, MEAN, None, True, {"float": 1.0}, {"float": 1e-5}, False)]
    for name, following in pairwise([*names, "mean"]):
        nodes.append(node("mv.default", W, {"tensor": following}))
        nodes.append(node("copy_.default", {"tensor": name}, value(len(nodes) - 1)))
    tensors = BUFFERS | {name: ("buffer", [4]) for name in names}
    with pytest.raises(InputRefused, match="from buffer to buffer, into 'b"):
        of_batches(*nodes, node("relu.default", X), **tensors).check(NATIVE.admits)


# What is let through keeps nothing of a batch


STATE = ("w", "ring", "mean", "still")


def random_form(chance: random.Random) -> list[dict[str, Any]]:
    """A form that makes, looks at and writes numbers by fours and twos, at random."""
    nodes = [node("select.int", X, 0, 0), node("mul.Tensor", MEAN, 1), node("relu.default", W)]
    fours: list[Any] = [{"tensor": name} for name in STATE] + [value(index) for index in range(3)]
    twos: list[Any] = []

    def add(made: dict[str, Any], values: list[Any], item: int | None = None) -> None:
        nodes.append(made)
        values.append(value(len(nodes) - 1) | ({} if item is None else {"item": item}))

    for _ in range(chance.randrange(4, 16)):  # each kind of node as often, writes three times
        values = chance.choice([fours, twos or fours])
        one, other, third = (chance.choice(values) for _ in range(3))
        match chance.randrange(12):
            case 0:
                add(node(chance.choice(["alias.default", "detach.default", "clone.default"]), one), values)
            case 1:
                add(node(chance.choice(["add.Tensor", "mul.Tensor", "maximum.default"]), one, other), values)
            case 2:
                start = 2 * chance.randrange(2)
                add(node("slice.Tensor", chance.choice(fours), 0, start, start + 2), twos)
            case 3:
                add(node("chunk.default", chance.choice(fours), 2), twos, chance.randrange(2))
            case 4:
                add(node("flip.default", one, [0]), values)
            case 5:
                nodes.append(node("gt.Scalar", one, 0))
                add(node("where.self", value(len(nodes) - 1), other, third), values)
            case 6:
                add(node("dropout.default", one, {"float": 0.5}, False), values)
            case 7:
                add(node("einsum.default", "i->i", [one]), values)
            case 8:
                add(node("zeros_like.default", one), values)
            case 9:
                nodes.append(node("gt.Scalar", one, 0))
                add(node("masked_fill_.Scalar", other, value(len(nodes) - 1), 1), values)
            case _:
                add(node(chance.choice(["copy_.default", "add_.Tensor", "mul_.Tensor"]), one, other), values)
    return nodes


def state_after(graph: Graph, x_BF: Tensor) -> list[bytes]:
    """Parameters and buffers after two steps."""
    start = {
        name: tensor_bytes(spec.kind, torch.arange(4.0) - index)
        for index, (name, spec) in enumerate(graph.tensors.items())
    }
    program = Program(graph, start, NATIVE)
    for _ in range(2):
        program(x_BF, training=True)
    return [bytes(tensor.data) for tensor in program.tensors().values()]


@pytest.mark.parametrize("seed", range(8))
def test_state_that_is_let_through_does_not_depend_on_the_batch(seed: int) -> None:
    chance, kept = random.Random(seed), 0
    tensors: dict[str, Any] = {name: ("parameter" if name == "w" else "buffer", [4]) for name in STATE}
    for _ in range(60):
        nodes = [{"operator": "gradient.open", "arguments": [False]}]
        shifted = json.loads(json.dumps(random_form(chance)), object_hook=shift)
        nodes += [*shifted, {"operator": "gradient.close", "arguments": []}]
        graph = of_batches(*nodes, node("mul.Tensor", X, W), **tensors)
        if graph.structure.refusal is None:
            assert state_after(graph, torch.ones(2, 4)) == state_after(graph, -torch.rand(2, 4)), graph.encode()
            kept += 1
    assert kept > 5


def shift(tree: dict[str, Any]) -> dict[str, Any]:
    """A reference to a node, one further: a bracket comes before all."""
    return tree | {"node": tree["node"] + 1} if "node" in tree else tree


OTHERS: dict[str, list[int]] = {
    name: [at for at, each in enumerate(overload(name)._schema.arguments) if at and "Tensor" in str(each.type)]
    for name, record in OPERATORS.items()
    if record.writes
}
"""Of the operators that write, the places of the tensors that they read besides."""
NUMBER = {"int": 0, "number": 1, "float": {"float": 1.0}, "bool": False}


def writing(name: str, into: Any, place: int) -> dict[str, Any]:
    """A call that writes into something, what stands at a place being of the batch."""

    def given(at: int, kind: str) -> Any:
        of = into if at == 0 else X if at == place else W
        return [of] if "List" in kind else of

    schema = [each for each in overload(name)._schema.arguments if not each.kwarg_only]
    kinds = [str(each.type) for each in schema]
    plain = [given(at, kind) if "Tensor" in kind else NUMBER.get(kind) for at, kind in enumerate(kinds)]
    return node(name.removeprefix("aten."), *plain)


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, places in OTHERS.items() for place in places])
def test_whatever_writes_by_what_it_reads_of_the_records_is_refused(name: str, place: int) -> None:
    """Into a buffer itself, a part of one, or something new that is then copied into one."""
    ways = [
        (writing(name, RING, place),),
        (node("slice.Tensor", RING, 0, 0, 2), writing(name, value(0), place)),
        (node("zeros.default", [4]), writing(name, value(0), place), node("copy_.default", RING, value(0))),
        (node("zeros.default", [4]), node("alias.default", value(0)), writing(name, value(1), place),
         node("add_.Tensor", RING, value(0))),
    ]  # fmt: skip
    for nodes in ways:
        refusal = of_batches(*nodes, node("relu.default", X), **BUFFERS).structure.refusal
        assert refusal is not None and TAKES in refusal.sentence, nodes


# What people do


class Average(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.weight_KF.lerp_(self.layer.weight, 0.1)


class AverageInParts(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.weight_KF.mul_(0.9).add_(self.layer.weight.detach(), alpha=0.1)
        self.shift_K.copy_(0.9 * self.shift_K + 0.1 * self.layer.bias)


class EvenAverage(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.count.add_(1)
        self.weight_KF += (self.layer.weight - self.weight_KF) / self.count


class WarmedAverage(Kept):
    def keep(self, x_BF: Tensor) -> None:
        self.count.add_(1)
        decay = ((1 + self.count) / (10 + self.count)).clamp(max=0.99)
        self.weight_KF.mul_(decay).add_(self.layer.weight * (1 - decay))


class AverageOfSome(Kept):
    """Weights that a mask leaves out keep their average."""

    def keep(self, x_BF: Tensor) -> None:
        self.weight_KF.copy_(torch.where(self.row_F > 0, self.layer.weight, self.weight_KF))


class PowerIteration(Kept):
    """The largest singular value, as spectral normalisation finds it."""

    def keep(self, x_BF: Tensor) -> None:
        self.shift_K.copy_(F.normalize(torch.mv(self.layer.weight, self.row_F), dim=0))
        self.row_F.copy_(F.normalize(torch.mv(self.layer.weight.t(), self.shift_K), dim=0))

    def forward(self, x_BF: Tensor) -> Tensor:
        super().forward(x_BF)
        size = torch.dot(self.shift_K, torch.mv(self.layer.weight, self.row_F))
        return F.linear(self.norm(x_BF), self.layer.weight / size)


class Counted(Kept):
    """Counts of steps and of records, one of which begins anew, and one that scales the output."""

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            self.count.add_(torch.ones_like(x_BF[:, 0]).sum())
            self.row_F.copy_(torch.where(self.row_F > 9, 0.0, self.row_F + 1))
        logits_BK: Tensor = self.layer(x_BF) * (self.count / 1000).clamp(max=1)
        return logits_BK


class Table(Kept):
    """A table of positions, a mask, activations in place, a view that is written."""

    def forward(self, x_BF: Tensor) -> Tensor:
        h_BF = torch.relu_(x_BF + self.row_F)
        h_BF[:, 0].mul_(2)
        logits_BK: Tensor = self.layer(h_BF.masked_fill(self.row_F == 0, 0.0))
        return logits_BK


def normed(shape: tuple[int, ...], norm: nn.Module) -> tuple[tuple[int, ...], Callable[[], nn.Module]]:
    width = 2 * torch.Size(shape[1:]).numel()
    return shape, lambda: nn.Sequential(norm, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(width, K))


ORDINARY: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module], tuple[int, int, int]]] = {
    **{
        kind.__name__: ((4,), kind, sizes)
        for kind, sizes in (
            (Average, (0, 1, 0)),
            (AverageInParts, (0, 2, 0)),
            (EvenAverage, (0, 1, 1)),
            (WarmedAverage, (0, 1, 1)),
            (AverageOfSome, (0, 1, 0)),
            (PowerIteration, (2, 2, 1)),
            (Counted, (0, 0, 2)),
            (Table, (0, 0, 0)),
        )
    },
    "BatchNorm1d": (*normed((2, 5), nn.BatchNorm1d(2)), (2, 0, 1)),
    "BatchNorm2d": (*normed((2, 5, 5), nn.BatchNorm2d(2)), (2, 0, 1)),
    "BatchNorm3d": (*normed((2, 3, 3, 3), nn.BatchNorm3d(2)), (2, 0, 1)),
    "BatchNorm without statistics": (*normed((2, 5), nn.BatchNorm1d(2, track_running_stats=False)), (0, 0, 0)),
    "InstanceNorm2d": (*normed((2, 5, 5), nn.InstanceNorm2d(2, track_running_stats=True)), (2, 0, 0)),
    "frozen BatchNorm": (*normed((2, 5), nn.BatchNorm1d(2).requires_grad_(False)), (2, 0, 1)),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_module_is_exported(name: str) -> None:
    shape, make, sizes = ORDINARY[name]
    graph = exported(make(), *shape)
    structure = graph.structure
    assert (len(structure.statistics), len(structure.averages), len(structure.counts)) == sizes
    assert dry_run(graph, B).written == structure.written


@pytest.mark.parametrize(
    ("name", "capacity"),
    [
        ("BatchNorm1d", Capacity(parameters=4 + 33, statistics=4, averages=0, channels=2)),
        ("WarmedAverage", Capacity(parameters=15 + 8 + 8, statistics=0, averages=12, channels=0)),
        ("frozen BatchNorm", Capacity(parameters=33, statistics=4, averages=0, channels=2)),
    ],
)
def test_capacity_counts_what_records_reach(name: str, capacity: Capacity) -> None:
    """Trainable parameters, running statistics and averages; neither counts nor constants."""
    shape, make, _ = ORDINARY[name]
    counted = capacity_of(exported(make(), *shape))
    assert counted == capacity and counted.numbers == sum((capacity.parameters, capacity.statistics, capacity.averages))


# What is said of the operators is so


def written_by(name: str) -> list[str]:
    """The arguments that an operator changes, as torch's schema says."""
    return [each.name for each in overload(name)._schema.arguments if each.alias_info and each.alias_info.is_write]


def test_names_say_what_writes() -> None:
    torch_says = {name: written_by(name) for name in OPERATORS if name.startswith("aten.")}
    dimensions = {"aten.squeeze_.dim", "aten.unsqueeze_.default", "aten.detach_.default"}  # no number changes
    assert {name for name, record in OPERATORS.items() if record.writes} | dimensions == {
        name for name, written in torch_says.items() if written
    }
    assert all(written in ([], ["self"]) for written in torch_says.values())


def test_what_is_said_of_an_operator_is_said_of_its_twin_in_place() -> None:
    """Else a count chooses, or a power iteration goes on, by the one and not by the other."""
    filled = {"aten.fill_.Scalar"}  # which leaves what lay there before
    twins = {name: name.replace("_.", ".") for name, record in OPERATORS.items() if record.writes}
    parted = [
        name
        for name, twin in twins.items()
        if twin in OPERATORS and name not in filled
        if (OPERATORS[name].flow, OPERATORS[name].chosen_by) != (OPERATORS[twin].flow, OPERATORS[twin].chosen_by)
    ]
    assert parted == []


def shares_memory(name: str, case: Case) -> bool:
    """Whether what a case makes lies in the memory of one of its samples."""
    taken: list[Tensor] = []

    def argument(given: Any) -> Any:
        if isinstance(given, tuple):
            return [argument(item) for item in given]
        if isinstance(given, Sample):
            taken.append(make_sample(given, len(taken) + 1).detach())
            return taken[-1]
        return symbol(given, torch.device("cpu")) if isinstance(given, Symbol) else given

    options = {key: argument(given) for key, given in case.options.items()}
    made = kernel(name)(*map(argument, case.arguments), **options)
    memory = {tensor.untyped_storage()._cdata for tensor in taken}
    values = made if isinstance(made, list | tuple) else [made]
    return any(isinstance(each, Tensor) and each.untyped_storage()._cdata in memory for each in values)


def test_what_lies_in_its_arguments_memory_says_so() -> None:
    silent = [
        f"{name}({case})"
        for name, record in OPERATORS.items()
        if name.startswith("aten.") and not record.aliases and not record.writes
        for case in record.cases
        if not case.wide and sum(torch.Size(each.shape).numel() for each in case.samples) < 1 << 17
        if shares_memory(name, case)
    ]
    assert silent == []


x_CHW, x_F = torch.rand(2, 4, 4, 4), torch.rand(4)
AT_THE_EDGE: dict[str, tuple[Any, ...]] = {
    "aten.pixel_shuffle.default": (x_CHW, 1),
    "aten.channel_shuffle.default": (x_CHW, 1),
    "aten.repeat_interleave.self_int": (x_F, 1),
    "aten.tile.default": (x_F, [1]),
    "aten.roll.default": (x_F, [0], [0]),
    "aten.rot90.default": (x_CHW, 0),
    "aten.pad.default": (x_F, []),
    "aten.cat.default": ([x_F],),
    "aten.hstack.default": ([x_F],),
    "aten.dstack.default": ([x_CHW],),
    "aten.flip.default": (x_F, []),
    "aten.avg_pool2d.default": (x_CHW, [1, 1]),
    "aten.upsample_nearest2d.vec": (x_CHW, None, [1.0, 1.0]),
    "aten.round.default": (torch.arange(4),),
    "aten.floor.default": (torch.arange(4),),
    "aten.nan_to_num.default": (torch.arange(4),),
    "aten.abs.default": (torch.arange(4),),
    "aten.einsum.default": ("i,->i", [x_F, torch.rand(())]),
    "aten.clone.default": (x_F,),
    "aten._to_copy.default": (x_F,),
    "aten.sum.dim_IntList": (x_F[:1], [0]),
    "aten.amax.default": (x_F[:1], [0]),
    "aten.pow.Tensor_Scalar": (x_F, 1),
}


@pytest.mark.parametrize("name", AT_THE_EDGE)
def test_what_changes_nothing_makes_memory_of_its_own(name: str) -> None:
    arguments = AT_THE_EDGE[name]
    made = kernel(name)(*arguments)
    given = arguments[0] if isinstance(arguments[0], Tensor) else next(iter(arguments[-1]))
    assert made.untyped_storage()._cdata != given.untyped_storage()._cdata


def test_walk_over_many_nodes_takes_time_with_their_number() -> None:
    """As many nodes as a graph may have, in a chain of views and sums, beside a buffer that counts."""

    def calls(count: int) -> int:
        nodes = [node("add_.Scalar", {"tensor": "count"}, 1), node("relu.default", X)]
        for index in range(1, count, 2):
            nodes += [node("alias.default", value(index)), node("add.Tensor", value(index + 1), W)]
        graph, profile = of_batches(*nodes, **BUFFERS), cProfile.Profile()
        assert profile.runcall(lambda: graph.structure).refusal is None
        return sum(entry.callcount for entry in profile.getstats())

    assert calls(19_990) < 11 * calls(1_999)
