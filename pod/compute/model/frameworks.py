"""Frameworks: what Lightning, Hugging Face and `torch.compile` put around a module, and what of it
is a model.

Neither is imported: their classes are known by their names. A `LightningModule` is a module like
any other once its trainer is away; how it says that it is trained (`training_step` and its like) is
no part of a graph, and the recipe says it instead. A trainer, a data module or a dict of weights is
no module, and whoever publishes one hears where the module is.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from fitchain.pod.values.errors import InputRefused

LIGHTNING = frozenset({"lightning", "pytorch_lightning"})
TRAINERS = ("_trainer", "_fabric")
"""Attributes of a `LightningModule` by which it speaks to what trains it."""
STEPS = (
    "training_step",
    "validation_step",
    "test_step",
    "predict_step",
    "configure_optimizers",
    "configure_gradient_clipping",
    "optimizer_step",
    "train_dataloader",
)
"""Methods of a `LightningModule` that say how it is trained and evaluated."""
COMPILED = "torch._dynamo.eval_frame.OptimizedModule"
INSIDE = ("model", "module", "network", "net")
"""What the module in something else is called, as a rule."""


def is_lightning(module: object, name: str = "LightningModule") -> bool:
    """Whether something is of one of Lightning's classes, by their names."""
    return any(
        each.__name__ == name and each.__module__.partition(".")[0] in LIGHTNING for each in type(module).__mro__
    )


def unpublished_steps(module: nn.Module) -> tuple[str, ...]:
    """What a `LightningModule` says of its training, which is no part of its graph.

    Returns:
        names of methods of its own; none of any other module.
    """
    if not is_lightning(module):
        return ()
    own = {
        name
        for each in type(module).__mro__
        if each.__module__.partition(".")[0] not in LIGHTNING
        for name in vars(each)
    }
    return tuple(name for name in STEPS if name in own)


def require_forward(module: nn.Module) -> None:
    """Refuse a module that has parts and says nowhere how they are called.

    Raises:
        InputRefused: it has no `forward` of its own; the hint names its parts.
    """
    if "forward" in vars(module):
        return
    owner = next(each for each in type(module).__mro__ if "forward" in vars(each))
    if owner is not nn.Module and not (owner.__name__ == "LightningModule" and is_lightning(module)):
        return
    kind = type(module).__name__
    parts = [name for name, _ in module.named_children()]
    hint = f"publish the part that it trains ({', '.join(parts[:4])}): a function that returns it" if parts else ""
    raise InputRefused(
        f"{kind} has no forward, and a graph is made of it",
        hint or "write forward(self, x), which gives the output of a batch",
    )


@contextlib.contextmanager
def without_trainer(module: nn.Module) -> Iterator[None]:
    """Take Lightning's modules away from what trains them, for a while: `self.log` in `forward`
    does nothing then."""
    attached = [
        (part, name, vars(part)[name])
        for part in module.modules()
        if is_lightning(part)
        for name in TRAINERS
        if vars(part).get(name) is not None
    ]
    for part, name, _ in attached:
        vars(part)[name] = None
    try:
        yield
    finally:
        for part, name, trainer in attached:
            vars(part)[name] = trainer


def as_written(module: nn.Module) -> nn.Module:
    """The module that `torch.compile` was given, if this is what it gave back; any other as it
    is."""
    kind = type(module)
    if f"{kind.__module__}.{kind.__name__}" != COMPILED:
        return module
    within: nn.Module = module._orig_mod  # type: ignore[assignment]
    return within


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """Run what `torch.compile` wraps, a part or a function of a module, as it is written: a graph
    says what is computed, and not by which kernels. Where nothing was compiled the compiler is not
    even imported."""
    if "torch._dynamo.eval_frame" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def module_inside(value: object) -> str:
    """The attribute of something that is no module under which a module is; empty where there is
    none."""
    own: Mapping[str, Any] = getattr(value, "__dict__", {})
    return next((name for name in INSIDE if isinstance(own.get(name), nn.Module)), "")


def advice(value: object) -> str:
    """What to publish in place of something that is no module; empty where nothing is known of
    it."""
    if name := module_inside(value):
        return f"publish the module in it: a function that returns its .{name}"
    if is_lightning(value, "LightningDataModule"):
        return "it brings records, and those are the owner's: publish the LightningModule"
    if is_lightning(value, "Trainer"):
        return "it moves parameters, and here the recipe says how: publish the LightningModule"
    if isinstance(value, Mapping):
        return "if these are weights, make the module of them and load them into it"
    return ""
