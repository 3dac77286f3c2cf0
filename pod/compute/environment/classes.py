"""The classes: their variables, their settings, and the probe digests that ship.

Replay is compared for equality, never within a tolerance, so everything that moves a last bit is
fixed here: the vector width and the vendor-neutral path of each kernel library, the number of
threads (partial sums are added in another order with another number), deterministic kernels.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import EnvironmentRefused
from fitchain.pod.values.recipe import Environment

_ANY_CPU = {"MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "FALSE"}

CLASSES: Mapping[str, Mapping[str, str]] = {
    "cpu-x86-64-v3": {
        **_ANY_CPU,
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "COMPATIBLE",
    },
    "cpu-native": _ANY_CPU,
}
"""The variables of each class. `cpu-x86-64-v3` gives the same bits on every CPU of that level,
`cpu-native` only on CPUs of one vendor and vector width, at the speed of stock kernels."""

_V3_FLAGS = frozenset({"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"})
"""What /proc/cpuinfo calls the features of x86-64-v3 (System V ABI, AMD64 supplement, section
3.1.1)."""

SHIPPED: Mapping[tuple[str, str, int], str] = {
    ("cpu-x86-64-v3", "2.13.0+cu130", 1): "0xe663fd39709509b7c237398dfd6dbc94a53578610c18570c419835fd9f17600a",
    ("cpu-x86-64-v3", "2.13.0+cu130", 2): "0x9555f047c7f3772a4c35642f1bbb942a6c05e661b4474ff73dfce53cf59e6994",
}
"""Probe digests that ship, by class, torch build and threads; the same on an AMD processor with
AVX-512 and, emulated, on an Intel Haswell and an AMD Rome (`make conformance`)."""


def variables(name: str, threads: int) -> dict[str, str]:
    """Environment variables of a class, to be set before torch is imported.

    Args:
        name: the class.
        threads: intra-op threads.

    Raises:
        EnvironmentRefused: there is no such class.
    """
    if name not in CLASSES:
        raise EnvironmentRefused(
            f"the environment class {name!r} is not known here", f"this release knows {' and '.join(CLASSES)}"
        )
    return {**CLASSES[name], "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def clean_variables(environment: Environment, home: Path) -> dict[str, str]:
    """The whole environment of a process that trains: the class's variables and hardly anything
    else.

    Nothing of the caller's environment is passed on, so no secret is, and nothing in it can change
    a result.

    Args:
        environment: the class and its threads.
        home: folder for whatever a library wants to write.
    """
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "TMPDIR": str(home),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OPENBLAS_NUM_THREADS": "1",  # numpy's own pool, which a training never uses
        **variables(environment.name, environment.threads),
    }


def configure(environment: Environment) -> None:
    """Bring torch in this process into the class; call it once, right after torch is imported.

    Args:
        environment: the class and its threads; its variables must have been set before torch was
            imported.

    Raises:
        EnvironmentRefused: a variable is not set, torch is another build, or its kernels are not
            those of the class.
    """
    wanted = variables(environment.name, environment.threads)
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            raise EnvironmentRefused(
                f"{name} is {os.environ.get(name)!r} in this process, and {environment.name} needs {value!r}",
                "start the process with the class's variables: they count only when set before torch is imported",
            )
    import torch

    if torch.__version__ != environment.torch:
        raise EnvironmentRefused(*_other_torch(str(torch.__version__), environment.torch))
    if environment.name == "cpu-x86-64-v3" and (kernels := torch.backends.cpu.get_cpu_capability()) != "AVX2":
        raise EnvironmentRefused(f"torch picked its {kernels} kernels, and {environment.name} needs AVX2")
    torch.set_num_threads(environment.threads)
    if torch.get_num_interop_threads() != 1:  # torch allows the call only once in a process
        torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(True)
    # NNPACK sizes its blocks, and so its sums, by the host's caches.
    torch.backends.nnpack.set_flags(False)  # type: ignore[no-untyped-call]
    torch.set_float32_matmul_precision("highest")
    torch.set_default_dtype(torch.float32)
    torch.set_flush_denormal(False)


def refuse_other_host(environment: Environment) -> None:
    """Refuse what no probe needs to run for: another system, another processor level, another
    torch.

    Raises:
        EnvironmentRefused: the host, its processor or its torch is not of the class.
    """
    variables(environment.name, environment.threads)
    system = f"{platform.system()} on {platform.machine()}"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise EnvironmentRefused(f"Fitchain trains on Linux on x86_64, and this is {system}", "use such a machine")
    if environment.name == "cpu-x86-64-v3" and (missing := _V3_FLAGS - cpu_flags()):
        raise EnvironmentRefused(f"this processor has no {', '.join(sorted(missing))}, which x86-64-v3 needs")
    if (torch := installed_torch()) != environment.torch:
        raise EnvironmentRefused(*_other_torch(torch, environment.torch))


def expected_probe(environment: Environment) -> Digest:
    """The digest that a host of the class must reproduce: the shipped one, else the recipe's.

    Raises:
        EnvironmentRefused: neither is there, or they differ.
    """
    shipped = shipped_probe(environment)
    if shipped and environment.probe and shipped != environment.probe:
        raise EnvironmentRefused(
            f"the recipe says that {environment.name} has the probe {environment.probe},"
            f" and this release ships {shipped}"
        )
    if not (expected := environment.probe or shipped):
        raise EnvironmentRefused(
            f"no probe is known for {environment.name} with torch {environment.torch}"
            f" and {environment.threads} threads",
            "put the owner's probe (`python -m fitchain.pod.compute.environment probe CLASS THREADS`)"
            " into the recipe's environment",
        )
    return expected


def shipped_probe(environment: Environment) -> Digest | None:
    """The probe that ships for a class, its torch build and its threads; None where none does."""
    shipped = SHIPPED.get((environment.name, environment.torch, environment.threads))
    return None if shipped is None else Digest.parse(shipped)


def shipped_environments() -> list[Environment]:
    """The environments whose probes ship, as recipes name them: without a probe, or with it."""
    shipped = [
        (Environment(name, threads, torch), Digest.parse(probe)) for (name, torch, threads), probe in SHIPPED.items()
    ]
    return [each for plain, probe in shipped for each in (plain, replace(plain, probe=probe))]


def installed_torch() -> str:
    """The exact version and build of the torch that would be imported, read without importing it.

    Raises:
        EnvironmentRefused: torch is not installed.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        raise EnvironmentRefused("torch is not installed here", "install the extra `train`")
    text = (Path(spec.origin).parent / "version.py").read_text()
    version = re.search(r"^__version__ = '([^']+)'$", text, re.MULTILINE)
    if version is None:
        raise EnvironmentRefused("the installed torch does not say which version it is", "install it anew")
    return version[1]


def cpu_flags() -> frozenset[str]:
    """Features of the first processor, as /proc/cpuinfo names them."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return frozenset(flags[1].split() if flags else ())


def _other_torch(installed: str, agreed: str) -> tuple[str, str]:
    hint = "install the agreed build, or agree on this one: the exact build is part of the environment class"
    return f"torch here is {installed}, and the recipe says {agreed}", hint
