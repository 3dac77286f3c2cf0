"""Restored: what a module, and torch, are given back after each trial of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def as_in_a_job() -> Iterator[None]:
    """Compute as a job does by default, and leave torch's generator and settings as they were.
    Fresh memory is filled with NaN: a module that reads it is found out, whatever lay there.
    Attention is made of products, as in the default class: libraries write a mask out where they
    are traced and leave it out where they are run, and torch's fused kernel tells the two apart."""
    threads, memory = torch.get_num_threads(), cast(Any, torch.utils.deterministic)
    orderly, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled, attention = memory.fill_uninitialized_memory, cast(Any, torch.backends.cuda)
    fused = attention.flash_sdp_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=warns or not orderly)
    memory.fill_uninitialized_memory = True
    attention.enable_flash_sdp(False)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(orderly, warn_only=warns)
        memory.fill_uninitialized_memory = filled
        attention.enable_flash_sdp(fused)


@contextlib.contextmanager
def left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Give a module its attributes back as they were, and its tensors with the same numbers: what
    it kept of the trial's numbers must not become a constant of the graph."""
    parts = [(part, dict(vars(part)), dict(part._parameters), dict(part._buffers)) for part in module.modules()]
    classes = [(part, type(part)) for part in module.modules()]
    trained = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    # A library that puts hooks in at the first call notes in an attribute that it did: both go.
    hooks = [
        (value, value.copy())
        for part in module.modules()
        for name, value in vars(part).items()
        if name.endswith(("_hooks", "_hooks_with_kwargs")) and isinstance(value, dict)
    ]
    with kept_numbers([*module.parameters(), *module.buffers()]):
        try:
            yield
        finally:
            for part, attributes, parameters, buffers in parts:
                vars(part).clear()
                vars(part).update(attributes)
                part._parameters.update(parameters)
                part._buffers.update(buffers)
            for value, before in hooks:
                value.clear()
                value.update(before)
            for part, kind in classes:
                if type(part) is not kind:
                    part.__class__ = kind
            for parameter, is_trained in trained:
                parameter.requires_grad_(is_trained)


@contextlib.contextmanager
def repeated(module: nn.Module) -> Iterator[None]:
    """Give a module its parameters and buffers back as they were, and keep all else."""
    parts = [(part, dict(part._parameters), dict(part._buffers)) for part in module.modules()]
    with kept_numbers([*module.parameters(), *module.buffers()]):
        for parameter in module.parameters():
            parameter.grad = None
        try:
            yield
        finally:
            for part, parameters, buffers in parts:
                part._parameters.update(parameters)
                part._buffers.update({name: buffers.get(name, kept) for name, kept in part._buffers.items()})


@contextlib.contextmanager
def kept_numbers(named: Sequence[Tensor]) -> Iterator[None]:
    """Give tensors their numbers and gradients back."""
    tensors = [(tensor, tensor.detach().clone(), tensor.grad) for tensor in named]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, values, gradient in tensors:
                if tensor.grad_fn is not None:  # a buffer that a step changed; a view of one may not be detached
                    tensor.detach_()
                tensor.copy_(values)
                tensor.grad = gradient
