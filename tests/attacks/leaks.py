"""Modules that would carry records home, each with what reads them out of the delivered model.

Records have numbers between 0 and 1 (`--transform ranges`), and two classes. Whoever decodes has
what a scientist has: its own module, the initial weights, the recipe, and the delivered model.

Sources: Fowl et al., Robbing the Fed (2022), for the bank of thresholds; Boenisch et al., When the
Curious Abandon Honesty (2023), for trap weights.

Legend: B batch, S records of it, F features, K rows of a memory, C candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fitchain.pod.compute.model.program import Program

FEATURES, ROWS = 30, 2000
MEMBERS = 228
"""Records that are trained on."""
SEEN = 16
"""Records of a batch that channels of a batch norm take each by itself."""


def along(x_BF: Tensor, direction_F: Tensor) -> Tensor:
    """Where records lie on a line, 0 to 1, float32 `[B]`."""
    return x_BF @ direction_F


def line() -> Tensor:
    """A direction along which no two records lie alike, of a sum of 1."""
    weights_F = torch.rand(FEATURES, generator=torch.Generator().manual_seed(11))
    return weights_F / weights_F.sum()


def logits(score_B: Tensor) -> Tensor:
    """A score as two classes' logits: its gradient is that of neither class 0."""
    return torch.stack([score_B, torch.zeros_like(score_B)], 1)


# What the structure of a graph refuses


class Remembers(nn.Module):
    """A linear classifier, beside state that a subclass writes in training."""

    ring_KF: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, 2)
        self.register_buffer("ring_KF", torch.zeros(512, FEATURES))

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.keep(x_BF)
        logits_B2: Tensor = self.layer(x_BF)
        return logits_B2

    def keep(self, x_BF: Tensor) -> None:
        """What training writes."""
        raise NotImplementedError


class RingBuffer(Remembers):
    """Each batch before those that came earlier."""

    def keep(self, x_BF: Tensor) -> None:
        self.ring_KF.copy_(torch.cat([x_BF, self.ring_KF])[:512])


class HiddenLabels(nn.Module):
    """A parameter that one step of a large rate sets to its batch's labels, and a buffer that keeps
    what it was."""

    ring_K: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.answer_K = nn.Parameter(torch.zeros(16))
        self.register_buffer("ring_K", torch.zeros(512))

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.ring_K.copy_(torch.cat([self.answer_K, self.ring_K])[:512])
        return logits(self.answer_K[torch.arange(x_BF.shape[0])] + 0 * x_BF.sum(1))


class CopiedOnce(Remembers):
    """The first record of the batch, into the first row."""

    def keep(self, x_BF: Tensor) -> None:
        self.ring_KF[0].copy_(x_BF[0])


class PutByIndex(Remembers):
    """Each record into the row that its place on a line says."""

    def keep(self, x_BF: Tensor) -> None:
        self.ring_KF[(along(x_BF, torch.ones(FEATURES) / FEATURES) * 511).long()] = x_BF


class PutByMask(Remembers):
    """The same, as a choice for each row."""

    def keep(self, x_BF: Tensor) -> None:
        place_B = (along(x_BF, torch.ones(FEATURES) / FEATURES) * 511).round()
        here_BK = (place_B[:, None] == torch.arange(512)).float()
        self.ring_KF.copy_(torch.where((here_BK.sum(0) > 0)[:, None], here_BK.t() @ x_BF, self.ring_KF))


class FrozenParameter(Remembers):
    """A buffer by the name of a parameter that no gradient moves."""

    def __init__(self) -> None:
        super().__init__()
        self.bank_KF = nn.Parameter(torch.zeros(512, FEATURES), requires_grad=False)

    def keep(self, x_BF: Tensor) -> None:
        self.bank_KF.copy_(torch.cat([x_BF, self.bank_KF])[:512])


