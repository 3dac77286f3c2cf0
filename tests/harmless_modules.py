"""Modules that look as if they kept or learnt something, and compute what a trace of them shows."""

from __future__ import annotations

import dataclasses
import functools
import logging
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributions, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from tests.hostile_modules import Two

LOGGER = logging.getLogger(__name__)


class KeepsLast(Two):
    """Its last output, for a picture."""

    def between(self, x: Tensor) -> Tensor:
        self.last = torch.tanh(x)
        return self.last


class KeepsLastOfAll(Two):
    def prepare(self) -> None:
        self.all = {"shapes": list[Any](), "values": dict[str, Tensor]()}

    def between(self, x: Tensor) -> Tensor:
        self.all["shapes"] = [tuple(x.shape)[1:]]
        self.all["values"] = {"x": x.detach()}
        return torch.tanh(x)


class CachesByLength(Two):
    def prepare(self) -> None:
        self.tables = dict[int, Tensor]()

    def between(self, x: Tensor) -> Tensor:
        width = x.shape[-1]
        if width not in self.tables:
            self.tables[width] = torch.linspace(0, 1, width)
        return x * self.tables[width]


@functools.lru_cache(maxsize=8)
def table(width: int) -> Tensor:
    return torch.linspace(0, 1, width)


class CachesByFunction(Two):
    def between(self, x: Tensor) -> Tensor:
        return x * table(8)


class Warns(Two):
    def between(self, x: Tensor) -> Tensor:
        warnings.warn("a warning", stacklevel=2)
        LOGGER.debug("called with %s", x.shape)
        return torch.tanh(x)


