"""Own kernels in the tests' process, for as long as a test needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pytest import MonkeyPatch

from fitchain.pod.compute.environment.classes.cpu_x86_64_v3 import OPENBLAS_BUILD, OPENBLAS_CORE
from fitchain.pod.compute.operators.openblas import load
from fitchain.pod.compute.operators.own_kernels import register
from fitchain.pod.values.graph.operators.record import OwnKernel


@contextmanager
def own_kernels(threads: int = 1) -> Iterator[None]:
    """Compute as a process of the default class does, as far as torch's operators go."""
    with MonkeyPatch.context() as patch:
        patch.setenv("OPENBLAS_CORETYPE", OPENBLAS_CORE)
        load(OPENBLAS_BUILD, OPENBLAS_CORE, threads)
    fused = torch.backends.cuda.flash_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_flash_sdp(False)
    library = register(frozenset(OwnKernel))
    try:
        yield
    finally:
        library._destroy()  # type: ignore[no-untyped-call]
        torch.backends.cuda.enable_flash_sdp(fused)