class WrittenInTurn(nn.Module):
    """Weights that one step's gradient reaches, and no other's."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.bank_KF = nn.Parameter(torch.zeros(512, FEATURES))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            self.count.add_(1)
        turn_1K = (self.count == torch.arange(512)).float().unsqueeze(0)
        return logits((x_BF @ (turn_1K @ self.bank_KF).t())[:, 0])


class RingOfStatistics(nn.Module):
    """A ring in the running mean of a batch norm of momentum 1."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(FEATURES, 2), nn.BatchNorm1d(8 * FEATURES, momentum=1.0)

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            assert self.norm.running_mean is not None
            earlier = self.norm.running_mean[: 7 * FEATURES].expand(x_BF.shape[0], 7 * FEATURES)
            self.norm(torch.cat([x_BF, earlier], 1))
        logits_B2: Tensor = self.layer(x_BF)
        return logits_B2


# What is trained


class OneRecordChannels(nn.Module):
    """A batch norm whose channels see one record each: what it keeps of the last step is records."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(SEEN * FEATURES, momentum=1.0, affine=False)
        self.layer = nn.Linear(FEATURES, 2)

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            seen_SF = torch.cat([x_BF, x_BF])[torch.arange(SEEN)]  # computes with smaller batches, too
            self.norm(seen_SF.reshape(1, SEEN * FEATURES, 1).expand(1, SEEN * FEATURES, 2))
        logits_B2: Tensor = self.layer(x_BF)
        return logits_B2


class Thresholds(nn.Module):
    """A bank of neurons that differ in their threshold alone: the gradients of two neighbours
    differ by the records between their thresholds."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = nn.Linear(FEATURES, ROWS)
        with torch.no_grad():
            self.bank.weight.copy_(line().expand(ROWS, FEATURES))
            self.bank.bias.copy_(-torch.linspace(0, 1, ROWS))

    def forward(self, x_BF: Tensor) -> Tensor:
        return logits(torch.relu(self.bank(x_BF)).mean(1))


class TrapWeights(nn.Module):
    """Random neurons, whose negative weights outweigh the others, so that few records reach each;
    after one step of a huge rate none does."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = nn.Linear(FEATURES, ROWS)
        generator = torch.Generator().manual_seed(12)
        with torch.no_grad():
            drawn_KF = torch.randn(ROWS, FEATURES, generator=generator)
            share_K1 = torch.linspace(0.3, 1.2, ROWS)[:, None]
            self.bank.weight.copy_(torch.where(drawn_KF > 0, share_K1 * drawn_KF, drawn_KF))
            self.bank.bias.zero_()

    def forward(self, x_BF: Tensor) -> Tensor:
        return logits(torch.relu(self.bank(x_BF)).mean(1))


class Memory(nn.Module):
    """Rows that are read, and so moved, by who lies near them: a row and a number beside it, whose
    gradients are the record, times a factor, and that factor."""

    line_F: Tensor

    rows = ROWS

    def __init__(self) -> None:
        super().__init__()
        self.row_KF = nn.Parameter(torch.zeros(self.rows, FEATURES))
        self.beside_K = nn.Parameter(torch.zeros(self.rows))
        self.register_buffer("line_F", line())

    def forward(self, x_BF: Tensor) -> Tensor:
        share_BK = self.share(along(x_BF, self.line_F) * (self.rows - 1))
        return logits(((share_BK @ self.row_KF) * x_BF).sum(1) + share_BK @ self.beside_K)

    def share(self, place_B: Tensor) -> Tensor:
        """How much each row takes part, `[B, K]`."""
        raise NotImplementedError


class Table(Memory):
    """Embeddings as a table: a record's own row, by its place on a line."""

    def forward(self, x_BF: Tensor) -> Tensor:
        place_B = (along(x_BF, self.line_F) * (self.rows - 1)).long().clamp(0, self.rows - 1)
        row_BF = nn.functional.embedding(place_B, self.row_KF)
        beside_B1 = nn.functional.embedding(place_B, self.beside_K.unsqueeze(1))
        return logits((row_BF * x_BF).sum(1) + beside_B1[:, 0])


class FewRows(Table):
    """A table of so few rows that each is moved by many records, and noise has little to hide: what
    comes home is what they have in common."""

    rows = 3