class WarnsOfValues(Two):
    """Where it is run it says so, and computes the same."""

    def between(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and torch.isnan(x).any():
            warnings.warn("there are NaN", stacklevel=2)
        return torch.tanh(x)


class FailsToWarn(Two):
    """What it would say needs an attribute that it lacks."""

    def between(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and torch.isnan(x.detach()).any():
            warnings.warn(f"there are NaN in {self.of_a_name}", stacklevel=2)
        return torch.tanh(x)


class RaisesWhereRun(Two):
    def between(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and torch.isinf(x.detach()).any():
            raise ValueError("there are infinite numbers")
        return torch.tanh(x)


class RaisesOnValues(Two):
    def between(self, x: Tensor) -> Tensor:
        if torch.isnan(x).any():
            raise ValueError("there are NaN")
        return torch.tanh(x)


class Asserts(Two):
    def between(self, x: Tensor) -> Tensor:
        assert not torch.isnan(x).all()
        return torch.tanh(x)


class ReadsConstants(Two):
    def prepare(self) -> None:
        self.rates = torch.tensor([0.5, 2.0])

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) * float(np.asarray([0.5, 2.0]).max())


class SeededInForward(Two):
    """The same numbers at each call."""

    def between(self, x: Tensor) -> Tensor:
        return x * float(np.random.default_rng(3).random())


class Drops(Two):
    def between(self, x: Tensor) -> Tensor:
        return F.dropout(torch.tanh(x), 0.3, self.training)


class DrawsLatent(Two):
    """As a variational autoencoder does; torch asks whether the scale is above zero."""

    def between(self, x: Tensor) -> Tensor:
        drawn: Tensor = distributions.Normal(x, F.softplus(x) + 1e-3).rsample()
        return drawn


class DrawsWhatIsChecked(Two):
    def between(self, x: Tensor) -> Tensor:
        drawn: Tensor = distributions.Normal(x, F.softplus(x) + 1e-3, validate_args=True).rsample()
        return drawn


class Scores(Two):
    def between(self, x: Tensor) -> Tensor:
        weights = distributions.Categorical(logits=x[:, :4])
        parts = distributions.Normal(x[:, 4:], F.softplus(x[:, :4]) + 1e-3)
        mixed = distributions.MixtureSameFamily(weights, parts)
        score: Tensor = mixed.log_prob(x[:, 0])  # type: ignore[no-untyped-call]
        return torch.tanh(x) * score[:, None]


class Diverges(Two):
    def between(self, x: Tensor) -> Tensor:
        prior = distributions.Normal(torch.zeros_like(x), torch.ones_like(x))
        divergence = distributions.kl_divergence(distributions.Normal(x, F.softplus(x) + 1e-3), prior)
        return torch.tanh(x) - torch.tanh(divergence)


class DropsPaths(Two):
    def between(self, x: Tensor) -> Tensor:
        if not self.training:
            return torch.tanh(x)
        keeps = x.new_empty((x.shape[0], 1)).bernoulli_(0.8)
        return torch.tanh(x) * keeps / 0.8


class Checkpoints(Two):
    def between(self, x: Tensor) -> Tensor:
        return checkpoint(torch.tanh, x, use_reentrant=False)  # type: ignore[no-any-return]


class Normalises(Two):
    def prepare(self) -> None:
        self.norm = nn.BatchNorm1d(8)

    def between(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(x))


class NormalisesFrozen(Normalises):
    """Its norm stays in evaluation, as fine-tuning has it."""

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.norm.eval()
        return self


class Counts(Two):
    calls: Tensor

    def prepare(self) -> None:
        self.register_buffer("calls", torch.zeros(()))

    def between(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return torch.tanh(x) * torch.clamp(self.calls / 10, max=1.0)


class CountsAnew(Counts):
    def between(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls = self.calls * 1.0 + 1
        return torch.tanh(x) / (1 + self.calls)


class AveragesWeights(Two):
    """It keeps an average of its weights, and writes it beside their history."""

    slow: Tensor

    def prepare(self) -> None:
        self.register_buffer("slow", torch.zeros(8, 4))

    def between(self, x: Tensor) -> Tensor:
        if self.training:
            self.slow.data = 0.9 * self.slow.data + 0.1 * self.enter.weight.data
        return torch.tanh(x) + self.slow.sum(1)


class Ties(Two):
    def prepare(self) -> None:
        self.again = nn.Linear(4, 8)
        self.again.weight = self.enter.weight

    def between(self, x: Tensor) -> Tensor:
        again: Tensor = self.again(x[:, :4])
        return torch.tanh(x) + again


class Freezes(Two):
    def prepare(self) -> None:
        self.enter.requires_grad_(False)


class WatchesGradients(Two):
    def between(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            x.register_hook(lambda gradient: None)  # type: ignore[no-untyped-call]
        return torch.tanh(x)


class MeasuresGradients(Two):
    """It keeps the norm of its last gradient, for a picture."""

    def prepare(self) -> None:
        def keep(gradient: Tensor) -> None:
            self.norm = gradient.norm()

        self.leave.weight.register_hook(keep)  # type: ignore[no-untyped-call]


class Records(nn.Module):
    """It records gradients of its input, too, which nobody takes: checkpoints of a library want it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.leave = nn.Conv1d(1, 2, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        records = x[:, None]
        if self.training:
            records.requires_grad = True
        output: Tensor = self.leave(self.first(records).flatten(1))
        return output


class Passing(torch.autograd.Function):
    """Does nothing in either direction, as a layer of one process of several."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        return gradients[0]


class Passes(Two):
    def between(self, x: Tensor) -> Tensor:
        return Passing.apply(torch.tanh(x))  # type: ignore[no-any-return, no-untyped-call]


class HooksForward(Two):
    def prepare(self) -> None:
        self.enter.register_forward_pre_hook(lambda _, x, options: ((x[0] * 2,), options), with_kwargs=True)
        self.enter.register_forward_hook(lambda _, x, y: y * 2)


class Parametrizes(Two):
    def prepare(self) -> None:
        parametrizations.weight_norm(self.leave)


class WritesMask(Two):
    """A mask that masks nothing, where it is traced."""

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x + torch.zeros(8) if torch.compiler.is_compiling() else x)


@dataclasses.dataclass
class Options:
    width: int = 8
    names: tuple[str, ...] = ("tanh",)


class Configured(Two):
    def prepare(self) -> None:
        self.options = Options()

    def between(self, x: Tensor) -> Tensor:
        return getattr(torch, self.options.names[0])(x)  # type: ignore[no-any-return]


class StraightThrough(Two):
    def between(self, x: Tensor) -> Tensor:
        return x + (torch.round(x) - x).detach()


class Clips(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.where(x > 3, x.clamp(max=5), x.nan_to_num()).masked_fill(x < -3, 0.0)


class ClipsByBounds(Two):
    """What no class has in place it has in another tensor."""

    low: Tensor

    def prepare(self) -> None:
        self.register_buffer("low", torch.linspace(-1, 0, 8))

    def between(self, x: Tensor) -> Tensor:
        return (x * 2).clamp_(self.low, self.low + 1)


class WritesWhereAViewReads(Two):
    """The halves of what is changed are read afterwards, and its numbers from before backward."""

    def between(self, x: Tensor) -> Tensor:
        changed = x * 1
        left, right = changed[:, :4], changed[:, 4:]
        changed.sinh_().atan2_(x)
        return torch.cat([right, left], 1)


class AsksForGradients(Two):
    """Derivatives of a part by what enters it, as a network of physics has them."""

    def between(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            place = x if x.requires_grad else x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(torch.tanh(place).sin().sum(), place, create_graph=True)
            (bend,) = torch.autograd.grad(slope[:, 0].sum(), place, create_graph=True)
        return slope + bend


class AsksForNumbers(Two):
    """A gradient that is a number to the rest; what is detached by hand is one, too."""

    def between(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            place = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(torch.sigmoid(place).sum(), place)
        return torch.tanh(x) * slope + torch.relu(x).detach()


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.enter = nn.Linear(4, 8)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(self.enter(x)[:, None])
        return output[:, 0]


class Recurs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRU(4, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.cell(x[:, None])[0]
        return output[:, 0]


class ComputesDropoutAgain(Two):
    """Computed again for the gradient, from the state that torch's generator had."""

    def between(self, x: Tensor) -> Tensor:
        def block(x: Tensor) -> Tensor:
            return torch.dropout(torch.tanh(x), 0.5, self.training)

        return checkpoint(block, x, use_reentrant=False)  # type: ignore[no-any-return]


class HasCompiledPart(Two):
    def prepare(self) -> None:
        self.compiled = torch.compile(torch.tanh, backend="eager")

    def between(self, x: Tensor) -> Tensor:
        return self.compiled(x)


class ReadsTableOnce(Two):
    """From a file, at its first call."""

    def prepare(self) -> None:
        self.table: Tensor | None = None

    def between(self, x: Tensor) -> Tensor:
        if self.table is None:
            with open(__file__, "rb") as file:
                self.table = torch.tensor([float(byte) for byte in file.read(8)])
        return torch.tanh(x) * self.table


class HoldsItself(Two):
    """In a function, which a copy of it goes on calling."""

    def prepare(self) -> None:
        def squash(x: Tensor) -> Tensor:
            return torch.tanh(x + self.enter.bias)

        self.squash = squash

    def between(self, x: Tensor) -> Tensor:
        return self.squash(x)


class KeepsTableInDict(Two):
    def prepare(self) -> None:
        self.tables = dict[int, Tensor]()

    def between(self, x: Tensor) -> Tensor:
        width = x.shape[1]
        if width not in self.tables:
            self.tables[width] = torch.linspace(0.5, 1, width)
        return torch.tanh(x) * self.tables[width]


KINDS: list[type[nn.Module]] = [
    kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, nn.Module) and kind.__module__ == __name__
]
