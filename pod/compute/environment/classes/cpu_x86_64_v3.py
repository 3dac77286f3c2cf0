"""`cpu-x86-64-v3`: equal bits on every CPU of that level (System V ABI, AMD64 supplement, section
3.1.1), whoever made it.

An operator is in it only with evidence: its cases, forward and backward, gave equal bits on a Zen 4
host and on other vendors' processors under emulation, with the class's variables set
(`make conformance`). No case covers half precision, so the class has none.
"""

from __future__ import annotations

import re
from pathlib import Path

from fitchain.pod.compute.environment.classes.base import EnvironmentClass
from fitchain.pod.compute.operators.openblas import load, refuse_other_build
from fitchain.pod.values.errors import EnvironmentRefused
from fitchain.pod.values.graph.admission import HALVES, Admission
from fitchain.pod.values.graph.operators.record import OwnKernel
from fitchain.pod.values.state import ITEM_BYTES

_FLAGS = frozenset({"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"})
"""What /proc/cpuinfo calls the features of x86-64-v3."""

OPENBLAS_BUILD, OPENBLAS_CORE = "0.3.34.481.3", "Haswell"
"""The build that multiplies matrices, and the processor whose kernels it takes on all others."""


class _X8664V3(EnvironmentClass):
    def refuse_host(self) -> None:
        """Refuse a processor below the level, too."""
        super().refuse_host()
        if missing := _FLAGS - cpu_flags():
            raise EnvironmentRefused(f"this processor has no {', '.join(sorted(missing))}, which x86-64-v3 needs")
        refuse_other_build(OPENBLAS_BUILD)

    def configure(self, threads: int) -> None:
        """Refuse libraries that picked other kernels, too."""
        import torch

        if (kernels := torch.backends.cpu.get_cpu_capability()) != "AVX2":
            raise EnvironmentRefused(f"torch picked its {kernels} kernels, and {self.name} needs AVX2")
        load(OPENBLAS_BUILD, OPENBLAS_CORE, threads)
        # The fused kernel multiplies by MKL; without it attention is made of products, softmax and
        # dropout.
        torch.backends.cuda.enable_flash_sdp(False)
        super().configure(threads)


def cpu_flags() -> frozenset[str]:
    """Features of the first processor, as /proc/cpuinfo names them."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return frozenset(flags[1].split() if flags else ())


X86_64_V3 = _X8664V3(
    name="cpu-x86-64-v3",
    settings={
        "MKL_DYNAMIC": "FALSE",
        "OMP_DYNAMIC": "FALSE",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": OPENBLAS_CORE,
        "OPENBLAS_L2_SIZE": "512",  # of the bits nothing depends on it: it is fixed so that nothing can
        # OpenBLAS' threads and torch's would wait for work by spinning, on cores that the others
        # want: with two threads up to thirty times slower, and slower than with one.
        "OPENBLAS_THREAD_TIMEOUT": "4",
        "OMP_WAIT_POLICY": "PASSIVE",
    },
    admits=Admission(
        "the class cpu-x86-64-v3 does not admit", frozenset(ITEM_BYTES) - HALVES, True, frozenset(OwnKernel)
    ),
    shipped={
        ("2.13.0+cu130", 1): "0xb2450a555ab5aa7cb1f4c349063876db9ae88d6556dbf612b086ce8cf51e163c",
        ("2.13.0+cu130", 2): "0xe08300e91f3d61467ee9da7fd00481a8e4c023ef6fa9abe71093b68241d61b68",
    },
)