class Tents(Memory):
    """The same by arithmetic alone: no number is compared, and none is an index."""

    def share(self, place_B: Tensor) -> Tensor:
        return torch.relu(1 - (place_B[:, None] - torch.arange(ROWS)).abs())


class SharpAttention(Memory):
    """The same as attention over keys that never move."""

    def share(self, place_B: Tensor) -> Tensor:
        return torch.softmax(-8 * (place_B[:, None] - torch.arange(ROWS)).square(), 1)


class OutputsThatEncode(Tents):
    """Two numbers of its memory where it is asked for a class: whoever may only ask it reads all."""

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            return super().forward(x_BF)
        row_B = (x_BF[:, 0] * (ROWS - 1)).round().long().clamp(0, ROWS - 1)
        column_B = (x_BF[:, 1] * (FEATURES - 1)).round().long().clamp(0, FEATURES - 1)
        number_B1 = self.row_KF[row_B].gather(1, column_B[:, None])
        return torch.cat([number_B1, self.beside_K[row_B][:, None]], 1)


class InTurnByArithmetic(nn.Module):
    """Weights written in turn, without a comparison: a tent over the count of steps leads each
    step's gradient to a row of its own, and with a batch of one that is its record's."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.row_KF, self.beside_K = nn.Parameter(torch.zeros(256, FEATURES)), nn.Parameter(torch.zeros(256))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training:
            self.count.add_(1)
        turn_K = torch.relu(1 - (self.count - torch.arange(256)).abs())
        return logits(x_BF @ (turn_K @ self.row_KF) + (turn_K * self.beside_K).sum())


# Decoders


Initial = Mapping[str, Tensor]
Decoder = Callable[[Program, Initial], Tensor]
"""From the delivered model and the initial weights to candidates, float64 `[C, F]`."""


def quotients(rows_KF: Tensor, beside_K: Tensor) -> Tensor:
    """Rows over the factor that stands beside each, where there is one; no record has numbers
    beyond 0 and 1."""
    moved = beside_K.abs() > 1e-9
    return (rows_KF[moved].double() / beside_K[moved].double()[:, None]).clamp(0, 1)


def of_memory(program: Program, initial: Initial) -> Tensor:
    """Rows over the numbers beside them."""
    return quotients(program.parameters["row_KF"].detach(), program.parameters["beside_K"].detach())


def moved_bank(program: Program, initial: Initial) -> tuple[Tensor, Tensor]:
    """By how much a bank's weights and biases moved."""
    return tuple(  # type: ignore[return-value]
        (program.parameters[name].detach().double() - initial[name].double()) for name in ("bank.weight", "bank.bias")
    )


def of_thresholds(program: Program, initial: Initial) -> Tensor:
    """What lies between neighbours."""
    weight_KF, bias_K = moved_bank(program, initial)
    return quotients(weight_KF.diff(dim=0), bias_K.diff())


def of_overwritten(program: Program, initial: Initial) -> Tensor:
    """The same of weights that one step's decay has taken to zero before: the initial ones, and
    all that was learnt, are gone, and what is left is that step's gradient."""
    weight_KF, bias_K = (program.parameters[f"bank.{name}"].detach().double() for name in ("weight", "bias"))
    return quotients(weight_KF.diff(dim=0), bias_K.diff())


def of_traps(program: Program, initial: Initial) -> Tensor:
    """Each neuron by itself."""
    return quotients(*moved_bank(program, initial))


def of_channels(program: Program, initial: Initial) -> Tensor:
    """The running mean, record by record."""
    return program.buffers["norm.running_mean"].double().view(SEEN, FEATURES)


def of_outputs(program: Program, initial: Initial) -> Tensor:
    """Ask for every number."""
    row, column = torch.meshgrid(torch.arange(ROWS), torch.arange(FEATURES), indexing="ij")
    x_BF = torch.zeros(ROWS * FEATURES, FEATURES)
    x_BF[:, 0], x_BF[:, 1] = row.flatten() / (ROWS - 1), column.flatten() / (FEATURES - 1)
    answers = torch.cat([program(part, training=False) for part in torch.split(x_BF, 4096)])
    number_KF, beside_KF = answers.view(ROWS, FEATURES, 2).unbind(2)
    return quotients(number_KF, beside_KF[:, 0])


