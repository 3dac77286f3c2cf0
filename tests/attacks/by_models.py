"""Attacks by a scientist's module, which would bring records home in what it is delivered.

Each is exported as `model publish` does it; where nothing refuses it, it is trained on made-up
records, and what stands in it afterwards is compared with them.

Legend: B batch, F features, N records, R places of a memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitchain.pod.compute.environment.classes import NATIVE
from fitchain.pod.compute.model import Program
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.tensors import new_tensor
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input
from fitchain.pod.values.state import Tensors
from tests.attacks import pod_rules
from tests.attacks.attack import Attack
from tests.attacks.attack_lab import AttackLab, Caught

STRUCTURE, PUBLISH = "structure of the graph", "model publish"
RECORDS, FEATURES = 40, 4


class RecordRing(nn.Module):
    """Every record it ever saw, newest first."""

    ring_RF: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, 1)
        self.register_buffer("ring_RF", torch.zeros(64, FEATURES))

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.ring_RF.copy_(torch.cat([x_BF, self.ring_RF])[:64])
        y_B1: Tensor = self.layer(x_BF)
        return y_B1


class LabelRing(nn.Module):
    """Every label: with the squared error and a rate of half a batch one step sets each answer to
    the label at its place, and the next step keeps it."""

    ring_R: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.answer_B = nn.Parameter(torch.zeros(8))
        self.register_buffer("ring_R", torch.zeros(64))

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.ring_R.copy_(torch.cat([self.answer_B, self.ring_R])[:64])
        mine_B = self.answer_B[torch.arange(x_BF.shape[0])]
        return mine_B.unsqueeze(1) + 0 * x_BF.sum(1, keepdim=True)


class WeightsInTurn(nn.Module):
    """Weights that one step's gradient reaches, and no other's: with a batch of one each row
    becomes its record."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.bank_RF = nn.Parameter(torch.zeros(64, FEATURES))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            self.count.add_(1)
        turn_1R = (self.count == torch.arange(64)).float().unsqueeze(0)
        return x_BF @ (turn_1R @ self.bank_RF).t()


@dataclass(frozen=True)
class Theft:
    """A module, and how it is trained.

    Args:
        module: the scientist's.
        batch: records of a batch.
        rate: of plain gradient descent on the squared error.
        steps: of the training.
        taken: how many records, or labels, stand in its tensors afterwards.
    """

    module: type[nn.Module]
    batch: int
    rate: float
    steps: int
    taken: Callable[[Tensors, Tensor, Tensor], int]

    def play(self, lab: AttackLab) -> Caught:
        """Publish the module, train it if it may be, and look for the records in it."""
        try:
            graph, tensors = export(self.module(), [Input("x", "F32", (FEATURES,))], self.batch)
        except InputRefused as refusal:
            return Caught(STRUCTURE, PUBLISH, refusal.message.partition("`: ")[2])
        generator = torch.Generator().manual_seed(7)
        x_NF = torch.randn(RECORDS, FEATURES, generator=generator)
        y_N1 = torch.arange(RECORDS).float().unsqueeze(1) % 3 - 1.5
        program = Program(graph, tensors, NATIVE)
        for step in range(self.steps):
            batch = slice(step * self.batch % RECORDS, step * self.batch % RECORDS + self.batch)
            loss = F.mse_loss(program(x_NF[batch], training=True), y_N1[batch])
            moved = list(program.trainable.values())
            with torch.no_grad():
                for parameter, gradient in zip(moved, torch.autograd.grad(loss, moved), strict=True):
                    parameter -= self.rate * gradient
        return Caught(
            "nobody", "nowhere", f"{self.taken(program.tensors(), x_NF, y_N1)} of {RECORDS} stand in the model"
        )


def rows_taken(name: str) -> Callable[[Tensors, Tensor, Tensor], int]:
    """Counts the records that are a row of a tensor, bit for bit or times their label."""

    def count(tensors: Tensors, x_NF: Tensor, y_N1: Tensor) -> int:
        kept_RF = new_tensor(tensors[name])
        rows = [(x_NF == row_F).all(1) | torch.isclose(x_NF * y_N1, row_F).all(1) for row_F in kept_RF if row_F.any()]
        return int(torch.stack(rows).any(0).sum())

    return count


def labels_taken(tensors: Tensors, x_NF: Tensor, y_N1: Tensor) -> int:
    """Counts the labels that stand in the ring, or still in the answers, batch after batch."""
    ring_R, answer_B = new_tensor(tensors["ring_R"]), new_tensor(tensors["answer_B"])
    kept_N = torch.cat([answer_B, ring_R])[:RECORDS].view(-1, len(answer_B)).flip(0).flatten()
    return int((kept_N == y_N1.squeeze(1)).sum())


MODEL_ATTACKS = (
    Attack(
        "records in a buffer",
        "a module that keeps each batch in a ring buffer, and is delivered with it",
        Caught(STRUCTURE, PUBLISH, "the training form writes what it reads of the records into the buffer 'ring_RF'"),
        Theft(RecordRing, 8, 0.01, 5, rows_taken("ring_RF")).play,
        pod_rules.STATE,
        "40 of 40",
    ),
    Attack(
        "labels by way of a parameter",
        "a rate at which one step teaches a parameter its batch's labels, and a buffer that keeps them",
        Caught(STRUCTURE, PUBLISH, "the buffer 'ring_R' remembers what was learnt in another way than as an average"),
        Theft(LabelRing, 8, 4.0, 5, labels_taken).play,
        pod_rules.STATE,
        "40 of 40",
    ),
    Attack(
        "weights that are written once",
        "a count that leads each step's gradient to weights of its own",
        Caught(STRUCTURE, PUBLISH, "a count, or what a buffer keeps, chooses by comparison or index"),
        Theft(WeightsInTurn, 1, 0.5, 40, rows_taken("bank_RF")).play,
        pod_rules.STATE,
        "40 of 40",
    ),
)
