"""One architecture tried, in a process of its own: built, exported, trained (torch)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fitchain.pod.compute.environment.classes import EnvironmentClass
from fitchain.pod.compute.model import Program
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.output import one_tensor
from fitchain.pod.compute.operators.arguments import DTYPES
from fitchain.pod.values.errors import FitchainError
from fitchain.pod.values.graph import Input
from scripts.zoo.architecture import Architecture

BATCH, STEPS, RATE = 3, 3, 1e-3
REFUSED, DIFFERS, EQUAL, NOT_BUILT, FAILS = "refused", "differs", "equal", "not built", "fails itself"


@dataclass(frozen=True)
class Result:
    """What came of a trial.

    Args:
        family, name, wrapped: of the architecture.
        outcome: `equal`, `differs`, `refused`; `not built` where the library itself fails, and
            `fails itself` where its module does not train on such numbers without us either.
        reason: of whatever is not equal.
        seconds: that it took.
    """

    family: str
    name: str
    wrapped: bool
    outcome: str
    reason: str
    seconds: float


def attempt(architecture: Architecture, of: EnvironmentClass) -> Result:
    """Build, export and train an architecture three steps, beside the eager module.

    Args:
        architecture: of a library that is installed.
        of: the class of this process.
    """
    begun = time.monotonic()
    outcome, reason = _attempt(architecture, of)
    seconds = round(time.monotonic() - begun, 1)
    return Result(architecture.family, architecture.name, architecture.wrapped, outcome, reason, seconds)


def _attempt(architecture: Architecture, of: EnvironmentClass) -> tuple[str, str]:
    torch.manual_seed(0)
    try:
        module = architecture.make()
    except Exception as error:  # noqa: BLE001  whatever a library raises, the other models are still to be tried
        return NOT_BUILT, _sentence(error)
    inputs = [Input(f"x{place}", *shape) for place, shape in enumerate(architecture.inputs)]
    try:
        graph, tensors = export(module, inputs, BATCH, of, architecture.output)
    except FitchainError as error:
        try:
            _train_eagerly(architecture.make(), architecture, inputs)
        except Exception as failure:  # noqa: BLE001  as above
            return FAILS, _sentence(failure)
        return REFUSED, f"{error.message}{f' | {error.hint}' if error.hint else ''}"
    program = Program(graph, tensors, of)
    eager = _train_eagerly(module, architecture, inputs)
    replayed = _train(lambda *x: program(*x, training=True), program.trainable, inputs)
    for step, (expected, loss) in enumerate(zip(eager, replayed, strict=True), 1):
        if expected != loss:
            return DIFFERS, f"the loss of step {step}: {loss} and not {expected}"
    for name, tensor in {**dict(module.named_parameters()), **dict(module.named_buffers())}.items():
        kept = {**program.trainable, **program.buffers}.get(name)
        if kept is not None and not torch.equal(kept, tensor) and not (kept.isnan() & tensor.isnan()).any():
            return DIFFERS, f"{name!r} after {STEPS} steps"
    return EQUAL, ""


def _train_eagerly(module: nn.Module, architecture: Architecture, inputs: list[Input]) -> list[float]:
    """Losses of a module that trains as its library has it; whatever it raises is its own failure."""
    moved = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad}
    return _train(lambda *x: one_tensor(module.train()(*x), architecture.output), moved, inputs)


def _train(
    compute: Callable[..., Tensor], moved: Mapping[str, nn.Parameter | Tensor], inputs: list[Input]
) -> list[float]:
    """Losses of some steps of AdamW towards random numbers."""
    optimizer = torch.optim.AdamW(list(moved.values()), RATE, fused=True) if moved else None
    losses = []
    for step in range(STEPS):
        numbers = torch.Generator().manual_seed(100 + step)
        batch = [
            torch.randn((BATCH, *each.shape), generator=numbers)
            if DTYPES[each.dtype].is_floating_point
            else torch.randint(0, 2, (BATCH, *each.shape), generator=numbers)
            for each in inputs
        ]
        torch.manual_seed(step)
        output = compute(*batch)
        loss = (output - torch.randn(output.shape, generator=numbers)).square().mean()
        if optimizer and loss.requires_grad:
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"[:200]