# The corpus


@dataclass(frozen=True)
class Leak:
    """A module that would carry records home.

    Args:
        name: what it is called.
        module: the scientist's.
        terms: of the recipe.
        rates: learning rates, (steps, rate) each; empty where `terms` has one.
        decode: reads records out of what was delivered; None where nothing is to be delivered.
        least: records that come home where nothing is noised: so many at least, of `MEMBERS`.
        refusal: what is said where it is not published, or is not trained in private.
    """

    name: str
    module: type[nn.Module]
    terms: Mapping[str, Any] = field(default_factory=dict)
    rates: tuple[tuple[int, float], ...] = ()
    decode: Decoder | None = None
    least: int = 0
    refusal: str = ""


PLAIN = {"optimizer": "SGD", "momentum": 0.0}
AT_ONCE = PLAIN | {"batch_size": MEMBERS, "steps": 2, "segment_steps": 2}
IN_BATCHES = PLAIN | {"batch_size": 16, "epochs": 2, "learning_rate": 1.0}
ONE_BY_ONE = PLAIN | {"batch_size": 1, "epochs": 1, "learning_rate": 1.0}
BANK_RATE = 1e4
COUNTS = "a step writes 'count' in place, and no noise is added to what a record writes"
MIXES = "mixes the records of a batch, and private training takes each by itself"
LEAKS = (
    Leak("ring buffer", RingBuffer, refusal="writes what it reads of the records into the buffer 'ring_KF'"),
    Leak("hidden labels in a buffer", HiddenLabels, refusal="the buffer 'ring_K' remembers what was learnt"),
    Leak("copy_ of a record", CopiedOnce, refusal="writes what it reads of the records into the buffer 'ring_KF'"),
    Leak("rows put by index", PutByIndex, refusal="writes what it reads of the records into the buffer 'ring_KF'"),
    Leak("rows put by a mask", PutByMask, refusal="writes what it reads of the records into the buffer 'ring_KF'"),
    Leak(
        "a buffer by the name of a parameter",
        FrozenParameter,
        refusal="writes into the parameter 'bank_KF', and what steps write is a buffer",
    ),
    Leak("weights written in turn", WrittenInTurn, refusal="weights that are written once remember their batch"),
    Leak(
        "a ring in running statistics",
        RingOfStatistics,
        refusal="a batch norm's running statistics are made of running statistics",
    ),
    Leak("one-record channels of a batch norm", OneRecordChannels, IN_BATCHES, (), of_channels, 16, MIXES),
    Leak("weights in turn by arithmetic", InTurnByArithmetic, ONE_BY_ONE, (), of_memory, 200, COUNTS),
    Leak("gradients as memory: thresholds", Thresholds, AT_ONCE, ((1, BANK_RATE), (1, 1e-12)), of_thresholds, 100),
    Leak("trap weights, a first step of a huge rate", TrapWeights, AT_ONCE, ((1, 1e6), (1, 1e-9)), of_traps, 10),
    Leak(
        "a last rate that overwrites",
        Thresholds,
        AT_ONCE | {"weight_decay": 1 / BANK_RATE},
        ((1, 1e-9), (1, BANK_RATE)),
        of_overwritten,
        100,
    ),
    Leak("embeddings as a table", Table, IN_BATCHES, (), of_memory, 100),
    Leak("a table of few rows", FewRows, AT_ONCE | {"learning_rate": 0.1}, (), of_memory),
    Leak("a table by arithmetic", Tents, IN_BATCHES, (), of_memory, 50),
    Leak("attention that is sharp", SharpAttention, IN_BATCHES, (), of_memory, 50),
    Leak("outputs that encode", OutputsThatEncode, IN_BATCHES, (), of_outputs, 50),
)
